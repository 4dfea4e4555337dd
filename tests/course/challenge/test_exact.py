"""The window of the peak that is played request by request."""

from __future__ import annotations

import pytest
from msgspec import structs

from lbtutor.core import EnvironmentFault
from lbtutor.course.challenge.day import drains_of, world_of
from lbtutor.course.challenge.design import HIDDEN, find_design, load_design
from lbtutor.course.challenge.exact import SECONDS, play_peak
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
