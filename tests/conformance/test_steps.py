"""A request's way through a server class of the program's own, which a mix-in is put ahead of."""

from __future__ import annotations

from typing import Any

from tests.conformance.datagram_handlers import UpperDatagram
from tests.conformance.handlers import Upper
from tests.conformance.service import Report, Service, Start
from tests.conformance.targets import Target, datagrams, streams


def with_steps(target: Target, report: Report) -> Any:
    """Return the target's mix-in on a server that reports each step of a request by its initial."""
    mixins, base = target.server_class.__bases__[:-1], target.server_class.__bases__[-1]
    if target.model == "sync":
        mixins, base = (), target.server_class

    class Program(base):  # type: ignore[misc,valid-type]  # known only now
        def get_request(self) -> tuple[Any, Any]:
            accepted: tuple[Any, Any] = super().get_request()
            report.tell(b"g")
            return accepted

        def verify_request(self, request: Any, client_address: Any) -> bool:
            report.tell(b"v")
            return bool(super().verify_request(request, client_address))

        def finish_request(self, request: Any, client_address: Any) -> None:
            report.tell(b"f")
            super().finish_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            report.tell(b"s")
            super().shutdown_request(request)

        def close_request(self, request: Any) -> None:
            report.tell(b"c")
            super().close_request(request)

    return type("Server", (*mixins, Program), {})


def assert_each_step_was_taken(target: Target, report: Report) -> None:
    # A forking server closes a connection twice: in the child, and its own copy.
    expected = b"ccfgsv" if target.model == "fork" else b"cfgsv"
    assert bytes(sorted(report.hear(len(expected)))) == expected


class TestStepsOfTheProgram:
    @streams()
    def test_are_taken_by_a_connection(self, target: Target, start: Start, report: Report) -> None:
        service: Service = start(Upper, with_steps(target, report))
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert_each_step_was_taken(target, report)

    @datagrams()
    def test_are_taken_by_a_datagram(self, target: Target, start: Start, report: Report) -> None:
        service = start(UpperDatagram, with_steps(target, report))
        assert service.served.exchange(b"hello") == b"HELLO"
        assert_each_step_was_taken(target, report)
