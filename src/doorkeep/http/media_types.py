"""The media type of a file, by its name."""

from __future__ import annotations

import mimetypes

__all__ = ["media_type_of"]

# What `mimetypes` knows in some versions of Python or on some systems alone.
_OFTEN_MISSING = {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".mkv": "video/matroska",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".rst": "text/x-rst",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
    # A file that is compressed is not of the type of what it contains.
    ".br": "application/octet-stream",
}


def media_type_of(extension: str) -> str:
    """Return the media type that an extension such as ".html" stands for, "application/octet-stream" if none does.

    What the program adds to `mimetypes` counts.
    """
    if not mimetypes.inited:
        mimetypes.init()
    extension = extension.lower()
    known = mimetypes.types_map.get(extension) or _OFTEN_MISSING.get(extension)
    # The last knows ".tgz" and its like.
    return known or mimetypes.guess_type(f"file{extension}")[0] or "application/octet-stream"
