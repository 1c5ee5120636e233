"""Run tests on a compiled part that was built with AddressSanitizer.

    python -m tests.green.sanitized                 the tests of what is compiled
    python -m tests.green.sanitized tests/green     others

Works on a copy in build/sanitized. Needs gcc with its sanitizer's library, and an environment with the test tools. The
stack is not instrumented, as greenlets move theirs; what the heap gets to see of them is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPY = ROOT / "build" / "sanitized"
COPIED = ("src", "tests", "examples", "docs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
TESTS = (
    *("tests/green", "tests/concurrency/test_greenlets.py", "tests/concurrency/test_green_datagrams.py"),
    *("tests/http/test_plain_heads.py", "tests/http/test_responses.py"),
)
FLAGS = {
    "CFLAGS": "-g -O1 -fsanitize=address -fno-omit-frame-pointer --param asan-stack=0",
    "LDFLAGS": "-fsanitize=address",
}


def main(arguments: list[str]) -> int:
    """Build, run, and return pytest's exit status, or 1 if the sanitizer has found something."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
        else:
            shutil.copy(ROOT / name, COPY / name)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=COPY, env=os.environ | FLAGS, check=True)
    if not list((COPY / "src").rglob("*.so")):
        print("the compiled part was not built; is there a C compiler?", file=sys.stderr)
        return 1
    report = COPY / "report"
    environment = os.environ | {
        # The library of C++ too, whose exceptions greenlet throws and the sanitizer follows.
        "LD_PRELOAD": f"{_library('libasan.so')} {_library('libstdc++.so.6')}",
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={report}",
        "PYTHONMALLOC": "malloc",  # so that Python's objects have the sanitizer's borders
        "PYTHONPATH": str(COPY / "src"),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(arguments or TESTS)]
    status = subprocess.run(command, cwd=COPY, env=environment).returncode
    reports = list(COPY.glob("report.*"))
    for path in reports:
        print(path.read_text())
    print(f"AddressSanitizer reports: {len(reports)}")
    return 1 if reports else status


def _library(name: str) -> str:
    asked = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
