"""What doorkeep raises can be caught as what it is, and as what programs expect of a bad value."""

from __future__ import annotations

import pytest

from doorkeep.errors import AddressError, DoorkeepError, SettingError


@pytest.mark.parametrize("kind", [AddressError, SettingError])
def test_errors_of_the_user_are_value_errors(kind: type[Exception]) -> None:
    assert issubclass(kind, DoorkeepError)
    assert issubclass(kind, ValueError)
    assert not issubclass(kind, OSError)
