"""What tests of hubs have fail."""

from __future__ import annotations


class Oops(Exception):
    """Something that goes wrong."""


class Alarm(BaseException):
    """What a signal handler raises."""


def fail() -> None:
    raise Oops("no")
