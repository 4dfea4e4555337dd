"""Requests that end well or badly, and who is thrown out for it."""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import Arrived, Ejected, Event, Finished, Joined, Left, Readmitted

Played = Callable[..., list[Event]]
SETTING = {"names": ["a", "b"], "fails": 1, "eject": 10.0, "max_ejected": 0.5}


def test_a_request_ends_as_the_story_says_and_whoever_the_code_throws_out_is_out(played: Played) -> None:
    events = played("ejection", "NoLimit", SETTING, ("finish", 0, True), ("finish", 0, False), ("finish", 1, False))
    assert [(event.backend, event.ok) for event in events if isinstance(event, Finished)] == [
        ("a", True), ("a", False), ("b", False),
    ]  # fmt: skip
    out = [event for event in events if isinstance(event, Ejected)]
    assert [(event.backend, event.until - event.at) for event in out] == [("a", 10.0), ("b", 10.0)]
    assert out[0].because == "the code says so, after 1 failure in a row"


def test_who_is_let_in_again_is_readmitted(played: Played) -> None:
    events = played("ejection", "SuccessReadmits", SETTING, ("finish", 0, False), ("finish", 0, True))
    assert [(int(event.at), event.backend) for event in events if isinstance(event, Readmitted)] == [(2, "a")]


def test_whoever_stays_out_is_told_once(played: Played) -> None:
    events = played("ejection", "NeverComesBack", SETTING, ("finish", 0, False), ("wait", 1), ("wait", 100))
    assert sum(isinstance(event, Ejected) for event in events) == 1
    assert not any(isinstance(event, Readmitted) for event in events)


def test_members_come_and_go(played: Played) -> None:
    events = played("ejection", "NoLimit", SETTING, ("add",), ("remove", 0), ("finish_left", 0), ("finish_unknown",))
    assert [event.backend for event in events if isinstance(event, Joined)] == ["a", "b", "c"]
    assert [event.backend for event in events if isinstance(event, Left)] == ["a"]
    assert [(event.backend, event.ok) for event in events if isinstance(event, Finished)] == [
        ("a", False), ("x", False),
    ]  # fmt: skip


def test_a_question_without_an_answer_throws_nobody_out_and_lets_nobody_in(played: Played) -> None:
    events = played("ejection", "UnknownRaises", SETTING, ("finish", 0, False), ("finish_unknown",))
    assert [event.backend for event in events if isinstance(event, Ejected)] == ["a"]
    assert not any(isinstance(event, Readmitted) for event in events)
    assert sum(isinstance(event, Arrived) for event in events) == 2
