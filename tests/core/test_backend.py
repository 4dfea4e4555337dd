"""What the balancer knows of one server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.backend import LATENCY_GAIN, STEPS, Backend
from lbtutor.core.health import HealthCheck, HealthState
from lbtutor.core.messages import BackendConfig


def backend(weight: float = 1, health: HealthState | None = None, limit: int | None = None) -> Backend:
    return Backend(BackendConfig("a", weight=weight, limit=limit), now=3.0, health=health)


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


def test_one_at_its_limit_is_full_and_says_so_unless_it_is_out_anyway() -> None:
    one = backend(limit=2)
    reasons = []
    for one.in_flight in (1, 2, 3):
        reasons.append(one.excluded)
    assert reasons == [None, "full, 2 of 2", "full, 3 of 2"]
    assert one.out is None
    assert not backend().full


def test_one_that_is_out_says_why_before_it_says_that_it_is_full() -> None:
    one = backend(limit=1)
    one.in_flight, one.draining = 1, True
    assert one.excluded == one.out == "draining"


def test_it_grows_to_its_weight_by_tenths_and_then_has_it_exactly() -> None:
    one = backend(weight=3)
    weights = []
    for step in range(1, STEPS + 1):
        one.grow_to(step)
        weights.append(one.weight)
    assert weights == pytest.approx([0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3])
    assert one.weight is one.full_weight
    assert one.slow_start == ""


def test_a_weight_that_is_set_while_it_grows_is_had_in_part() -> None:
    one = backend()
    one.grow_to(4)
    one.weigh(5)
    assert (one.weight, one.full_weight) == (2.0, 5)
    assert one.slow_start == "slow start, 40% of weight 5"


def test_its_repr_tells_its_state_in_a_line() -> None:
    one = backend(weight=2.5)
    one.draining = True
    assert repr(one) == "<Backend a weight=2.5 in_flight=0 draining>"
