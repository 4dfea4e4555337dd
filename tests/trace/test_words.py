"""The small words of sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.trace.words import counted, duration, listed, number, ordinal


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.00004, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.002, "2 ms"),
        (0.0099, "9.9 ms"),
        (0.00999, "10 ms"),
        (0.412, "412 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.0, "1 s"),
        (1.34, "1.3 s"),
        (9.96, "10 s"),
        (95, "95 s"),
        (599, "599 s"),
        (720, "12 min"),
    ],
)
def test_a_duration_is_said_to_two_or_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(min_value=1e-3, max_value=599))
def test_a_duration_is_said_truly(seconds: float) -> None:
    value, unit = duration(seconds).split()
    assert float(value) * {"ms": 1e-3, "s": 1}[unit] == pytest.approx(seconds, rel=0.051)


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (1 / 3, "0.333"), (-4, "-4"), (123456, "123456"), (0.5, "0.5")]
)
def test_a_number_has_no_idle_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_list_ends_in_and() -> None:
    assert [listed(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_one_is_singular() -> None:
    assert [counted(count, "probe") for count in (0, 1, 2)] == ["0 probes", "1 probe", "2 probes"]


def test_tries_are_counted_in_words() -> None:
    said = [ordinal(count) for count in (1, 2, 5, 6, 11, 12, 13, 21, 22, 23, 111)]
    assert said == ["first", "second", "fifth", "6th", "11th", "12th", "13th", "21st", "22nd", "23rd", "111th"]
