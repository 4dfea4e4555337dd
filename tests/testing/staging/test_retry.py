"""The tries of a request, each on a lane of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lbtutor.core.events import Arrived, BackedOff, Event, Finished, Joined, Picked

Played = Callable[..., list[Event]]
SETTING = {"attempts": 2, "budget": 0.5}


def lanes(events: list[Event]) -> list[str]:
    return [event.backend for event in events if isinstance(event, Joined)]


def test_a_try_that_is_allowed_appears_on_the_next_lane_and_stays_there(played: Played) -> None:
    events = played("retry", "OneTooMany", SETTING, ("retry", "GET", 2, "closed"))
    assert lanes(events) == ["try 1", "try 2", "try 3"], "the third one should not be there"
    assert [(event.backend, event.attempt) for event in events if isinstance(event, Picked)] == [
        ("try 2", 2), ("try 3", 3),
    ]  # fmt: skip
    (ended,) = (event for event in events if isinstance(event, Finished))
    assert (ended.backend, ended.outcome, ended.ok, ended.final) == ("try 2", "closed before an answer", False, False)


def test_a_try_that_is_not_allowed_ends_the_request(played: Played) -> None:
    events = played("retry", "NeverAgain", SETTING, ("arrive", 100), ("retry", "PUT", 1, "503"))
    assert sum(isinstance(event, Arrived) for event in events) == 101
    assert [event.method for event in events if isinstance(event, Arrived)][-1] == "PUT"
    (ended,) = (event for event in events if isinstance(event, Finished))
    assert (ended.status, ended.final) == (503, True)
    assert ended.because == "the code allows no other"


def test_in_an_outage_every_try_of_every_request_is_shown(played: Played) -> None:
    events = played("retry", "NoBudget", SETTING, ("fail", 300))
    assert Counter(event.backend for event in events if isinstance(event, Picked)) == {"try 1": 300, "try 2": 300}
    final = Counter(event.final for event in events if isinstance(event, Finished))
    assert final == {True: 300, False: 300}
    assert all(1 <= event.at < 2 for event in events if isinstance(event, Finished))


def test_a_wait_is_shown_as_long_as_the_code_says(played: Played) -> None:
    events = played("retry", "GrowsForEver", SETTING, ("ask_wait", 5))
    (wait,) = (event for event in events if isinstance(event, BackedOff))
    assert (wait.attempt, round(wait.until - wait.at, 6)) == (6, 3.2)


def test_a_wait_that_never_came_is_not_shown(played: Played) -> None:
    events = played("retry", "TableEnds", SETTING, ("ask_wait", 5))
    assert not any(isinstance(event, BackedOff) for event in events)
