"""Probes of a server, and what the code under test takes it for."""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import Event, HealthChanged, Joined, Probed, ProbeSent

Played = Callable[..., list[Event]]
SETTING = {"rise": 1, "fall": 2}


def probes(text: str) -> list[tuple[object, ...]]:
    return [("probe", letter == "+") for letter in text]


def test_each_result_is_a_probe_that_is_sent_and_answered(played: Played) -> None:
    events = played("health", "SuccessKeepsFailures", SETTING, *probes("-+-"))
    assert [event.at for event in events if isinstance(event, ProbeSent)] == [1.0, 2.0, 3.0]
    assert [event.ok for event in events if isinstance(event, Probed)] == [False, True, False]


def test_the_state_is_what_the_code_said(played: Played) -> None:
    events = played("health", "SuccessKeepsFailures", SETTING, *probes("-+-"))
    changed = [(event.was, event.now) for event in events if isinstance(event, HealthChanged)]
    assert changed == [("unchecked", "up"), ("up", "down")], "one failure after a success, and it is down"


def test_results_against_the_state_are_counted_as_they_came(played: Played) -> None:
    events = played("health", "OneTooMany", SETTING, *probes("+---"))
    counted = [(event.count, event.needed, event.towards) for event in events if isinstance(event, Probed)]
    assert counted == [(1, 1, "up"), (1, 2, "down"), (2, 2, "down"), (2, 2, "down")], "overdue the second time"
    fell = [(int(event.at), event.now) for event in events if isinstance(event, HealthChanged)]
    assert fell == [(1, "up"), (4, "down")], "a failure too late"


def test_what_is_said_of_a_new_server_comes_before_its_first_result_counts(played: Played) -> None:
    events = played("health", "SharedCounters", {"rise": 1, "fall": 3}, *probes("-"), ("new",), *probes("-"))
    kinds = [(type(event), event.backend) for event in events if isinstance(event, Joined | HealthChanged | Probed)]
    assert kinds == [
        (Joined, "server 1"), (HealthChanged, "server 1"), (Probed, "server 1"),
        (Joined, "server 2"), (HealthChanged, "server 2"), (Probed, "server 2"),
    ]  # fmt: skip


def test_a_long_time_is_as_many_probes(played: Played) -> None:
    events = played("health", "NeverForgets", SETTING, ("long", 31, True), ("probe", False))
    assert sum(isinstance(event, Probed) for event in events) == 32
    assert max(event.at for event in events if isinstance(event, Probed) and event.ok) < 2


def test_an_answer_that_never_came_changes_nothing(played: Played) -> None:
    events = played("health", "KeyOfTheState", {"rise": 1, "fall": 1}, *probes("-+-"))
    assert [event.ok for event in events if isinstance(event, Probed)] == [False, True, False]
    assert [event.now for event in events if isinstance(event, HealthChanged)] == ["down", "up"]
