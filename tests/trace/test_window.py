"""Sliding windows: against a list of everything, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.trace.window import Moment, Window

WIDTH = 0.5

moments = st.integers(min_value=0, max_value=240).map(lambda quarter: quarter / 4)
ends = st.tuples(moments, st.booleans(), st.none() | st.floats(min_value=0.001, max_value=5))
whole_windows = st.integers(min_value=1, max_value=40).map(lambda half: half * WIDTH)


def filled(arrived: list[float], ended: list[tuple[float, bool, float | None]]) -> Window:
    window = Window(keeps=1000, width=WIDTH)
    for at in sorted(arrived):
        window.arrived(at)
    for at, ok, latency in sorted(ended, key=lambda end: end[0]):
        window.ended(at, ok=ok, latency=latency)
    return window


@given(st.lists(moments), whole_windows)
def test_a_rate_over_whole_buckets_is_exact(arrived: list[float], length: float) -> None:
    now = 61.0
    inside = sum(now - length <= at < now for at in arrived)
    assert filled(arrived, []).rate(now, length) == pytest.approx(inside / length)


@given(st.lists(ends), whole_windows)
def test_an_error_share_over_whole_buckets_is_exact(
    ended: list[tuple[float, bool, float | None]], length: float
) -> None:
    now = 61.0
    inside = [ok for at, ok, _ in ended if now - length <= at < now]
    expected = inside.count(False) / len(inside) if inside else 0
    assert filled([], ended).error_share(now, length) == pytest.approx(expected)


@given(st.lists(ends), whole_windows)
def test_a_quantile_sees_the_latencies_of_the_window_alone(
    ended: list[tuple[float, bool, float | None]], length: float
) -> None:
    now = 61.0
    inside = [latency for at, _, latency in ended if latency is not None and now - length <= at < now]
    slowest = filled([], ended).latency(now, length, 1.0)
    assert slowest == (max(inside) if inside else None)


def test_of_a_bucket_that_is_partly_inside_that_part_is_counted() -> None:
    window = Window(width=1.0)
    for tenth in range(93):
        window.arrived(tenth / 10)
    in_the_newest, of_the_one_before = 3, 0.75 * 10
    assert window.rate(now=9.25, window=1.0) == pytest.approx(in_the_newest + of_the_one_before)


def test_at_the_start_a_rate_is_over_what_there_was() -> None:
    window = Window()
    for tenth in range(1, 11):
        window.arrived(tenth / 10)
    assert window.rate(now=1.0, window=30.0) == pytest.approx(10)
    assert window.rate(now=0.0, window=30.0) == 0.0


def test_what_is_older_than_kept_is_forgotten() -> None:
    window = Window(keeps=10.0, width=0.5)
    for second in range(10_000):
        window.arrived(float(second))
        window.ended(second + 0.1, ok=True, latency=0.1)
    assert window.rate(now=10_000.0, window=1e6) == pytest.approx(1.0, rel=0.1)
    assert repr(window) == "<Window of 10 s, 11 buckets, newest at 9999>"


def test_the_history_is_a_column_a_bucket_empty_ones_too() -> None:
    window = Window(width=0.5)
    window.arrived(0.1)
    window.ended(0.3, ok=True, latency=0.2)
    window.arrived(1.2)
    window.ended(1.3, ok=False)
    assert window.history(now=1.4, window=30.0) == (
        Moment(0.0, 1, 1, 0, 0.2),
        Moment(0.5, 0, 0, 0, None),
        Moment(1.0, 1, 1, 1, None),
    )
    assert [moment.at for moment in window.history(now=1.4, window=1.0)] == [0.5, 1.0]
