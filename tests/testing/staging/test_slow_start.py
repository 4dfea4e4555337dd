"""What a server weighs that is new, or back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbtutor.core.events import Event, HealthChanged, Joined, WeightChanged

Played = Callable[..., list[Event]]
SETTING = {"window": 60.0, "full": 10, "since": 0.0}


def test_its_weight_is_what_the_code_said(played: Played) -> None:
    events = played("slow_start", "TwoCurves", SETTING, ("look", 35), ("look", 55))
    assert [(event.backend, event.weight) for event in events if isinstance(event, Joined)] == [("new", 10.0)]
    weights = [(int(event.at), event.was, event.now) for event in events if isinstance(event, WeightChanged)]
    assert weights == [(1, 10.0, 3.5), (2, 3.5, 3.025)]
    because = [event.because for event in events if isinstance(event, WeightChanged)]
    assert because == ["it is in for 21 s, and has 35% of 10", "it is in for 33 s, and has 30% of 10"]


def test_one_that_is_back_was_down(played: Played) -> None:
    events = played("slow_start", "OnlyTheFirstTime", SETTING, ("look", 101), ("again", 200))
    assert [(int(event.at), event.now) for event in events if isinstance(event, HealthChanged)] == [
        (2, "down"), (2, "up"),
    ]  # fmt: skip
    assert not any(isinstance(event, WeightChanged) for event in events), "it has all its weight at once"


def test_a_heavier_one_stands_beside_it_where_it_grows_otherwise(played: Played) -> None:
    events = played("slow_start", "WeightInTheExponent", SETTING, ("look", 30))
    assert [event.backend for event in events if isinstance(event, Joined)] == ["new", "heavy"]
    new, heavy = (event.now for event in events if isinstance(event, WeightChanged))
    assert new == 3.0
    assert heavy > 80


@pytest.mark.parametrize("answer", ["None", "'much'", "1e308 * full", "float('nan')"])
def test_what_is_no_number_changes_nothing(played: Played, answer: str) -> None:
    code = "class Mine:\n    def __init__(self, window):\n        pass\n    def weight(self, full, since, now):\n"
    events = played("slow_start", f"{code}        return {answer}\n", SETTING, ("look", 30))
    assert not any(isinstance(event, WeightChanged) for event in events)
