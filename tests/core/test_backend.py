"""What the balancer knows of one server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.backend import LATENCY_GAIN, Backend
from lbtutor.core.health import HealthCheck, HealthState
from lbtutor.core.messages import BackendConfig


def backend(weight: float = 1, health: HealthState | None = None) -> Backend:
    return Backend(BackendConfig("a", weight=weight), now=3.0, health=health)


def test_a_new_backend_is_available_and_unmeasured() -> None:
    new = backend()
    assert (new.in_flight, new.latency, new.latency_at, new.since) == (0, None, None, 3.0)
    assert new.excluded is None
    assert new.believed == "up"


def test_namesakes_are_different_backends() -> None:
    assert backend() != backend()
    assert len({backend(), backend()}) == 2


def test_the_reason_for_exclusion_is_the_operators_first() -> None:
    state = HealthState(HealthCheck(initial="unchecked"), first_probe=0.0)
    one = backend(weight=0, health=state)
    one.disabled = one.draining = True
    reasons = []
    for undo in ("disabled", "draining"):
        reasons.append(one.excluded)
        setattr(one, undo, False)
    reasons.append(one.excluded)
    one.weight = 1
    reasons.append(one.excluded)
    state.result(True)
    reasons.append(one.excluded)
    assert reasons == ["in maintenance", "draining", "weight 0", "not checked yet", None]


def test_the_first_answer_is_the_mean_and_later_ones_move_it_by_an_eighth() -> None:
    one = backend()
    one.answered(0.8, now=5.0)
    assert (one.latency, one.latency_at) == (0.8, 5.0)
    one.answered(0.0, now=6.0)
    assert one.latency == pytest.approx(0.8 * (1 - LATENCY_GAIN)) == pytest.approx(0.7)
    assert one.latency_at == 6.0


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1))
def test_the_mean_stays_between_the_fastest_and_the_slowest_answer(answers: list[float]) -> None:
    one = backend()
    for took in answers:
        one.answered(took, now=0.0)
    assert one.latency is not None
    assert min(answers) * (1 - 1e-9) <= one.latency <= max(answers) * (1 + 1e-9)


def test_its_repr_tells_its_state_in_a_line() -> None:
    one = backend(weight=2.5)
    one.draining = True
    assert repr(one) == "<Backend a weight=2.5 in_flight=0 draining>"
