"""What the tests of HTTP share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doorkeep.http.bodies import Body
from tests.connection.pairs import Pair, unix_pair
from tests.http.sample_bodies import CHUNKED, CONTENT, body_of


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two sockets that are connected; their calls wait for 30 seconds."""
    with unix_pair() as ends:
        yield ends


@pytest.fixture(params=["of a length", "chunked"])
def body(request: pytest.FixtureRequest) -> Body:
    """A body with the content `CONTENT`."""
    if request.param == "chunked":
        return body_of(CHUNKED)
    return body_of(CONTENT, len(CONTENT))
