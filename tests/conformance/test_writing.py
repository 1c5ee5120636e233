"""What is written arrives whole, however much it is and however slowly it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.background import eventually
from tests.conformance import sending
from tests.conformance.clients import Client
from tests.conformance.sending import BUFFER, HUGE, Sends
from tests.conformance.service import Report, Service, Start
from tests.conformance.targets import Need, streams

MOMENT = 0.1


def connect_slowly(service: Service) -> Client:
    """Return a client that has begun to receive, and goes on only when it is asked."""
    client = service.connect(receive_buffer=BUFFER)
    assert client.receive(10) == HUGE[:10]
    return client


@streams()
def test_to_a_client_that_reads_all_the_time(start: Start) -> None:
    assert start(Sends).connect().receive(len(HUGE)) == HUGE


@streams()
def test_to_a_client_that_reads_little_by_little(start: Start) -> None:
    client = connect_slowly(start(Sends))
    received = bytearray(HUGE[:10])
    for size in (1, 10, 100, 1000, 10_000):
        received += client.receive(size)
    received += client.receive(len(HUGE) - len(received))
    assert bytes(received) == HUGE


@streams()
def test_the_end_is_in_order_however_full_the_buffers_are(start: Start) -> None:
    """Under TLS there may be no room for close_notify when the handler ends: each size leaves another gap."""
    service = start(sending.SendsAsAsked)
    size, ended = 0, True
    while ended:
        size += BUFFER // 8
        client = service.connect(receive_buffer=BUFFER)
        client.send(b"%d\n" % size)
        ended = eventually(lambda: service.server.stats().active == 0, MOMENT)
        assert client.receive_all() == HUGE[:size]
        client.close()


@streams(Need.SIDE_BY_SIDE)
def test_others_are_served_while_one_does_not_read(start: Start) -> None:
    service = start(Sends)
    slow = [connect_slowly(service) for _ in range(3)]
    assert service.connect().receive(len(HUGE)) == HUGE
    assert eventually(lambda: service.server.stats().active >= len(slow))
    for client in slow:
        assert client.receive(len(HUGE) - 10) == HUGE[10:]


@pytest.mark.parametrize(
    "handler",
    [sending.SendsBySendall, sending.SendsBySend, sending.SendsByBufferedFile],
    ids=lambda way: way.__name__,
)
@streams(Need.SOCKET)
def test_by_many_calls(start: Start, handler: type) -> None:
    assert connect_slowly(start(handler)).receive(len(HUGE) - 10) == HUGE[10:]


@streams(Need.SOCKET, Need.FLAGS)
def test_by_messages(start: Start) -> None:
    assert connect_slowly(start(sending.SendsByMessages)).receive(len(HUGE) - 10) == HUGE[10:]


class TestAFile:
    @pytest.fixture
    def file(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.getbasetemp() / "huge"
        if not path.exists():
            path.write_bytes(HUGE)
        return path

    @streams(Need.SOCKET)
    def test_is_sent_whole(self, start: Start, file: Path) -> None:
        service = start(sending.SendsFile)
        service.server.file = file
        assert connect_slowly(service).receive(len(HUGE) - 10) == HUGE[10:]

    @streams(Need.SOCKET)
    def test_is_sent_in_part(self, start: Start, file: Path) -> None:
        service = start(sending.SendsPartOfFile)
        service.server.file = file
        assert service.connect().receive(len(HUGE)) == HUGE[1000:6000]


@streams()
def test_a_handler_may_give_up(start: Start, report: Report) -> None:
    service = start(sending.SendsForAMoment)
    service.server.report = report
    client = connect_slowly(service)
    assert report.hear(4) == b"late"
    assert len(client.receive_until_gone()) < len(HUGE) - 10
