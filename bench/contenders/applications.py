"""The same small application on servers of applications.

python -m bench.contenders.applications granian
"""

import argparse
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from bench.contenders import BACKLOG, announce
from bench.contenders.web import REPLY, Quiet

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(REPLY)))]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request alike (PEP 3333)."""
    start_response("200 OK", HEADERS)
    return [REPLY]


async def asgi(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer every request alike (ASGI 3)."""
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": REPLY})


def serve_green_wsgi() -> None:
    from doorkeep.http.green import GreenHTTPServer
    from doorkeep.http.wsgi import WSGIHandler

    class Server(GreenHTTPServer):
        request_queue_size = BACKLOG

    class Handler(Quiet, WSGIHandler):
        application = staticmethod(wsgi)

    with Server(("127.0.0.1", 0), Handler) as server:
        announce(server.server_address[1])
        server.serve_forever()


def serve_granian() -> None:
    from granian import Granian
    from granian.constants import Interfaces

    port = free_port()
    threading.Thread(target=announce_when_ready, args=(port,), daemon=True).start()
    target = f"{__spec__.name}:wsgi"
    Granian(target, "127.0.0.1", port, interface=Interfaces.WSGI, workers=1, log_enabled=False).serve()


def serve_uvicorn() -> None:
    import uvicorn

    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        announce(listener.getsockname()[1])  # the kernel keeps those who connect until it serves
        options: dict[str, Any] = {"http": "httptools", "loop": "uvloop", "lifespan": "off", "access_log": False}
        uvicorn.Server(uvicorn.Config(asgi, log_level="warning", **options)).run([listener])


def serve_gevent() -> None:
    from gevent.pywsgi import WSGIServer  # type: ignore[import-untyped]  # gevent ships no types

    server = WSGIServer(("127.0.0.1", 0), wsgi, log=None, backlog=BACKLOG)
    server.start()
    announce(server.server_port)
    server.serve_forever()


def free_port() -> int:
    """Return a port for servers that do not tell which one the kernel gave them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def announce_when_ready(port: int) -> None:
    """Announce the port once somebody listens there."""
    never = threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            never.wait(0.01)
        else:
            announce(port)
            return


SERVERS = {"green-wsgi": serve_green_wsgi, "granian": serve_granian, "uvicorn": serve_uvicorn, "gevent": serve_gevent}

if __name__ == "__main__":
    made = argparse.ArgumentParser()
    made.add_argument("server", choices=SERVERS)
    SERVERS[made.parse_args().server]()
