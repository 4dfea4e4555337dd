"""A tape adds up: its sums, its means, its quantiles, and what becomes of them on paper and when tapes are merged."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping

import pytest

from lbtutor.core.errors import JournalError
from lbtutor.sim.tape import AT_BALANCERS, COUNTS, GAUGES, TIMES, Tape
from lbtutor.trace.histogram import LOG_GROWTH


def bucket(seconds: float) -> int:
    return math.ceil(math.log(seconds) / LOG_GROWTH)


def tape(*latencies: Mapping[float, int], slots: int = 4, busy: float = 3.0) -> Tape:
    """Fleets `a` of two instances and `b` of one; each second `a` serves those latencies, and `b` one of a second."""
    made = Tape({"a": 2, "b": 1}, balancers=2)
    for counts in latencies:
        served = sum(counts.values())
        numbers = {name: [0, 0] for name in (*COUNTS, *GAUGES)}
        numbers |= {"offered": [served, 1], "served": [served, 1], "slots": [slots, 1], "up": [2, 1]}
        times = {name: [0.0, 0.0] for name in TIMES}
        times |= {"took": [sum(took * count for took, count in counts.items()), 1.0], "busy": [busy, 0.5]}
        told = {name: [7, 9] for name in AT_BALANCERS}
        made.add_second(
            numbers, times, told, [served, 0, 1], [{bucket(took): n for took, n in counts.items()}, {bucket(1.0): 1}]
        )
    return made


def test_series_and_totals_are_of_one_fleet_or_of_all() -> None:
    made = tape({0.1: 3}, {0.1: 5})
    assert made.series("served", "a") == [3, 5]
    assert made.series("served") == [4, 6]
    assert made.total("served", between=(1, 2)) == 6
    assert made.at_balancer("shed", 1) == [9, 9]
    assert made.picked_of("a") == [8, 0]
    assert made.picked_of("b", between=(0, 1)) == [1]
    with pytest.raises(KeyError):
        made.series("served", "c")


def test_a_quantile_is_within_a_hundredth() -> None:
    made = tape({0.010: 90, 0.5: 10}, {0.010: 90, 0.5: 10})
    assert made.quantile(0.5, "a") == pytest.approx(0.010, rel=0.011)
    assert made.quantile(0.95, "a", between=(0, 1)) == pytest.approx(0.5, rel=0.011)
    assert made.latency("a").mean == pytest.approx((0.9 + 5.0) / 100)
    assert Tape({"a": 1}, 1).quantile(0.5) is None


def test_merged_tapes_are_one_tape_of_more_runs() -> None:
    both, other = tape({0.010: 9}), tape({0.5: 1})
    both.merge(other)
    assert both.runs == 2
    assert both.series("served", "a") == [10], "counts are sums"
    assert both.series("up", "a") == [2], "gauges are means"
    assert both.utilisation("a") == [0.75]
    assert both.quantile(0.99, "a") == pytest.approx(0.010, rel=0.011)
    assert both.latency("a").count == 10


def test_tapes_of_different_shapes_are_not_merged() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        tape({0.1: 1}).merge(tape({0.1: 1}, {0.1: 1}))


def test_a_tape_comes_back_from_its_json() -> None:
    made = tape({0.1: 3}, {0.2: 5})
    again = Tape.from_document(json.loads(json.dumps(made.document())))
    assert again == made
    assert again.quantile(0.5) == made.quantile(0.5)


@pytest.mark.parametrize("damage", [{"version": 99}, {"counts": {}}, {"picked": ["x"]}])
def test_what_is_no_tape_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(JournalError, match="tape"):
        Tape.from_document({**tape({0.1: 3}).document(), **damage})


def test_worlds_and_tapes_need_no_numpy() -> None:
    code = "import sys; import lbtutor.sim.world, lbtutor.sim.tape; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
