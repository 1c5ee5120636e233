"""CPython's test modules that use what doorkeep replaces, and how many tests pass on the standard library."""

from __future__ import annotations

import sys

PYDOC = "test.test_pydoc.test_pydoc" if sys.version_info >= (3, 13) else "test.test_pydoc"

# Measured with `python -m tests.compat.runner --standard` on 3.11.7, 3.12.1 and 3.13.0, as root, where the
# tests of CGI skip. A later Python is held to the last column.
# fmt: off
MODULES = {
    "test.test_socketserver":              (26, 26, 26),
    "test.test_httpservers":               (61, 61, 61),
    "test.test_wsgiref":                   (35, 35, 35),
    "test.test_xmlrpc":                    (93, 93, 93),
    "test.test_docxmlrpc":                 (9, 9, 9),
    "test.test_logging":                   (219, 230, 261),
    "test.test_urllib2_localnet":          (23, 23, 21),
    "test.test_robotparser":               (60, 60, 60),
    "test.test_imaplib":                   (95, 94, 94),
    PYDOC:                                 (76, 76, 111),
    "test.test_ssl":                       (168, 169, 173),
    "test.test_httplib":                   (112, 123, 135),
    "idlelib.idle_test.test_rpc":          (3, 3, 3),
    "idlelib.idle_test.test_run":          (21, 21, 21),
    "test.test_asyncio.test_streams":      (67, 67, 73),
    "test.test_asyncio.test_events":       (253, 256, 259),
    "test.test_asyncio.test_sock_lowlevel": (39, 39, 39),
}
# fmt: on
SLOW = {"test.test_imaplib", "test.test_logging", "test.test_ssl", "test.test_xmlrpc"}


def floor_of(module: str) -> int:
    """Return how many tests of the module must pass on this Python."""
    column = min(sys.version_info[1] - 11, 2)
    return MODULES[module][column]
