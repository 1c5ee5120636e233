"""Run CPython's own tests on doorkeep, each module in an interpreter of its own.

    python -m tests.compat.runner [--standard] [module...]

Without modules runs all that use what doorkeep replaces. `--standard` runs them on the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.compat.modules import MODULES

Implementation = Literal["doorkeep", "standard"]

CHILD = Path(__file__).with_name("child.py")
TIMEOUT = 300.0


@dataclass(frozen=True)
class Outcome:
    """How the tests of one module ended: identifiers, with tracebacks or reasons, and the time it took."""

    module: str
    passed: list[str]
    failed: dict[str, str]
    skipped: dict[str, str]
    seconds: float

    def __str__(self) -> str:
        counts = f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        return f"{self.module} {counts} ({self.seconds:.1f} s)"


def run(module: str, implementation: Implementation = "doorkeep", timeout: float = TIMEOUT) -> Outcome:
    """Run the module's tests in a new interpreter, in an empty folder.

    A module that cannot be run to its end, or not within `timeout` seconds, counts as one failure that bears
    its name. Whatever the tests left running is killed.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result, output, work = Path(folder, "result"), Path(folder, "output"), Path(folder, "work")
        work.mkdir()
        with output.open("wb") as output_file:
            child = subprocess.Popen(
                [sys.executable, "-P", CHILD, module, result, implementation],
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=output_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            end = f"exit status {child.wait(timeout)}"
        except subprocess.TimeoutExpired:
            end = f"not finished after {timeout:g} seconds"
        finally:
            _kill_group(child)
        seconds = time.monotonic() - start
        if child.returncode == 0 and result.exists():
            return Outcome(module, **json.loads(result.read_text()), seconds=seconds)
        return Outcome(module, [], {module: f"{end}\n{output.read_text(errors='replace')}"}, {}, seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the modules named on the command line, print how each ended, and return 1 if a test failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat.runner", description=__doc__)
    parser.add_argument("--standard", action="store_true", help="run on the standard library itself")
    parser.add_argument("module", nargs="*", default=list(MODULES), help="a module of CPython's tests")
    options = parser.parse_args(arguments)
    passed = failed = skipped = 0
    for module in options.module:
        outcome = run(module, "standard" if options.standard else "doorkeep")
        print(outcome, *outcome.failed, sep="\n    ", flush=True)
        passed += len(outcome.passed)
        failed += len(outcome.failed)
        skipped += len(outcome.skipped)
    print(f"total {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # nothing is left of it
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    sys.exit(main())
