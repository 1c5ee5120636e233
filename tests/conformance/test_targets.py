"""The table of what cannot be done is about what there is."""

from __future__ import annotations

from doorkeep.operate.models import MODELS
from tests.conformance.targets import DATAGRAMS, LACKS, STREAMS, Need, Target


def test_every_model_and_transport_has_a_row() -> None:
    assert LACKS.keys() == {*MODELS, *STREAMS, *DATAGRAMS}


def test_every_reason_is_given() -> None:
    assert all(reason for lacks in LACKS.values() for reason in lacks.values())


def test_everything_that_may_be_needed_is_had_somewhere() -> None:
    for need in Need:
        assert any(Target(model, transport).reason_against(need) is None for model in MODELS for transport in STREAMS)
