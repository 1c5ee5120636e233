"""Run one of CPython's test modules on doorkeep: the program of the runner's child interpreter.

    python -P child.py MODULE RESULT {doorkeep,standard}

Writes to the file RESULT, as JSON, the identifiers of the tests that passed, those that failed with their
tracebacks, and those skipped with their reasons. Fails and writes nothing if a standard module was in use
where doorkeep should stand in for it: the results would not be doorkeep's. With `standard` runs the module on
the standard library.
"""

import sys

if sys.argv[3] == "doorkeep":
    import doorkeep

    doorkeep.install()  # before anything can import what it replaces

import importlib
import json
import unittest
from collections.abc import Iterator
from pathlib import Path

REPLACED = {"socketserver": "doorkeep.socketserver", "http.server": "doorkeep.http.server"}
EXCLUDED = {
    "MiscTestCase.test_all": "wants `__module__` to be the standard module; our own tests compare the names",
    "test_httplib.HTTPSTest.test_networked": "needs the Internet",
    "test_imaplib.RemoteIMAP": "needs the Internet",
    "test_robotparser.NetworkTestCase": "needs the Internet",
    "test_ssl.NetworkedTests": "needs the Internet",
}


class Recorder(unittest.TestResult):
    """Keep what passes too, and print each test as it starts: the last one printed is the one that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []

    def startTest(self, test: unittest.TestCase) -> None:
        print(test.id(), flush=True)
        super().startTest(test)

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed.append(test.id())


def main(module: str, result_path: str, implementation: str) -> None:
    """Run the module's tests and write how they ended."""
    suite = unittest.TestSuite(_selected(unittest.defaultTestLoader.loadTestsFromName(module)))
    if implementation == "doorkeep":
        _check_replacement()
    result = Recorder()
    suite.run(result)
    if implementation == "doorkeep":
        _check_replacement()
    report = {
        "passed": result.passed + [test.id() for test, _ in result.expectedFailures],
        "failed": {test.id(): traceback for test, traceback in result.errors + result.failures}
        | {test.id(): "passed, although marked as failing" for test in result.unexpectedSuccesses},
        "skipped": {test.id(): reason for test, reason in result.skipped},
    }
    Path(result_path).write_text(json.dumps(report))


def _selected(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _selected(test)
        elif not any(part in test.id() for part in EXCLUDED):
            yield test


def _check_replacement() -> None:
    """Exit unless doorkeep's modules, and no class of the standard ones, are what the loaded modules see."""
    for name, replacement_name in REPLACED.items():
        replacement = importlib.import_module(replacement_name)
        parent, _, attribute = name.rpartition(".")
        if sys.modules.get(name) is not replacement:
            sys.exit(f"{name} is not {replacement_name}")
        if parent and getattr(sys.modules[parent], attribute) is not replacement:
            sys.exit(f"{attribute} of {parent} is not {replacement_name}")
    for module_name, module in list(sys.modules.items()):
        for value in list(getattr(module, "__dict__", {}).values()):
            if isinstance(value, type) and value.__module__ in REPLACED:
                sys.exit(f"{module_name} holds {value.__qualname__} of the standard {value.__module__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
