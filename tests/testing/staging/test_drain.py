"""Requests on a server that leaves, and the state in which the code under test says it is."""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import Arrived, Drained, Draining, Enabled, Event, Finished, Joined, Left, Picked

Played = Callable[..., list[Event]]
SETTING = {"deadline": 10.0}
STATES = Draining | Drained | Enabled


def states(events: list[Event]) -> list[tuple[int, type]]:
    return [(int(event.at), type(event)) for event in events if isinstance(event, STATES)]


def test_the_state_is_what_the_code_said(played: Played) -> None:
    events = played("drain", "CancelForgetsRequests", SETTING, ("start",), ("drain",), ("cancel",), ("drain",))
    assert states(events) == [(2, Draining), (3, Enabled), (4, Draining), (4, Drained)]
    assert [event.in_flight for event in events if isinstance(event, Draining)] == [1, 1], "drained with one open"


def test_requests_are_open_as_the_story_has_them(played: Played) -> None:
    events = played("drain", "NoDeadline", SETTING, ("start",), ("start",), ("end",), ("end",), ("drain",))
    assert [event.request for event in events if isinstance(event, Picked)] == [1, 2]
    assert [event.request for event in events if isinstance(event, Finished)] == [1, 2]
    assert states(events) == [(5, Draining), (5, Drained)]


def test_a_new_server_takes_the_place_of_one_that_is_gone(played: Played) -> None:
    events = played("drain", "NoDeadline", SETTING, ("drain",), ("anew",), ("start",))
    told = [(type(event), event.backend) for event in events if isinstance(event, Joined | Left | Drained | Picked)]
    assert told == [
        (Joined, "server 1"),
        (Drained, "server 1"),
        (Left, "server 1"),
        (Joined, "server 2"),
        (Picked, "server 2"),
    ]


def test_an_end_too_many_ends_nothing(played: Played) -> None:
    events = played("drain", "BelowZero", SETTING, ("end_again",), ("start",), ("drain",))
    assert not any(isinstance(event, Finished) for event in events)
    assert sum(isinstance(event, Arrived) for event in events) == 1
    assert states(events) == [(3, Draining), (3, Drained)]
