"""Datagrams: of any size, from many senders, answered or not."""

from __future__ import annotations

import pytest

from tests.background import eventually
from tests.conformance.datagram_handlers import (
    AddressOfDatagram,
    FussyDatagram,
    LengthOfDatagram,
    Repeats,
    UpperDatagram,
)
from tests.conformance.service import Start
from tests.conformance.targets import Need, datagrams

# What fits into an IPv4 packet of 65,535 bytes beside its headers of 20 and 8: RFC 791, RFC 768.
LARGEST = 65507


@datagrams()
class TestADatagram:
    @pytest.mark.parametrize("data", [b"hello", b"x", b""])
    def test_is_answered(self, start: Start, data: bytes) -> None:
        assert start(UpperDatagram).served.exchange(data) == data.upper()

    def test_may_be_as_large_as_can_be(self, start: Start) -> None:
        service = start(UpperDatagram, max_packet_size=LARGEST)
        assert service.served.exchange(b"x" * LARGEST) == b"X" * LARGEST

    @pytest.mark.parametrize(("size", "told"), [(9, b"9 0"), (10, b"10 0"), (11, b"10 1"), (5000, b"10 1")])
    def test_is_cut_at_the_size_set(self, start: Start, size: int, told: bytes) -> None:
        service = start(LengthOfDatagram, max_packet_size=10)
        assert service.served.exchange(b"x" * size) == told
        assert service.server.stats().truncated == (size > 10)

    def test_comes_from_its_sender(self, start: Start) -> None:
        sender = start(AddressOfDatagram).sender()
        sender.send(b"who?")
        assert sender.recv(1000) == repr(sender.getsockname()).encode()

    @pytest.mark.usefixtures("logged")
    def test_that_fails_costs_no_other(self, start: Start) -> None:
        service = start(FussyDatagram, reply_when_empty=False)
        sender = service.sender()
        for _ in range(3):
            sender.send(b"fail")
            sender.send(b"next")
            assert sender.recv(100) == b"next"
        assert eventually(lambda: service.server.stats().failed == 3)
        assert eventually(lambda: service.server.stats().active == 0)

    def test_may_have_no_answer(self, start: Start) -> None:
        service = start(FussyDatagram, reply_when_empty=False)
        sender = service.sender()
        sender.send(b"nothing")
        sender.send(b"something")
        assert sender.recv(100) == b"something"

    def test_may_have_an_empty_answer(self, start: Start) -> None:
        assert start(FussyDatagram).served.exchange(b"nothing") == b""


@datagrams()
class TestManyDatagrams:
    def test_of_one_sender(self, start: Start) -> None:
        sender = start(UpperDatagram).sender()
        sent = [b"message %d" % number for number in range(20)]
        for data in sent:
            sender.send(data)
        assert {sender.recv(100) for _ in sent} == {data.upper() for data in sent}

    def test_of_many_senders(self, start: Start) -> None:
        service = start(UpperDatagram)
        senders = [service.sender() for _ in range(10)]
        for number in range(3):
            for index, sender in enumerate(senders):
                sender.send(b"message %d of %d" % (number, index))
            for index, sender in enumerate(senders):
                assert sender.recv(100) == b"MESSAGE %d OF %d" % (number, index)


@datagrams(Need.SOCKET)
def test_a_handler_may_answer_by_itself_and_more_than_once(start: Start) -> None:
    sender = start(Repeats).sender()
    sender.send(b"hello")
    assert [sender.recv(100) for _ in range(3)] == [b"hello"] * 3


@datagrams()
def test_a_sender_that_has_gone_harms_nobody(start: Start) -> None:
    service = start(UpperDatagram)
    for _ in range(5):
        sender = service.sender()
        sender.send(b"hello")
        sender.close()
    assert service.served.exchange(b"next") == b"NEXT"
