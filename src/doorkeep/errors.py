"""What doorkeep raises on its own account. Failures of the system stay `OSError`, as in the standard library."""

from __future__ import annotations

__all__ = ["AddressError", "DoorkeepError", "SettingError"]


class DoorkeepError(Exception):
    """The base of doorkeep's own errors; its text is one sentence for the user."""


class SettingError(DoorkeepError, ValueError):
    """A setting that does not exist, cannot have this value, or contradicts another."""


class AddressError(DoorkeepError, ValueError):
    """An address that cannot be read, such as a URL without a port."""
