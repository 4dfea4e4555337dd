"""Reasons: the record of a decision as a clause."""

from __future__ import annotations

from typing import Literal

import pytest

from lbtutor.core.events import Candidate, Picked, Why
from lbtutor.trace.reasons import excluded_clause, only_reason, reason, retry_reason

TIE = "the one picked longest ago"


def candidates(text: str) -> tuple[Candidate, ...]:
    """Members from "a 5, b down, c": a number, an exclusion, or neither."""
    made = []
    for part in text.split(", "):
        name, _, rest = part.partition(" ")
        try:
            made.append(Candidate(name, float(rest), None))
        except ValueError:
            made.append(Candidate(name, None, rest or None))
    return tuple(made)


def picked(
    chosen: str,
    rule: str,
    members: str,
    tie: str = TIE,
    best: Literal["lowest", "highest"] = "lowest",
    attempt: int = 1,
) -> Picked:
    return Picked(0.0, 1, attempt, "web", chosen, "algorithm", Why(rule, best, tie, candidates(members)))


@pytest.mark.parametrize(
    ("event", "clause"),
    [
        (picked("b", "in flight", "a 5, b 2, c 8"), "2 in flight, fewer than a's 5 and c's 8"),
        (picked("b", "in flight", "a 5, b 2, c down"), "2 in flight, fewer than a's 5"),
        (picked("c", "in flight", "a 2, b 3, c 2"), "2 in flight, as few as a; it was picked longest ago"),
        (picked("a", "in flight", "a 0, b 0, c 0"), "0 in flight, as few as b and c; it was picked longest ago"),
        (picked("e", "in flight", "a 9, b 9, c 9, d 9, e 2"), "2 in flight, fewer than 4 others'"),
        (
            picked("e", "in flight", "a 2, b 2, c 2, d 2, e 2, f 7"),
            "2 in flight, as few as 4 others; it was picked longest ago",
        ),
        (
            picked("b", "in flight per weight", "a 0.6666667, b 0.5"),
            "0.5 in flight per weight, fewer than a's 0.667",
        ),
        (
            picked("a", "credit", "a 5, b 1, c 1", "the earlier in configuration order", "highest"),
            "credit 5, more than b's 1 and c's 1",
        ),
        (
            picked("a", "credit", "a 3, b 3, c -1", "the earlier in configuration order", "highest"),
            "credit 3, as much as b; it comes earlier in the configuration",
        ),
        (
            picked("a", "expected seconds", "a 0.0412, b 1.32"),
            "an answer expected in 41 ms, sooner than b's 1.3 s",
        ),
        (
            picked("c", "hash of 127.0.1.1 is 12345, place 2 of 3", "a 0, b 0, c 1", best="highest"),
            "hash of 127.0.1.1 is 12345, place 2 of 3",
        ),
        (picked("a", "drew place 0.806 of 6", "a 1, b 0", best="highest"), "drew place 0.806 of 6"),
        (picked("a", "slot 7 of 251", "a 1, b 0", best="highest"), "slot 7 of 251"),
        (
            picked("a", "drew a and c: in flight", "a 1, b not drawn, c 4", "the first drawn"),
            "drew a and c; 1 in flight, fewer than c's 4",
        ),
        (
            picked("c", "drew c and a: in flight per weight", "a 0.5, b not drawn, c 0.5", "the first drawn"),
            "drew c and a; 0.5 in flight per weight, as few as a; it was drawn first",
        ),
        (
            picked("a", "key at 290.9 degrees: degrees to walk", "a 0.411, b 7.62, c down"),
            "key at 290.9 degrees; 0.411 degrees on, nearer than b's 7.62",
        ),
        (
            picked("a", "key at 290.9 degrees: degrees to walk", "a 3, b full, c 7, d full"),
            "key at 290.9 degrees; 3 degrees on, nearer than c's 7 (b is full and d is full)",
        ),
        (
            picked("b", "nobody has room: in flight per weight", "a 3, b 2"),
            "nobody has room; 2 in flight per weight, fewer than a's 3",
        ),
        (picked("b", "score", "a 3, b 12.34", best="highest"), "score 12.3, more than a's 3"),
        (
            picked("b", "expected seconds", "a 1000001, b 0.1"),
            "an answer expected in 100 ms, sooner than a's unknown time",
        ),
        (picked("a", "queue {length}", "a 1, b 2"), "queue {length} 1, less than b's 2"),
        (picked("a", "free slots", "a 3, b 2", best="highest"), "free slots 3, more than b's 2"),
        (picked("a", "distance", "a 1, b 1", "a coin"), "distance 1, as little as b; tie: a coin"),
        (picked("a", "distance", "a 1, b 1", ""), "distance 1, as little as b; a tie"),
        (picked("a", "", "a, b"), "chosen by the algorithm (it gives no reason)"),
    ],
)
def test_a_choice_among_several_is_told_with_its_numbers(event: Picked, clause: str) -> None:
    assert reason(event) == clause


@pytest.mark.parametrize(
    ("event", "clause"),
    [
        (picked("a", "in flight", "a 5, b 2, c 8"), "5 in flight, although b has 2"),
        (picked("a", "credit", "a 1, b 2, c 8", best="highest"), "credit 1, although c has 8"),
    ],
)
def test_one_that_did_not_take_its_best_number_is_not_excused(event: Picked, clause: str) -> None:
    assert reason(event) == clause


@pytest.mark.parametrize(
    ("event", "clause"),
    [
        (picked("a", "turns to wait", "a 0, b 1, c 2"), "the first in turn"),
        (picked("d", "turns to wait after c", "a 1, b 2, c 3, d 0"), "its turn, after c"),
        (picked("a", "turns to wait after c", "a 0, b 1, c 2"), "its turn, after c"),
        (picked("d", "turns to wait after b", "a 1, b 2, c down, d 0"), "its turn, after b; c is passed over (down)"),
        (
            picked("a", "turns to wait after b", "a 0, b 1, c down, d draining"),
            "its turn, after b; c (down) and d (draining) are passed over",
        ),
        (
            picked("b", "turns to wait after c", "a draining, b 0, c 1"),
            "its turn, after c; a is passed over (draining)",
        ),
        (picked("f", "turns to wait after a", "a 1, b x, c x, d x, e x, f 0"), "its turn, after a; 4 are passed over"),
        (picked("b", "turns to wait after gone", "a down, b 0, c 1"), "its turn, after gone"),
        (picked("c", "turns to wait after a", "a 1, b 2, c 0"), "its turn, after a; b came in meanwhile and waits"),
        (
            picked("a", "turns to wait after b", "a 0, b 1, c down, d 2, e 3"),
            "its turn, after b; c is passed over (down); d and e came in meanwhile and wait",
        ),
        (picked("b", "turns to wait after b", "a 1, b 0"), "its turn again"),
    ],
)
def test_a_turn_is_told_by_whose_it_was_before_and_who_was_passed_over(event: Picked, clause: str) -> None:
    assert reason(event) == clause


def test_an_algorithm_without_reasons_is_named_where_its_name_is_known() -> None:
    assert reason(picked("a", "", "a, b"), "MyAlgorithm") == "chosen by MyAlgorithm (it gives no reason)"


@pytest.mark.parametrize(
    ("members", "clause"),
    [
        ("a", "the only one there is"),
        ("a, b down", "the only one available (b is down)"),
        ("a, b down, c weight 0", "the only one available (b is down and c has weight 0)"),
        (
            "a, b down, c down, d down, e weight 0, f weight 0, g draining",
            "the only one available (3 are down, 2 have weight 0 and 1 is draining)",
        ),
    ],
)
def test_the_only_one_is_told_with_those_who_were_not(members: str, clause: str) -> None:
    assert only_reason(candidates(members)) == clause


def test_nobody_excluded_needs_no_clause() -> None:
    assert excluded_clause(candidates("a, b")) == ""


@pytest.mark.parametrize(
    ("event", "failure", "clause"),
    [
        (picked("c", "", "a, b tried already, c", attempt=2), "b refused", "second try, after b refused"),
        (picked("c", "", "a, b tried already, c", attempt=2), None, "second try, after b"),
        (picked("c", "", "a tried already, b tried already, c", attempt=3), None, "third try, after a and b"),
        (picked("c", "", "a, b, c", attempt=2), None, "second try"),
        (
            picked("c", "in flight", "a 4, b tried already, c 2", attempt=2),
            "b refused",
            "second try, after b refused: 2 in flight, fewer than a's 4",
        ),
        (picked("c", "in flight", "a tried already, c 2", attempt=2), "a refused", "second try, after a refused"),
        (
            picked("c", "turns to wait after b", "a 1, b tried already, c 0", attempt=2),
            "b refused",
            "second try, after b refused: next in turn",
        ),
    ],
)
def test_a_retry_is_told_by_what_it_follows(event: Picked, failure: str | None, clause: str) -> None:
    assert retry_reason(event, failure) == clause


def test_who_is_at_its_limit_and_who_stands_by_is_told_as_such() -> None:
    full = (*candidates("a 3, b 4"), Candidate("c", None, "full, 8 of 8"))
    event = Picked(0.0, 1, 1, "web", "a", "algorithm", Why("in flight", "lowest", TIE, full))
    assert reason(event) == "3 in flight, fewer than b's 4 (c is full, 8 of 8)"
    assert only_reason(candidates("a 0, b backup")) == "the only one available (b stands by as backup)"


def test_a_slow_start_is_told_beside_the_numbers() -> None:
    slow = (Candidate("a", 5.0, None), Candidate("b", 10.0, None, "slow start, 10% of weight 1"))
    event = Picked(0.0, 1, 1, "web", "a", "algorithm", Why("in flight per weight", "lowest", TIE, slow))
    says = "5 in flight per weight, fewer than b's 10 (b is in slow start, 10% of weight 1)"
    assert reason(event) == says
