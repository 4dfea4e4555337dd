"""Instances that come and go by what the code under test answers."""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import Event, Joined, Left

Played = Callable[..., list[Event]]
SETTING = {"min": 1, "max": 10, "target": 0.5}


def sizes(events: list[Event]) -> list[tuple[float, int]]:
    """How many there are after each change."""
    there: set[str] = set()
    told: dict[float, int] = {}
    for event in events:
        assert isinstance(event, Joined | Left)
        (there.add if isinstance(event, Joined) else there.remove)(event.backend)
        told[round(event.at, 2)] = len(there)
    return list(told.items())


def test_there_are_as_many_as_the_story_says_and_then_as_many_as_the_code_says(played: Played) -> None:
    events = played("autoscaler", "ShrinksAtOnce", SETTING, ("ask", 1, 127), ("pass", 60), ("then", 0))
    assert sizes(events) == [(0.0, 1), (1.4, 2), (3.4, 1)]


def test_an_answer_above_the_bounds_is_shown_as_it_is(played: Played) -> None:
    events = played("autoscaler", "HoldsOutside", SETTING | {"max": 2}, ("then", 68))
    assert sizes(events) == [(0.0, 4)], "it keeps 4 of at most 2"


def test_a_loop_is_shown_round_by_round(played: Played) -> None:
    events = played("autoscaler", "UpAndDown", SETTING, ("loop", 5, 2, 60))
    changes = [event for event in events if event.at > 1]
    assert len(changes) > 10
    assert all(1 < event.at < 2 for event in changes)


def test_so_many_that_nobody_could_look_at_them_change_nothing(played: Played) -> None:
    code = (
        "class Mine:\n    def __init__(self, min, max, target):\n        pass\n"
        "    def desired(self, current, utilisation, now):\n        return 101\n"
    )
    assert sizes(played("autoscaler", code, SETTING, ("ask", 3, 64))) == [(0.0, 3)]
