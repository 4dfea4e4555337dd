"""Quantiles are within 1 % of the exact ones, and merging equals having seen both."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.trace.histogram import RELATIVE_ERROR, Histogram

durations = st.floats(min_value=1e-9, max_value=1e6) | st.just(0.0)
shares = st.floats(min_value=0, max_value=1)


def exact(values: list[float], share: float) -> float:
    return sorted(values)[math.floor(share * (len(values) - 1))]


@given(st.lists(durations, min_size=1, max_size=200), shares)
def test_any_quantile_is_within_one_percent_of_the_exact_one(values: list[float], share: float) -> None:
    estimate = Histogram(values).quantile(share)
    assert estimate == pytest.approx(exact(values, share), rel=RELATIVE_ERROR * (1 + 1e-9), abs=0)


@given(st.lists(durations, min_size=1), st.lists(durations), shares)
def test_merging_equals_having_seen_both(one: list[float], other: list[float], share: float) -> None:
    merged, both = Histogram(one), Histogram(one + other)
    merged.merge(Histogram(other))
    assert merged.quantile(share) == both.quantile(share)
    assert (merged.count, merged.least, merged.greatest) == (both.count, both.least, both.greatest)
    assert merged.mean == pytest.approx(both.mean)


@given(st.lists(durations, min_size=1))
def test_count_mean_least_and_greatest_are_exact(values: list[float]) -> None:
    histogram = Histogram(values)
    assert (histogram.count, histogram.least, histogram.greatest) == (len(values), min(values), max(values))
    assert histogram.mean == pytest.approx(sum(values) / len(values))
    assert histogram.quantile(0) == min(values)
    assert histogram.quantile(1) == max(values)


@given(st.lists(durations, min_size=2), shares, shares)
def test_a_higher_quantile_is_not_lower(values: list[float], one: float, other: float) -> None:
    histogram = Histogram(values)
    lower, upper = histogram.quantile(min(one, other)), histogram.quantile(max(one, other))
    assert lower is not None
    assert upper is not None
    assert lower <= upper


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().mean is None


def buckets(histogram: Histogram) -> int:
    return int(repr(histogram).split()[3])


def test_memory_depends_on_the_range_and_not_on_the_number() -> None:
    histogram, sizes = Histogram(), []
    for _ in range(3):
        for index in range(1, 10_001):
            histogram.add(index / 1000)
        sizes.append(buckets(histogram))
    assert sizes[0] == sizes[2] <= math.log(10_000) / (2 * RELATIVE_ERROR)


def test_from_a_nanosecond_to_a_year_there_are_about_1900_buckets() -> None:
    histogram, value = Histogram(), 1e-9
    while value < 31_557_600:
        histogram.add(value)
        value *= 1.005
    assert buckets(histogram) == pytest.approx(1900, abs=1)


@pytest.mark.parametrize("value", [-1e-12, -1, math.nan, math.inf])
def test_what_is_no_duration_is_refused_and_not_counted(value: float) -> None:
    histogram = Histogram([1.0])
    with pytest.raises(ValueError, match="finite values of 0 or more"):
        histogram.add(value)
    assert histogram.count == 1
