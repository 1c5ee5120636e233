"""The compiled part, which an installation does without where there is no C compiler or no epoll(7)."""

from setuptools import Extension, setup

FOLDER = "src/doorkeep/green/compiled"
HEADERS = [
    f"{FOLDER}/{name}" for name in ("calls.h", "channel.pxi", "frame_stack.h", "hub.pxi", "loop.pxd", "system.pxi")
]

setup(
    ext_modules=[
        Extension(f"doorkeep.green.compiled.{name}", [f"{FOLDER}/{name}.pyx"], depends=HEADERS, optional=True)
        for name in ("loop", "streams", "datagrams")
    ]
)
