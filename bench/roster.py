"""The contenders: which there are, and how each is started for a handler.

The handlers are `echo`, `lines`, `line` (one, and then the end) and `datagram`; `bench.contenders` holds the programs.
"""

import sys
from dataclasses import dataclass, replace

from bench.contenders import BACKLOG
from bench.programs import ECHO

LIMIT = "c"
NGINX = "nginx"


@dataclass(frozen=True)
class Contender:
    """A server in a work. It is left out where Python has not all the modules that it `requires`.

    The others of a work are held against that of the family "limit". `programs` must be on the search path, as well.
    `most_connections` are those that it can hold without taking minutes to let them in. One of `one_thread` is kept off
    the load generator's CPU.
    """

    name: str
    description: str
    command: tuple[str, ...]
    family: str = "peer"  # or "doorkeep", "standard" and "limit"
    requires: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    most_connections: int | None = None
    one_thread: bool = True


def limit(kind: str) -> Contender:
    batches = "recvmmsg and sendmmsg" if kind == "udp" else "epoll"
    return Contender(LIMIT, f"C, {batches} on one thread: the least work there is", (str(ECHO), kind), "limit")


# -- doorkeep, and the standard library's classes whose place its own take -----------------------------------------


def green(handler: str, coalesced: bool = False) -> tuple[Contender, ...]:
    """Handlers in greenlets on the hub: compiled, and in Python."""
    server = f"doorkeep.concurrency.greenlets:Green{_kind(handler)}Server"
    command = _classes(handler, server, *(["coalesce_writes=True"] if coalesced else []))
    suffix, addition = ("-coalesced", ", with `coalesce_writes`") if coalesced else ("", "")
    shown = f"doorkeep `Green{_kind(handler)}Server`{addition}"
    return (
        Contender(
            f"green{suffix}",
            f"{shown}, its hub compiled",
            command,
            "doorkeep",
            ("greenlet", "doorkeep.green.compiled.loop"),
        ),
        Contender(
            f"green-pure{suffix}",
            f"{shown}, its hub in pure Python",
            ("env", "DOORKEEP_PURE=1", *command),
            "doorkeep",
            ("greenlet", "doorkeep.green.pure.loop", "doorkeep.green.pure.streams"),
        ),
    )


def asynchronous(handler: str) -> tuple[Contender, ...]:
    """Handlers that are coroutines: on asyncio's own event loop, and on uvloop's."""
    name = f"Async{_kind(handler)}Server"
    command = _classes(f"async-{handler}", f"doorkeep.concurrency.tasks:{name}")
    requires = ("doorkeep.concurrency.tasks",)
    own_loop = Contender(
        "async-asyncio",
        f"doorkeep `{name}` on asyncio's own loop",
        (*command, "--without=uvloop"),
        "doorkeep",
        requires,
        one_thread=False,
    )
    shown = f"doorkeep `{name}` on uvloop"
    uvloop = Contender("async-uvloop", shown, command, "doorkeep", (*requires, "uvloop"), one_thread=False)
    return own_loop, uvloop


def serial(handler: str) -> tuple[Contender, ...]:
    """One request after the other."""
    return _both("serial", handler, "")


def threading(handler: str, most_connections: int | None = None) -> tuple[Contender, ...]:
    """Each request in a thread."""
    both = _both("threading", handler, "Threading")
    return tuple(replace(one, most_connections=most_connections, one_thread=False) for one in both)


def forking(handler: str) -> tuple[Contender, ...]:
    """Each request in a child process."""
    return tuple(replace(one, one_thread=False) for one in _both("forking", handler, "Forking"))


def pool(handler: str) -> Contender:
    """A fixed number of threads; the standard library has no such class."""
    name = f"ThreadPool{_kind(handler)}Server"
    return Contender("pool", f"doorkeep `{name}`", _classes(handler, f"doorkeep:{name}"), "doorkeep", one_thread=False)


def _both(name: str, handler: str, mix_in: str) -> tuple[Contender, ...]:
    server = f"{mix_in}{_kind(handler)}Server"
    own, standard = _classes(handler, f"doorkeep:{server}"), _classes(handler, f"socketserver:{server}")
    return (
        Contender(name, f"doorkeep `{server}`", own, "doorkeep"),
        Contender(f"standard-{name}", f"`socketserver.{server}`", standard, "standard"),
    )


def _classes(handler: str, server: str, *settings: str) -> tuple[str, ...]:
    every = [f"request_queue_size={BACKLOG}", *settings]
    return _program("classes", handler, f"--server={server}", *(f"--set={setting}" for setting in every))


def _kind(handler: str) -> str:
    return "UDP" if handler == "datagram" else "TCP"


# -- What people use today -------------------------------------------------------------------------------------------


def peers(handler: str) -> tuple[Contender, ...]:
    """Servers of other libraries, each written as its own documentation advises."""
    return (
        *_event_loop("asyncio", handler),
        *_event_loop("uvloop", handler),
        Contender(
            "gevent",
            f"gevent `{'DatagramServer' if handler == 'datagram' else 'StreamServer'}`",
            _program("gevent_", handler),
            requires=("gevent",),
        ),
        Contender("twisted", "Twisted protocols", _program("twisted_", handler), requires=("twisted",)),
        Contender(
            "trio",
            f"trio {'sockets' if handler == 'datagram' else 'streams of `serve_tcp`'}",
            _program("trio_", handler),
            requires=("trio",),
        ),
    )


def _event_loop(loop: str, handler: str) -> tuple[Contender, ...]:
    """Return the contenders on an event loop of asyncio's interface, which has no streams of datagrams."""
    return tuple(
        Contender(
            f"{loop}-{interface}",
            f"{loop} {interface}",
            _program("asyncio_", handler, f"--interface={interface}", f"--loop={loop}"),
            requires=(loop,),
        )
        for interface in ("protocols", "streams")
        if (interface, handler) != ("streams", "datagram")
    )


def _program(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.contenders.{module}", *arguments)


# -- HTTP ------------------------------------------------------------------------------------------------------------


def web(work: str) -> tuple[Contender, ...]:
    """Servers of HTTP: nginx as the limit, and the classes of `http.server`, for `reply` or `files`."""
    classes = {
        "green": ("doorkeep", "doorkeep.http.green:GreenHTTPServer", ("greenlet", "doorkeep.green.compiled.loop")),
        "threading": ("doorkeep", "doorkeep.http.servers:ThreadingHTTPServer", ()),
        "standard-threading": ("standard", "http.server:ThreadingHTTPServer", ()),
    }
    return (
        Contender(NGINX, "nginx, one worker", _program("nginx", work), "limit", programs=("nginx",)),
        *(
            Contender(
                name,
                f"{family} `{server.partition(':')[2]}`",
                _program("web", work, f"--server={server}"),
                family,
                ("httptools", *requires) if family == "doorkeep" else requires,
                one_thread=name == "green",
            )
            for name, (family, server, requires) in classes.items()
        ),
    )


def applications() -> tuple[Contender, ...]:
    """Servers of applications of WSGI, and uvicorn of one of ASGI."""
    kinds = {
        "green-wsgi": ("doorkeep", "doorkeep `WSGIHandler` on `GreenHTTPServer`", ("httptools", "greenlet"), True),
        "granian": ("peer", "granian, WSGI, one worker", ("granian",), False),
        "uvicorn": ("peer", "uvicorn, ASGI, on httptools and uvloop", ("uvicorn", "httptools", "uvloop"), True),
        "gevent": ("peer", "gevent `pywsgi.WSGIServer`", ("gevent",), True),
    }
    return tuple(
        Contender(name, shown, _program("applications", name), family, requires, one_thread=one_thread)
        for name, (family, shown, requires, one_thread) in kinds.items()
    )
