"""The window of the peak that is played request by request."""

from __future__ import annotations

import pytest
from msgspec import structs

from lbtutor.core import EnvironmentFault
from lbtutor.course.challenge.day import drains_of, world_of
from lbtutor.course.challenge.design import HIDDEN, find_design, load_design
from lbtutor.course.challenge.exact import MOMENT, SECONDS, Exact, play_peak, seen_exactly
from lbtutor.course.challenge.judge import Judged
from lbtutor.sim import kernel
from lbtutor.sim.flow import play_flow

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not kernel.AVAILABLE, reason="without numba two seconds of the peak take minutes")
def test_the_flow_model_is_near_the_exact_simulation_at_the_full_peak() -> None:
    design = load_design(find_design(HIDDEN))
    hashed = structs.replace(design.pool["products"], algorithm="consistent_hash")
    design = structs.replace(design, pool={**design.pool, "products": hashed})
    exact = play_peak(design, play_flow(world_of(design, 1), drains_of(design)).tape, 1)
    assert exact.requests == pytest.approx(SECONDS * 1_000_000, rel=0.01)
    assert exact.served_off < 0.01
    assert exact.utilisation_off < 0.02
    assert exact.busiest["users"] < 1.05 < exact.busiest["products"], "a ring is uneven, turns are not"


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "AVAILABLE", False)
    design = load_design(find_design(HIDDEN))
    tape = play_flow(structs.replace(world_of(design, 1), lasts=world_of(design, 1).load.rate[1][0])).tape
    with pytest.raises(EnvironmentFault, match=r"lbtutor\[fast\]"):
        play_peak(design, tape, 1)


@pytest.mark.skipif(not kernel.AVAILABLE, reason="without numba two seconds of the peak take minutes")
def test_a_window_that_is_interrupted_is_compared_with_nothing() -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt

    design = load_design(find_design(HIDDEN))
    with pytest.raises(KeyboardInterrupt):
        play_peak(design, play_flow(world_of(design, 1), drains_of(design)).tape, 1, interrupt)


def window(*, holds: bool, held: bool) -> Exact:
    return Exact(2_000_000, 0.01, 0.02, 0.005, {}, holds=holds, held=held)


def test_a_peak_that_is_not_handled_when_played_exactly_is_not_handled() -> None:
    capacity = Judged("capacity", "handles it", "passed", "all served")
    even = Judged("even", "is even", "passed", "quite")
    seen, other = seen_exactly([capacity, even], window(holds=False, held=True))
    assert (seen.verdict, seen.first_broken_at) == ("failed", MOMENT)
    assert seen.measured == "all served; but not when each request of 2 seconds was played"
    assert other == even


def test_two_good_seconds_do_not_excuse_a_bad_day() -> None:
    capacity = Judged("capacity", "handles it", "failed", "half of it served", 480)
    for held in (True, False):
        assert seen_exactly([capacity], window(holds=True, held=held)) == [capacity]


def test_a_window_that_contradicts_the_model_says_so_and_counts_as_the_worst() -> None:
    contradicts, agrees = window(holds=False, held=True), window(holds=True, held=True)
    assert contradicts.says.endswith("; it is not handled, against what the model says")
    assert agrees.says.endswith("; both call it handled")
    assert contradicts.off > 1 > agrees.off == 0.02
