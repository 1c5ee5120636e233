"""Reader and writer of a connection under asyncio."""

from __future__ import annotations

import asyncio

from doorkeep.concurrency.streams import Streams
from tests.background import Background
from tests.connection.pairs import receive_exactly, tcp_pair

MUCH = 1 << 24


def test_closing_sends_what_is_left_and_fails_at_nothing() -> None:
    """The transport of asyncio closes itself when the last byte has left, and must not be told to after that."""

    async def main() -> bytes:
        with tcp_pair() as (accepted, client):
            streams = Streams(accepted)
            await streams.open(None)
            streams.writer.write(bytes(MUCH))
            received = Background(receive_exactly, client, MUCH)
            await streams.close()
            return await asyncio.to_thread(received.result)

    assert asyncio.run(main()) == bytes(MUCH)
