"""One second of the day as text: true numbers, a bar for each, and nothing told by colour alone."""

from __future__ import annotations

import pytest

from lbtutor.course.challenge.design import find_design, load_design
from lbtutor.course.challenge.judge import Judged
from lbtutor.course.challenge.unfold import Day, Happening, play_day
from lbtutor.tui.glyphs import ASCII, SETS, UNICODE
from lbtutor.tui.screens.challenge_hour import HourChart
from lbtutor.tui.screens.challenge_picture import TONES, news, numbers
from lbtutor.tui.screens.challenge_verdicts import told


@pytest.fixture(scope="module")
def day() -> Day:
    return play_day(load_design(find_design("chapter")))


def test_the_table_holds_the_numbers_of_the_moment(day: Day) -> None:
    moment = day.moment(1900)
    lines = numbers(moment, UNICODE, 76).plain.splitlines()
    assert lines[0].startswith("offered     1 000 000 █")
    assert "░" not in lines[0], "all of the peak is offered"
    served = f"{round(moment.served):,}".replace(",", " ")
    assert lines[1].startswith(f"served      {served:>9} █")
    users = next(line for line in lines if line.startswith("users"))
    assert f"{moment.services[0].busy:.0%}" in users
    assert users.endswith(f"{moment.services[0].up} of {moment.services[0].instances} up")
    assert lines[-1].startswith("balancers ✕●● 2 of 3 up")


@pytest.mark.parametrize("glyphs", SETS.values(), ids=SETS)
@pytest.mark.parametrize("width", [56, 76, 116])
def test_every_line_fits(day: Day, glyphs: object, width: int) -> None:
    for second in (0, 1900, 3599):
        for line in numbers(day.moment(second), glyphs, width).plain.splitlines():  # type: ignore[arg-type]
            assert len(line) <= width


def test_the_whole_table_fits_eighty_columns(day: Day) -> None:
    for second in (0, 1900, 3599):
        narrow = numbers(day.moment(second), UNICODE, 76).plain.splitlines()
        wide = numbers(day.moment(second), UNICODE, 200).plain.splitlines()
        assert [line.rstrip("█░") for line in narrow[:4]] == [line.rstrip("█░") for line in wide[:4]]
        assert narrow[4:] == wide[4:]


def test_a_little_is_not_shown_as_nothing(day: Day) -> None:
    quiet = day.moment(0)._replace(failed=1.0)
    failed = numbers(quiet, UNICODE, 76).plain.splitlines()[3]
    assert failed.startswith("failed              1 █░")


def test_the_news_are_the_last_things_that_happened_the_newest_at_the_bottom(day: Day) -> None:
    lines = news(day.until(1801), UNICODE, 3, 80).plain.splitlines()
    assert len(lines) == 3
    assert "30:01 ✕ balancer 1 of 3 dies" in "\n".join(lines)
    assert all(one.second <= 1801 for one in day.until(1801))
    assert news([], UNICODE, 3, 80).plain == ""
    assert news(day.until(1801), UNICODE, 0, 80).plain == ""


@pytest.mark.parametrize("glyphs", SETS.values(), ids=SETS)
def test_every_kind_of_happening_has_a_mark_of_its_own(glyphs: object) -> None:
    marks = [
        news([Happening(0, tone, "it happens")], glyphs, 1, 80).plain.split()[1]  # type: ignore[arg-type]
        for tone in TONES
    ]
    assert len(set(marks)) == len(TONES)
    assert all(len(mark) == 1 for mark in marks)


def test_a_verdict_is_told_by_a_mark_and_a_word() -> None:
    shown = {
        verdict: told(Judged("x", "it holds", verdict, "so much", 1801.0 if verdict == "failed" else None), ASCII).plain
        for verdict in ("passed", "failed", "unknown")
    }
    assert shown["passed"] == "* passed  it holds\nso much"
    assert shown["failed"] == "x failed  it holds   first broken at 30:01\nso much"
    assert shown["unknown"] == "? unknown it holds\nso much"


# the hour


def chart(day: Day, second: int) -> HourChart:
    widget = HourChart(UNICODE)
    widget.show(day, second)
    return widget


def test_the_hour_shows_what_was_and_nothing_of_what_is_to_come(day: Day) -> None:
    rows = chart(day, 1799).rows(60, 11)
    assert all(row[30:].strip() == "" for row in rows)
    assert rows[9][:30].strip() != ""


def test_a_column_is_as_high_as_what_was_offered_and_full_as_far_as_served(day: Day) -> None:
    rows = chart(day, 3599).rows(60, 11)
    column = "".join(row[31] for row in rows[:10])
    offered, served = sum(day.offered[1860:1920]) / 60, sum(day.served[1860:1920]) / 60
    assert column.count("█") == round(served / 100_000)
    assert column.count("█") + column.count("░") == round(offered / 100_000)


def test_a_mark_stands_below_the_minute_in_which_something_happened(day: Day) -> None:
    marks = chart(day, 3599).rows(60, 6)[-1]
    assert marks[0] == " "
    assert marks[1] == "▲", "two requirements broke in minute 2, which is louder than what broke them"
    assert marks[30] == "▲"
    assert marks[2] == "●"


def test_without_a_day_the_hour_is_empty() -> None:
    assert "".join(HourChart(UNICODE).rows(40, 5)).strip() == ""
