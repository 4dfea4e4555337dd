"""Requests, and the target that the code under test chose for each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbtutor.core.events import Arrived, ContractBroken, Event, Joined, Picked, Rejected

Played = Callable[..., list[Event]]
RULES = {"rules": [["a.com", "/x", None, "t0"], [None, "/", None, "t1"]]}


def test_each_target_is_a_server_and_a_request_goes_to_the_one_that_was_chosen(played: Played) -> None:
    events = played("router", "PathBeforeHost", RULES, ("ask", "A.com:80", "/x?q", {}), ("ask", "b.com", "/", {}))
    assert [event.backend for event in events if isinstance(event, Joined)] == ["t0", "t1"]
    assert [(event.at, event.host, event.path) for event in events if isinstance(event, Arrived)] == [
        (1.0, "A.com:80", "/x?q"), (2.0, "b.com", "/"),
    ]  # fmt: skip
    assert [event.backend for event in events if isinstance(event, Picked)] == ["t0", "t1"]


def test_a_choice_says_whose_rules_do_not_match(played: Played) -> None:
    events = played("router", "PathBeforeHost", RULES, ("ask", "b.com", "/", {}))
    (picked,) = (event for event in events if isinstance(event, Picked))
    assert [(one.backend, one.excluded) for one in picked.why.candidates] == [
        ("t0", "its rule does not match"), ("t1", None),
    ]  # fmt: skip


def test_a_request_for_which_no_rule_was_found_is_not_found(played: Played) -> None:
    events = played("router", "CaseMatters", {"rules": RULES["rules"][:1]}, ("ask", "A.COM", "/x", {}))
    assert [event.status for event in events if isinstance(event, Rejected)] == [404]
    assert not any(isinstance(event, Picked) for event in events)


INVENTS = """class Mine:
    def __init__(self, rules):
        self.rules = rules

    def match(self, host, path, headers):
        return "t9"
"""


@pytest.mark.parametrize(
    ("code", "because"), [("NoHeaders", "it gave no answer"), (INVENTS, "no rule has the target t9")]
)
def test_an_answer_that_is_no_target_breaks_the_contract(played: Played, code: str, because: str) -> None:
    events = played("router", code, RULES, ("ask", "a.com", "/", {}))
    assert [event.because for event in events if isinstance(event, ContractBroken)] == [because]
    assert [event.status for event in events if isinstance(event, Rejected)] == [500]
