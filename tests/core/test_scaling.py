"""Autoscaling: each line of the module's table, the laws that hold for every input, and the chapter's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.errors import ConfigError
from lbtutor.core.scaling import Autoscaler, Scaling, Wish
from lbtutor.core.units import Seconds


def tracking(**words: Any) -> Scaling:
    return Scaling(**{"min": 2, "max": 100, "target": 0.7, **words})


def stepping(**words: Any) -> Scaling:
    return Scaling(**{"min": 2, "max": 100, "up": 0.7, "down": 0.3, **words})


def minutes(scaler: Autoscaler, utilisation: float | None, count: int, running: int, start: int = 0) -> list[Wish]:
    """Observe the same for so many minutes, every ten seconds, until the last point counts."""
    seen = [scaler.observe(60.0 * start + at, utilisation, running) for at in range(0, 60 * count, 10)]
    return [wish for wish in [*seen, scaler.observe(60.0 * (start + count), None, running)] if wish]


def closed_loop(config: Scaling, load: Callable[[float], float], lasts: int, wanted: int) -> list[Wish]:
    """The scaler and a service that obeys it: `load` is in instances' worth, and nobody can be busier than busy."""
    scaler = Autoscaler(config, wanted=wanted)
    orders: list[tuple[float, int]] = []
    running, wishes = wanted, []
    for now in range(0, lasts, 10):
        for due, size in [order for order in orders if order[0] <= now]:
            running = size
            orders.remove((due, size))
        wish = scaler.observe(now, min(1.0, load(now) / running), running)
        if wish is not None:
            wishes.append(wish)
            orders.append((now + (config.warm_up if wish.wanted > wish.was else 0), wish.wanted))
    return wishes


@pytest.mark.parametrize("running", range(2, 21))
@pytest.mark.parametrize("percent", range(0, 101, 5))
def test_target_tracking_wants_what_brings_utilisation_to_the_target(running: int, percent: int) -> None:
    scaler = Autoscaler(tracking(), wanted=running)
    minutes(scaler, percent / 100, 20, running)
    inside = 63 <= percent <= 70
    exact = max(2, -(-running * percent // 70))
    assert scaler.wanted == (running if inside else exact)


def test_it_adds_after_three_minutes_and_removes_after_fifteen() -> None:
    (added,) = minutes(Autoscaler(tracking(), wanted=10), 0.9, 5, 10)
    assert (added.at, added.was, added.wanted) == (180, 10, 13)
    removed = minutes(Autoscaler(tracking(), wanted=10), 0.35, 16, 10)
    assert [(wish.at, wish.was, wish.wanted) for wish in removed] == [(900, 10, 5)]


def test_one_point_within_the_band_begins_the_row_anew() -> None:
    scaler = Autoscaler(tracking(), wanted=10)
    assert not minutes(scaler, 0.9, 2, 10)
    assert not minutes(scaler, 0.7, 1, 10, start=2)
    assert not minutes(scaler, 0.9, 2, 10, start=3)


def test_who_warms_up_counts_as_there() -> None:
    scaler = Autoscaler(tracking(), wanted=10)
    assert [wish.wanted for wish in minutes(scaler, 0.9, 8, 10)] == [13]
    assert [wish.wanted for wish in minutes(scaler, 1.0, 1, 10, start=8)] == [15], "more is wanted when it gets worse"


def test_what_warms_up_is_not_called_back_by_a_row_above_the_target() -> None:
    scaler = Autoscaler(tracking(), wanted=20)
    assert not minutes(scaler, 0.9, 5, 10), "10 run, 13 would do, and 20 are wanted already"


def test_nobody_is_removed_while_somebody_warms_up() -> None:
    config = tracking(up_after=1, down_after=1, warm_up=Seconds(300))
    scaler = Autoscaler(config, wanted=10)
    assert [wish.at for wish in minutes(scaler, 0.9, 1, 10)] == [60]
    assert [wish.at for wish in minutes(scaler, 0.1, 8, 10, start=1)] == [360]


def test_the_next_are_removed_after_the_cool_down_and_the_next_are_added_at_once() -> None:
    config = stepping(up_after=1, down_after=1, cool_down=Seconds(240), warm_up=Seconds(0))
    scaler = Autoscaler(config, wanted=10)
    assert [wish.at for wish in minutes(scaler, 0.1, 6, 10)] == [60, 300]
    assert [wish.at for wish in minutes(scaler, 0.9, 1, 8, start=6)] == [420]


def test_scale_in_can_be_forbidden() -> None:
    assert not minutes(Autoscaler(tracking(scale_in=False), wanted=10), 0.0, 30, 10)


def test_a_full_service_looks_the_same_however_much_it_is_offered() -> None:
    """T8: at twice its capacity a service grows by 1 / target a time, and needs several times."""
    wishes = closed_loop(tracking(max=50), lambda now: 20.0, 3600, 10)
    assert [wish.wanted for wish in wishes] == [15, 22, 29]
    assert wishes[-1].at >= 15 * 60


def test_the_chapters_two_thresholds_leave_a_band_in_which_nothing_happens() -> None:
    """T11: more than 70 % adds one, less than 30 % removes one, and at 31 to 69 % the size stays what it was."""
    for percent in range(31, 70):
        assert not minutes(Autoscaler(stepping(), wanted=10), percent / 100, 20, 10)
    assert minutes(Autoscaler(stepping(), wanted=10), 0.71, 3, 10)[0].wanted == 11
    assert minutes(Autoscaler(stepping(), wanted=10), 0.29, 15, 10)[0].wanted == 9


def test_target_tracking_at_70_percent_removes_what_two_thresholds_keep() -> None:
    """T11: "target 70 %" has no threshold at 30 %; at half load it shrinks, where step scaling does nothing."""
    assert minutes(Autoscaler(tracking(), wanted=10), 0.5, 15, 10)[0].wanted == 8
    assert not minutes(Autoscaler(stepping(), wanted=10), 0.5, 15, 10)


def test_thresholds_that_touch_flap_under_a_constant_load_and_a_wide_band_does_not() -> None:
    eager: dict[str, Any] = {"up_after": 1, "down_after": 1, "warm_up": Seconds(60), "cool_down": Seconds(60)}
    touching = closed_loop(stepping(up=0.7, down=0.7, **eager), lambda now: 7.05, 3600, 10)
    ways = [wish.wanted > wish.was for wish in touching]
    assert sum(a != b for a, b in pairwise(ways)) >= 10
    apart = closed_loop(stepping(up=0.7, down=0.6, **eager), lambda now: 7.05, 3600, 10)
    assert [wish.wanted for wish in apart] == [11]


@given(
    load=st.floats(0.1, 80),
    target=st.floats(0.2, 0.9),
    start=st.integers(1, 100),
)
def test_under_a_constant_load_target_tracking_comes_to_rest(load: float, target: float, start: int) -> None:
    config = Scaling(1, 100, target=target, up_after=1, down_after=2, warm_up=Seconds(60), cool_down=Seconds(0))
    wishes = closed_loop(config, lambda now: load, 4 * 3600, start)
    assert all(wish.at < 3 * 3600 for wish in wishes)
    ways = [wish.wanted > wish.was for wish in wishes]
    assert sum(a != b for a, b in pairwise(ways)) <= 1


@given(
    config=st.sampled_from([tracking(), stepping(by=7), Scaling(3, 5), tracking(up_after=1, down_after=1)]),
    seen=st.lists(st.tuples(st.sampled_from([None, nan, inf, -1.0, 0.0, 0.5, 1.0, 1e9, 1e308]), st.integers(0, 200))),
)
def test_wanted_never_leaves_its_bounds(config: Scaling, seen: list[tuple[float | None, int]]) -> None:
    scaler = Autoscaler(config)
    for minute, (utilisation, running) in enumerate(seen):
        scaler.observe(60.0 * minute, utilisation, running)
        assert config.min <= scaler.wanted <= config.max


@pytest.mark.parametrize("nothing", [None, nan, inf, -0.1])
def test_a_value_that_nobody_measured_changes_nothing(nothing: float | None) -> None:
    assert not minutes(Autoscaler(tracking(), wanted=10), nothing, 30, 10)


def test_periods_in_which_nobody_looked_break_the_row() -> None:
    scaler = Autoscaler(tracking(), wanted=10)
    seen = [scaler.observe(at, 0.9, 10) for at in (0, 60, 180, 240, 300, 360, 420)]
    assert [wish.at for wish in seen if wish] == [360]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 50))
def test_the_busier_the_more_are_wanted(one: float, other: float, running: int) -> None:
    def wanted(utilisation: float) -> int:
        scaler = Autoscaler(tracking(min=1), wanted=running)
        minutes(scaler, utilisation, 16, running)
        return scaler.wanted

    assert wanted(min(one, other)) <= wanted(max(one, other))


@given(st.integers(1, 40), st.sampled_from([0.5, 0.7, 0.8]))
def test_exactly_at_the_target_rounding_asks_for_nobody(running: int, target: float) -> None:
    scaler = Autoscaler(tracking(min=1, target=target, up_after=1), wanted=running)
    minutes(scaler, target + 1e-13, 2, running)
    assert scaler.wanted == running


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"min": 0, "max": 3}, "`min` is at least 1"),
        ({"min": 5, "max": 3}, "at most `max`, not 5 of 3"),
        ({"min": 1, "max": 3, "target": 0.7, "up": 0.7, "down": 0.3}, "not both"),
        ({"min": 1, "max": 3, "up": 0.7}, "both thresholds"),
        ({"min": 1, "max": 3, "up": 0.3, "down": 0.7}, "above `up`"),
        ({"min": 1, "max": 3, "target": 70}, "a share"),
        ({"min": 1, "max": 3, "target": nan}, "a share"),
        ({"min": 1, "max": 3, "by": 0}, "`by`"),
        ({"min": 1, "max": 3, "period": Seconds(0)}, "`period`"),
        ({"min": 1, "max": 3, "warm_up": Seconds(-1)}, "`warm_up`"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Scaling(**words)


def test_thresholds_that_touch_may_be_written() -> None:
    assert Scaling(1, 3, up=0.5, down=0.5).by == 1
