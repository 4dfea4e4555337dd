"""Durations: what people write, what is read, and what is said back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.errors import ConfigError
from lbtutor.core.units import Seconds, say_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("250ms", 0.25), ("2m", 120.0), ("1.5h", 5400.0), ("40us", 4e-5), (" 5 s ", 5.0), ("0s", 0.0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert Seconds.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "s", "-5s", "1e3s", "5 5s", "5s later", 30, 30.0, None, True])
def test_what_is_no_duration_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ConfigError, match='such as "30s" or "250ms"'):
        Seconds.parse(value)


def test_a_bare_number_is_refused_because_nobody_knows_its_unit() -> None:
    with pytest.raises(ConfigError, match="no unit that is known: write one of us, ms, s, m, h"):
        Seconds.parse("30")


def test_an_unknown_unit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'3min' has no unit that is known"):
        Seconds.parse("3min")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (30.0, "30s"),
        (90.0, "90s"),
        (1800.0, "30m"),
        (7200.0, "2h"),
        (1.5, "1.5s"),
        (4e-5, "40us"),
        (1_234_567.5, "1234567.5s"),
        (2e-8, "0.02us"),
    ],
)
def test_a_duration_is_said_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert say_duration(seconds) == str(Seconds(seconds)) == text


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_what_is_said_is_read_back(seconds: float) -> None:
    assert Seconds.parse(say_duration(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-17)


def test_seconds_compute_like_floats() -> None:
    assert Seconds(1.5) + 1 == 2.5
    assert f"{Seconds(0.25):g}" == "0.25"
