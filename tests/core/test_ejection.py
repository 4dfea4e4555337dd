"""Ejection: the rule against a dumb model that knows the whole past, and each promise of the module's table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.ejection import MOST_TIMES, Ejection, PassiveCheck, Tally
from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Outcome, OutcomeKind
from lbtutor.core.units import Seconds

OK = Outcome.answered(200)
BAD = Outcome.answered(500)
LEFT = Outcome.failed("cancelled")
OUTCOMES = {"ok": OK, "bad": BAD, "left": LEFT}

CHECK = PassiveCheck(fails=3, window=Seconds(10), eject=Seconds(30))


class DumbModel:
    """Keeps every attempt and every ejection for ever, and works out each verdict from all of them."""

    def __init__(self, check: PassiveCheck) -> None:
        self.check = check
        self.attempts: list[tuple[float, float, str]] = []
        self.ejections: list[tuple[float, float]] = []

    def ejected(self, now: float) -> bool:
        return any(at <= now < until for at, until in self.ejections)

    def ended(self, began: float, now: float, how: str) -> float | None:
        """Until when it is ejected now, if this was one failure too many."""
        if self.ejected(now):
            return None
        self.attempts.append((began, now, how))
        back = max((until for _, until in self.ejections), default=0.0)
        said = [(ended, how) for began, ended, how in self.attempts if how != "left" and began >= back]
        last = said[-self.check.fails :]
        if len(last) < self.check.fails or "ok" in {how for _, how in last}:
            return None
        if now - last[0][0] > self.check.window:
            return None
        self.ejections.append((now, now + self.check.eject * self.times(now)))
        return self.ejections[-1][1]

    def times(self, now: float) -> int:
        """How many times `eject` the ejection that begins now lasts."""
        times, back = 0, 0.0
        for at, until in [*self.ejections, (now, now)]:
            spent_well = range(int(back + self.check.eject), int(at) + 1, int(self.check.eject))
            times = max(times - len(spent_well), 0) + 1
            times, back = min(times, 10), until
        return times


@given(
    fails=st.integers(min_value=1, max_value=4),
    window=st.integers(min_value=1, max_value=12),
    eject=st.integers(min_value=2, max_value=9),
    attempts=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=6),
            st.integers(min_value=0, max_value=9),
            st.sampled_from([*OUTCOMES, "bad", "bad"]),
        ),
        min_size=40,
        max_size=120,
    ),
)
def test_it_is_ejected_exactly_when_the_dumb_model_says_so_and_for_as_long(
    fails: int, window: int, eject: int, attempts: Sequence[tuple[int, int, str]]
) -> None:
    check = PassiveCheck(fails, Seconds(window), Seconds(eject))
    ejection, model, now = Ejection(check, 0.0), DumbModel(check), 0.0
    for wait, took, how in attempts:
        now += wait
        if ejection.until is not None and ejection.until <= now:
            ejection.readmit(ejection.until)
        until = ejection.eject(now) if ejection.judge(OUTCOMES[how], max(now - took, 0.0), now) else None
        assert until == model.ended(max(now - took, 0.0), now, how)
        assert (ejection.until is not None) == model.ejected(now)


def ejected_after(ends: Sequence[tuple[float, Outcome]], check: PassiveCheck = CHECK) -> list[bool]:
    ejection = Ejection(check, 0.0)
    return [ejection.judge(outcome, at, at) is not None for at, outcome in ends]


def test_failures_in_a_row_eject_and_an_answer_breaks_the_row() -> None:
    assert ejected_after([(1, BAD), (2, BAD), (3, BAD)]) == [False, False, True]
    assert ejected_after([(1, BAD), (2, BAD), (3, OK), (4, BAD), (5, BAD), (6, BAD)])[-3:] == [False, False, True]


def test_failures_further_apart_than_the_window_are_not_one_bad_moment() -> None:
    assert ejected_after([(0, BAD), (5, BAD), (10.1, BAD)]) == [False, False, False]
    assert ejected_after([(0, BAD), (5, BAD), (10.1, BAD), (12, BAD)])[-1], "the last three lie within it"
    assert ejected_after([(0, BAD), (5, BAD), (10.0, BAD)])[-1]


@pytest.mark.parametrize("kind", get_args(OutcomeKind))
def test_every_end_that_the_server_is_to_blame_for_counts(kind: OutcomeKind) -> None:
    outcome = Outcome.failed(kind) if kind != "answered" else Outcome.answered(503)
    assert ejected_after([(1, outcome), (2, outcome), (3, outcome)])[-1] == (kind not in ("cancelled", "served"))


@pytest.mark.parametrize(("status", "counts"), [(200, False), (404, False), (499, False), (500, True), (501, True)])
def test_an_answer_counts_from_500_on(status: int, counts: bool) -> None:
    assert ejected_after([(at, Outcome.answered(status)) for at in range(3)])[-1] == counts


def test_a_client_that_left_neither_counts_nor_breaks_the_row() -> None:
    assert ejected_after([(1, BAD), (2, LEFT), (3, BAD), (4, LEFT), (5, BAD)]) == [False] * 4 + [True]


def test_what_ends_while_it_is_ejected_or_began_before_that_says_nothing() -> None:
    ejection = Ejection(PassiveCheck(fails=1), 0.0)
    assert ejection.judge(BAD, 1.0, 2.0)
    assert ejection.eject(2.0) == 32.0
    assert not ejection.judge(BAD, 1.5, 3.0)
    ejection.readmit(32.0)
    assert not ejection.judge(BAD, 31.9, 40.0), "it was sent there in the bad time"
    assert ejection.judge(BAD, 32.0, 40.0)


def test_failures_are_forgotten_when_it_is_readmitted() -> None:
    ejection = Ejection(CHECK, 0.0)
    assert [ejection.judge(BAD, at, at) for at in (1.0, 2.0, 3.0)][-1]
    ejection.eject(3.0)
    ejection.readmit(33.0)
    assert [ejection.judge(BAD, at, at) is None for at in (33.1, 33.2, 33.3)] == [True, True, False]


def in_turn(spent_well: Sequence[float]) -> list[float]:
    """How long each ejection lasts when it spent so long readmitted before each."""
    ejection, now, lasted = Ejection(CHECK, 0.0), 0.0, []
    for well in spent_well:
        until = ejection.eject(now + well)
        lasted.append(until - (now + well))
        now = until
        ejection.readmit(now)
    return lasted


def test_each_ejection_lasts_longer_than_the_one_before_up_to_ten_times() -> None:
    assert in_turn([1] * 12) == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]
    assert MOST_TIMES == 10


def test_time_spent_well_is_taken_off() -> None:
    assert in_turn([1, 1, 1, 29]) == [30, 60, 90, 120]
    assert in_turn([1, 1, 1, 30]) == [30, 60, 90, 90]
    assert in_turn([1, 1, 1, 60]) == [30, 60, 90, 60]
    assert in_turn([1, 1, 1, 1000, 1]) == [30, 60, 90, 30, 60], "it cannot save up for bad times"
    assert in_turn([1000, 1]) == [30, 60]


@pytest.mark.parametrize(
    ("share", "members", "most"),
    [(0.5, 1, 0), (0.5, 2, 1), (0.5, 3, 1), (0.5, 4, 2), (0.1, 3, 1), (0.1, 20, 2), (0.29, 100, 29), (1, 3, 3)],
)
def test_at_most_a_share_may_be_ejected_but_one_at_least_and_never_the_only_one(
    share: float, members: int, most: int
) -> None:
    check = PassiveCheck(max_ejected=share)
    ejected = 0
    while ejected < members and check.allows(ejected, members):
        ejected += 1
    assert ejected == most


def test_the_ceiling_is_never_passed_beyond_the_first() -> None:
    for share, members, ejected in product((0.01, 0.2, 1 / 3, 0.5, 0.9, 1), range(2, 30), range(1, 30)):
        if PassiveCheck(max_ejected=share).allows(ejected, members):
            assert ejected + 1 <= share * members + 1e-9


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"fails": 0}, "`fails` counts failed attempts"),
        ({"window": Seconds(0)}, "must be longer than 0"),
        ({"eject": Seconds(0)}, "must be longer than 0"),
        ({"max_ejected": 0.0}, "above 0 and at most 1, not 0.0"),
        ({"max_ejected": 50.0}, "above 0 and at most 1, not 50.0"),
        ({"max_ejected": float("nan")}, "above 0 and at most 1"),
        ({"share": 0.0}, "`share` is a share of the attempts, above 0 and at most 1, not 0.0"),
        ({"share": 50.0}, "above 0 and at most 1, not 50.0"),
        ({"volume": 0}, "`volume` counts attempts"),
    ],
)
def test_numbers_that_cannot_work_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        PassiveCheck(**wrong)


def reason(check: PassiveCheck, *ends: Outcome) -> str | None:
    """What is said of the last of these, one a second."""
    ejection = Ejection(check, 0.0)
    return [ejection.judge(outcome, at, at) for at, outcome in enumerate(ends, start=1)][-1]


def test_the_reason_names_the_number_and_the_last_failure() -> None:
    assert reason(PassiveCheck(fails=5), *[BAD] * 5) == "5 attempts in a row failed, the last with: answered 500"
    assert reason(PassiveCheck(fails=1), Outcome.failed("refused")) == "one attempt failed: connection refused"


HALF = PassiveCheck(fails=100, window=Seconds(10), share=0.5, volume=4)


def test_every_other_attempt_that_fails_is_never_five_in_a_row_but_half_of_them() -> None:
    ends = [OK, BAD] * 10
    assert not any(ejected_after(list(enumerate(ends))))
    assert ejected_after(list(enumerate(ends[:4])), HALF) == [False, False, False, True]
    assert reason(HALF, *ends[:4]) == "2 of 4 attempts in 10 s failed (50%), the last with: answered 500"


def test_a_share_of_few_attempts_says_nothing_and_a_smaller_share_ejects_nobody() -> None:
    assert ejected_after([(at, BAD) for at in range(3)], HALF) == [False] * 3
    assert not any(ejected_after(list(enumerate([OK, OK, BAD] * 3)), HALF))


def test_an_answer_never_ejects_though_the_share_be_reached_with_it() -> None:
    assert ejected_after(list(enumerate([BAD, BAD, BAD, OK])), HALF) == [False] * 4
    assert ejected_after(list(enumerate([BAD, BAD, BAD, OK, BAD])), HALF)[-1]


def test_a_client_that_left_is_no_attempt() -> None:
    assert ejected_after(list(enumerate([LEFT, BAD, LEFT, BAD, BAD, LEFT])), HALF) == [False] * 6


def test_the_share_is_of_the_window_and_forgotten_at_the_readmission() -> None:
    assert not any(ejected_after([(0, BAD), (0, BAD), (0, BAD), (10.5, BAD)], HALF))
    ejection = Ejection(HALF, 0.0)
    assert [ejection.judge(BAD, at, at) for at in (1.0, 2.0, 3.0, 4.0)][-1]
    ejection.eject(4.0)
    ejection.readmit(6.0)
    assert [ejection.judge(BAD, at, at) is None for at in (7.0, 7.1, 7.2, 7.3)] == [True, True, True, False]


def test_another_rule_counts_anew_and_the_same_one_goes_on() -> None:
    ejection = Ejection(CHECK, 0.0)
    assert [ejection.judge(BAD, at, at) for at in (1.0, 2.0)] == [None, None]
    ejection.judge_by(PassiveCheck(fails=3, window=Seconds(10), eject=Seconds(30)))
    assert ejection.judge(BAD, 3.0, 3.0)
    ejection.judge_by(HALF)
    assert ejection.judge(BAD, 4.0, 4.0) is None


@given(
    window=st.floats(min_value=0.5, max_value=20),
    ends=st.lists(st.tuples(st.floats(min_value=0, max_value=5), st.booleans()), max_size=60),
)
def test_the_tally_is_of_the_last_window_or_of_the_last_nine_tenths_of_it(
    window: float, ends: Sequence[tuple[float, bool]]
) -> None:
    tally, now, past = Tally(window), 0.0, []
    for wait, failed in ends:
        now += wait
        past.append((now, failed))
        tally.count(failed, now)
        for counted, kinds in ((tally.attempts, (True, False)), (tally.failures, (True,))):
            of_kind = [at for at, bad in past if bad in kinds]
            surely = sum(at > now - 0.9 * window + 1e-9 for at in of_kind)
            at_most = sum(at > now - window - 1e-9 for at in of_kind)
            assert surely <= counted <= at_most


def test_a_tally_keeps_ten_numbers_however_much_there_is_to_count() -> None:
    tally = Tally(10.0)
    for number in range(5000):
        tally.count(number % 2 == 0, number / 100)
    assert len(tally._counts) <= 10
    assert (tally.attempts, tally.failures) == (1000, 500)
