"""Clients with cookies, and where they are sent."""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import (
    Arrived,
    ContractBroken,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Picked,
    Rejected,
)

Played = Callable[..., list[Event]]
SETTING = {"servers": ["a", "b"], "names": ["a", "b", "c", "d"]}


def picks(events: list[Event]) -> list[str]:
    return [event.backend for event in events if isinstance(event, Picked)]


def test_a_client_goes_where_the_code_sends_it(played: Played) -> None:
    events = played("affinity", "Position", SETTING, ("fail", 0), ("visit", 0), ("heal", 0), ("visit", 0))
    assert [event.client for event in events if isinstance(event, Arrived)] == ["alice", "alice"]
    assert picks(events) == ["b", "a"]
    assert [event.now for event in events if isinstance(event, HealthChanged)] == ["down", "up"]


def test_each_choice_says_what_the_client_showed(played: Played) -> None:
    events = played("affinity", "Position", SETTING, ("visit", 0), ("visit", 0), ("foreign", 1, 0))
    said = [event.affinity for event in events if isinstance(event, Picked)]
    assert said[0] == "it shows no cookie, and is given a new one"
    assert said[1].startswith(f"it shows its cookie, by which it was on {picks(events)[0]}")
    assert said[2].startswith("it shows a cookie that nobody gave it")


def test_who_is_sent_to_a_server_that_stopped_is_refused_there(played: Played) -> None:
    setting = SETTING | {"servers": ["c"]}
    events = played("affinity", "FollowsTheDead", setting, ("visit", 0), ("fail", 0), ("visit", 0))
    assert [(event.backend, event.ok) for event in events if isinstance(event, Finished)] == [("c", True), ("c", False)]
    assert [one.excluded for event in events if isinstance(event, Picked) for one in event.why.candidates] == [
        None, "down",
    ]  # fmt: skip


def test_who_is_sent_to_a_server_that_left_goes_nowhere(played: Played) -> None:
    events = played(
        "affinity", "FollowsTheGone", SETTING | {"servers": ["a"]}, ("visit", 0), ("remove", 0), ("visit", 0)
    )
    assert [event.backend for event in events if isinstance(event, Left)] == ["a"]
    assert picks(events) == ["a"]
    assert [event.because for event in events if isinstance(event, ContractBroken)] == [
        "it chose a, which is not in the pool"
    ]
    assert [event.status for event in events if isinstance(event, Rejected)] == [500]


def test_an_answer_that_is_no_pair_breaks_the_contract(played: Played) -> None:
    events = played("affinity", "NameAlone", SETTING | {"servers": []}, ("visit", 0))
    assert picks(events) == []
    assert any(isinstance(event, ContractBroken) and "no pair" in event.because for event in events)


def test_servers_come_and_go(played: Played) -> None:
    right = "Position"
    events = played("affinity", right, SETTING, ("fail", 0), ("remove", 0), ("add",), ("readd", 0), ("visit", 0))
    told = [(type(event), event.backend) for event in events if isinstance(event, Joined | Left | HealthChanged)]
    assert told[2:] == [(HealthChanged, "a"), (Left, "a"), (Joined, "c"), (Joined, "a"), (HealthChanged, "a")]
    assert [event.now for event in events if isinstance(event, HealthChanged)] == ["down", "down"], "it is still down"
