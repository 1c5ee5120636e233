"""Servers of each target, and what is seen of them besides their answers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep.errors import DoorkeepError
from doorkeep.operate.models import MODELS, Model
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.conformance.handlers import handler_for
from tests.conformance.service import Report, Service, Start
from tests.conformance.targets import Target
from tests.connection.certificates import Certificates


@pytest.fixture(scope="session", autouse=True)
def imported_models() -> None:
    """Import the models first: what an import opens for the life of the process, no test has leaked."""
    for name in MODELS:
        with contextlib.suppress(DoorkeepError):  # lacks a package, as the tests that need it say
            Model(name).check()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates, the same for all tests: none of them changes one."""
    prerequisites.module("trustme")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start(target: Target, serve: Serve, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Return a function that serves on the target: with a handler class, or its twin where that is to be a coroutine.

    `server_class` is a class of the program's own, `settings` go to its constructor.
    """
    services: list[Service] = []

    def start(handler: type, server_class: Any = None, **settings: Any) -> Service:
        context = None
        if target.transport == "tls":
            certificates: Certificates = request.getfixturevalue("certificates")
            if "ssl_context" not in settings:
                settings["ssl_context"] = certificates.server_context()
                # Behind tickets Nagle's algorithm would hold each first answer back, for 40 milliseconds.
                settings["ssl_context"].num_tickets = 0
            context = certificates.client_context()
        served = serve(server_class or target.server_class, handler_for(target, handler), **settings)
        services.append(Service(served, context))
        return services[-1]

    yield start
    for service in services:
        service.close_clients()


@pytest.fixture
def report() -> Iterator[Report]:
    """Return a way for handlers to tell something besides their answers."""
    report = Report()
    yield report
    report.close()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is logged as an error in this process; pytest, which would keep the tracebacks, hears of nothing."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    monkeypatch.setattr(handler, "emit", lambda record: messages.append(record.getMessage()))
    logger = logging.getLogger("doorkeep")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    return messages
