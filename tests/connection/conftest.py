"""What the tests of connections share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import prerequisites
from tests.connection.certificates import Certificates


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return new certificates in files of the test's own."""
    prerequisites.module("trustme")
    return Certificates(tmp_path)
