"""The compiled parts, which an installation does without where there is no C compiler, or for the hub no epoll(7)."""

from glob import glob

from setuptools import Extension, setup

HUB = "src/doorkeep/green/compiled"
HEADERS = sorted(glob(f"{HUB}/*.h") + glob(f"{HUB}/*.pxd") + glob(f"{HUB}/*.pxi"))

setup(
    ext_modules=[
        *(
            Extension(f"doorkeep.green.compiled.{name}", [f"{HUB}/{name}.pyx"], depends=HEADERS, optional=True)
            for name in ("loop", "streams", "datagrams")
        ),
        *(
            Extension(f"doorkeep.http.compiled.{name}", [f"src/doorkeep/http/compiled/{name}.pyx"], optional=True)
            for name in ("heads", "response_heads")
        ),
    ]
)
