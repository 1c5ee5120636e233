"""An exception in any step costs one connection, and the server goes on."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.background import eventually
from tests.conformance.datagram_handlers import UpperDatagram, UpperDatagramTask
from tests.conformance.handlers import TaskHandler, Upper, twin_of
from tests.conformance.service import Service, Start
from tests.conformance.targets import Need, Target, datagrams, streams

pytestmark = pytest.mark.usefixtures("logged")

SERVER_STEPS = ["verify_request", "process_request", "finish_request"]


class Broken(Exception):
    """What the tests raise."""


class Failing(Upper):
    """Raises in the step that `server.failing` names, for the first connection."""

    def setup(self) -> None:
        fail_in("setup", self.server)
        super().setup()

    def handle(self) -> None:
        fail_in("handle", self.server)
        super().handle()

    def finish(self) -> None:
        super().finish()
        fail_in("finish", self.server)


@twin_of(Failing)
class FailingTask(TaskHandler):
    async def setup(self) -> None:
        fail_in("setup", self.server)
        super().setup()

    async def handle(self) -> None:
        fail_in("handle", self.server)
        async for line in self.reader:
            await self.say(line.upper())

    async def finish(self) -> None:
        super().finish()
        fail_in("finish", self.server)


class FailingDatagram(UpperDatagram):
    """Raises in the step that `server.failing` names, for the first datagram."""

    def setup(self) -> None:
        fail_in("setup", self.server)
        super().setup()

    def handle(self) -> None:
        fail_in("handle", self.server)
        super().handle()

    def finish(self) -> None:
        fail_in("finish", self.server)
        super().finish()


@twin_of(FailingDatagram)
class FailingDatagramTask(UpperDatagramTask):
    def setup(self) -> None:
        fail_in("setup", self.server)
        super().setup()

    async def handle(self) -> None:
        fail_in("handle", self.server)
        await super().handle()

    def finish(self) -> None:
        fail_in("finish", self.server)
        super().finish()


def fail_in(step: str, server: Any) -> None:
    if server.failing == step and server.number == 1:
        raise Broken(step)


def failing(target: Target, step: str) -> Any:
    """Return a server class that raises in this step for its first request; `number` counts them."""
    base: Any = target.server_class

    class FailingServer(base):  # type: ignore[misc]  # known only now
        number = 0

        def verify_request(self, request: Any, client_address: Any) -> bool:
            self.number += 1
            fail_in("verify_request", self)
            return bool(super().verify_request(request, client_address))

        def process_request(self, request: Any, client_address: Any) -> None:
            fail_in("process_request", self)
            super().process_request(request, client_address)

        def finish_request(self, request: Any, client_address: Any) -> None:
            fail_in("finish_request", self)
            super().finish_request(request, client_address)

    FailingServer.failing = step
    return FailingServer


def assert_first_is_lost(service: Service) -> None:
    assert service.connect().receive_until_gone() == b""
    assert service.exchange(b"next\n") == b"NEXT\n"
    assert_one_has_failed(service)


def assert_one_has_failed(service: Service) -> None:
    assert eventually(lambda: service.server.stats().active == 0)
    assert eventually(lambda: service.server.stats().failed == 1)


class TestAnException:
    @pytest.mark.parametrize("step", ["setup", "handle"])
    @streams()
    def test_of_a_handler(self, start: Start, target: Target, step: str) -> None:
        assert_first_is_lost(start(Failing, failing(target, step)))

    @streams()
    def test_of_a_handler_at_the_end(self, start: Start, target: Target) -> None:
        service = start(Failing, failing(target, "finish"))
        assert service.exchange(b"first\n") == b"FIRST\n"
        assert service.exchange(b"next\n") == b"NEXT\n"
        assert_one_has_failed(service)

    @pytest.mark.parametrize("step", SERVER_STEPS)
    @streams()
    def test_of_a_server(self, start: Start, target: Target, step: str) -> None:
        assert_first_is_lost(start(Failing, failing(target, step)))

    @pytest.mark.parametrize("step", ["setup", "handle", "finish", *SERVER_STEPS])
    @datagrams()
    def test_costs_a_datagram(self, start: Start, target: Target, step: str) -> None:
        service = start(FailingDatagram, failing(target, step), reply_when_empty=False)
        sender = service.sender()
        sender.send(b"first")
        assert_one_has_failed(service)
        sender.send(b"next")
        assert sender.recv(100) == b"NEXT"


@streams(Need.SIDE_BY_SIDE)
def test_others_go_on_while_one_fails(start: Start, target: Target) -> None:
    class SecondFails(failing(target, "handle")):  # type: ignore[misc]  # known only now
        number = -1

    service = start(Failing, SecondFails)
    other = service.connect()
    other.send(b"one\n")
    assert other.receive(4) == b"ONE\n"
    assert service.connect().receive_until_gone() == b""
    other.send(b"two\n")
    assert other.receive(4) == b"TWO\n"


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EMFILE, errno.EPROTO, errno.EINVAL])
@streams()
def test_a_failure_to_accept_leaves_the_client_in_line(start: Start, target: Target, number: int) -> None:
    base: Any = target.server_class

    class FailingToAccept(base):  # type: ignore[misc]  # known only now
        failures = 2

        def get_request(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(number, "as asked")
            return super().get_request()

    service = start(Upper, FailingToAccept)
    assert service.exchange(b"hello\n") == b"HELLO\n"
    assert service.server.stats().accept_errors


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@streams(Need.SHELTERED_LOOP)
def test_a_handle_error_that_raises_harms_no_other(start: Start, target: Target) -> None:
    class Raising(failing(target, "handle")):  # type: ignore[misc]  # known only now
        def handle_error(self, request: Any, client_address: Any) -> None:
            raise

    service = start(Failing, Raising)
    client = service.connect()
    assert client.receive_until_gone() == b""
    assert service.exchange(b"next\n") == b"NEXT\n"
    assert eventually(lambda: service.server.stats().active == 0)


@streams()
def test_a_request_that_is_not_verified_is_closed(start: Start, target: Target) -> None:
    base: Any = target.server_class

    class Refusing(base):  # type: ignore[misc]  # known only now
        lets_in = False

        def verify_request(self, request: Any, client_address: Any) -> bool:
            self.lets_in = not self.lets_in
            return not self.lets_in

    service = start(Upper, Refusing)
    assert service.connect().receive_until_gone() == b""
    assert service.exchange(b"hello\n") == b"HELLO\n"
    assert service.server.stats().refused == {"verify": 1}
