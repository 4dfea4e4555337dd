"""When questions come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lbtutor.course.spacing import due_at

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("answers", "due"),
    [
        ([], None),
        ([(0 * DAY, True)], DAY),
        ([(0 * DAY, False)], 10 * MINUTE),
        ([(0 * DAY, True), (DAY, True)], 4 * DAY),
        ([(0 * DAY, True), (DAY, True), (4 * DAY, True)], 11 * DAY),
        ([(0 * DAY, True), (DAY, True), (4 * DAY, False)], 4 * DAY + 10 * MINUTE),
        ([(0 * DAY, False), (10 * MINUTE, True)], DAY + 10 * MINUTE),
    ],
)
def test_right_answers_earn_growing_rests_and_a_wrong_one_ends_them(
    answers: list[tuple[timedelta, bool]], due: timedelta | None
) -> None:
    told = [(START + at, right) for at, right in answers]
    assert due_at(told, DAY) == (None if due is None else START + due)


def test_a_right_answer_before_it_was_due_earns_nothing() -> None:
    assert due_at([(START, False), (START + MINUTE, True)], DAY) == START + 10 * MINUTE


def test_rests_stop_growing_in_the_end() -> None:
    answers = []
    at: datetime | None = START
    for _ in range(8):
        assert at is not None
        answers.append((at, True))
        at = due_at(answers, DAY)
    assert at is not None
    assert at - answers[-1][0] == 60 * DAY
