"""The C programs of the benchmarks: the load generator and the echo server that is the limit."""

import os
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
ROOT = SOURCES.parent
FOLDER = ROOT / "build" / "bench"
LOAD = FOLDER / "load"
ECHO = FOLDER / "echo"


class NotCompiled(Exception):
    """A program cannot be compiled; the message is a sentence for the user."""


def compile_programs(folder: Path = FOLDER) -> None:
    """Compile the programs into `folder`, with the first C compiler of `cc`, `gcc` and `clang`."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NotCompiled("The benchmarks need a C compiler (cc, gcc or clang), and none was found.")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LOAD.name, ECHO.name):
        # Put in place whole, as another run may be using the one before.
        made = folder / f"{name}.{os.getpid()}"
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(made), str(SOURCES / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotCompiled(f"{compiler} cannot compile {name}.c:\n{done.stderr}")
        made.replace(folder / name)
