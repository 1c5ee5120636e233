"""Heads of requests: all are read line by line."""

from __future__ import annotations

from typing import Any

__all__ = ["plain_head"]


def plain_head(data: bytes, host_required: bool) -> Any:
    """Leave any head to those who read by lines."""
    return None
