"""`doorkeep info`: what there is to work with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import select
import socket
import sys

from doorkeep.addresses import AF_UNIX

__all__ = ["information"]


def information(version: str) -> str:
    """Return the version of doorkeep, of Python, and which of the system's features were found, a line each."""
    lines = {
        "doorkeep": version,
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})",
        "system": platform.platform(),
        **{feature: "yes" if found else "no" for feature, found in _features().items()},
        "hub": _hub(),
        "HTTP": _http(),
        "TLS": _ssl_version(),
        "limits": _version_of("limits"),
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _features() -> dict[str, bool]:
    return {
        "epoll": hasattr(select, "epoll"),
        "Unix sockets": AF_UNIX is not None,
        "IPv6": socket.has_dualstack_ipv6(),
        "fork": hasattr(os, "fork"),
        "pidfd": _has_pidfd(),
        "TCP_INFO": hasattr(socket, "TCP_INFO"),
        "SO_PEERCRED": hasattr(socket, "SO_PEERCRED"),
        "SO_REUSEPORT": hasattr(socket, "SO_REUSEPORT"),
    }


def _has_pidfd() -> bool:
    """Ask the kernel, which may be older than the Python."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _ssl_version() -> str:
    try:
        import ssl
    except ImportError:
        return "no"
    return ssl.OPENSSL_VERSION


def _hub() -> str:
    """Say what green handlers would run on."""
    try:
        from doorkeep.green.core import NAME
    except ModuleNotFoundError:
        return "no: greenlet is not installed"
    return f"{NAME}, greenlet {_version_of('greenlet')}"


def _http() -> str:
    """Say what the usual requests and responses would go through."""
    from doorkeep.http.core import COMPILED

    return f"{'compiled' if COMPILED else 'Python'}, httptools {_version_of('httptools')}"


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
