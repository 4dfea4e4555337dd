"""The audit: every number that a question relies on is measured here, on the run that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbtutor.core import ConfigError, ContractError
from lbtutor.course.challenge import audit
from lbtutor.course.challenge.audit import MEASURES, Hunt, Item, RunSpec, Show, design_of, load_audit, shown
from lbtutor.course.challenge.audit_told import tell_audit
from lbtutor.course.challenge.design import Design, find_design, load_design
from lbtutor.course.challenge.unfold import Day, play_day
from lbtutor.course.lesson import Question
from lbtutor.course.progress import Progress

ITEMS = load_audit()


@pytest.fixture(scope="module")
def played() -> Callable[[Design], Day]:
    """Each different design is played once."""
    known: list[tuple[Design, Day]] = []

    def play(design: Design) -> Day:
        if design not in [one for one, _ in known]:
            known.append((design, play_day(design)))
        return next(day for one, day in known if one == design)

    return play


@pytest.mark.slow
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.question.id)
def test_every_run_shows_what_its_question_relies_on(item: Item, played: Callable[[Design], Day]) -> None:
    for run in item.runs:
        for one in shown(played(design_of(run)), run):
            assert one.holds, f"{run.says}: {one.says} ({one.value})"


def test_there_is_a_question_for_each_number_that_the_issue_names() -> None:
    assert [item.question.id for item in ITEMS] == [
        "fifty",
        "twice",
        "growing",
        "three",
        "third",
        "automatic",
        "names",
        "carts",
        "both",
        "least",
        "nines",
    ]


def test_every_question_tells_what_the_chapter_says_and_has_a_run_with_numbers() -> None:
    for item in ITEMS:
        assert item.chapter
        assert item.title
        assert item.runs
        assert all(run.shows and "{}" in show.says for run in item.runs for show in run.shows)


def test_every_measure_is_used() -> None:
    used = {show.measure for item in ITEMS for run in item.runs for show in run.shows}
    assert used == set(MEASURES)


# variations of a design


def test_a_run_without_changes_is_the_shipped_design() -> None:
    assert design_of(RunSpec("as it is", "chapter", ())) == load_design(find_design("chapter"))


def test_changes_and_removals_reach_every_key_that_a_star_stands_for() -> None:
    run = RunSpec(
        "", "passing", (), change={"pool.*.retry": {"attempts": 1}, "dns.ttl": "7s"}, remove=("pool.*.scale",)
    )
    design = design_of(run)
    assert float(design.dns.ttl) == 7
    assert {pool.retry.attempts for pool in design.pool.values()} == {1}
    assert {pool.scale for pool in design.pool.values()} == {None}
    assert design_of(RunSpec("", "passing", ())) == load_design(find_design("passing")), "the shipped one is untouched"


def test_a_change_that_makes_it_no_design_is_an_error() -> None:
    with pytest.raises(ConfigError, match="`count` is between 1 and 100"):
        design_of(RunSpec("", "chapter", (), change={"balancers.count": 0}))


def test_a_number_outside_of_what_is_relied_on_does_not_hold() -> None:
    day = play_day(load_design(find_design("chapter")))
    show = Show("carts_missed", "{} carts", between=(0, 0), during=(0, 3600))
    (one,) = shown(day, RunSpec("", "chapter", (show,)))
    assert not one.holds
    assert one.value == day.tape.total("carts_lost")
    assert one.says == f"{round(one.value):,} carts".replace(",", " ")


# the file


WRONG = """
[one]
title = "One"
chapter = "It says so."
ask = "Is it?"
then = "Look."
choices = [{ text = "yes", right = true, because = "it is" }, { text = "no", because = "it is" }]

[[one.runs]]
says = "a run"
design = "chaptr"
shows = [{ measure = "servd", says = "{}", between = [0, 1] }]
"""


def test_what_is_wrong_in_the_file_is_told_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "challenge").mkdir()
    (tmp_path / "challenge" / "audit.toml").write_text(WRONG, encoding="utf-8")
    monkeypatch.setattr(audit, "library_folder", lambda _name: tmp_path)
    with pytest.raises(ConfigError) as error:
        load_audit()
    assert "did you mean `chapter`" in str(error.value)
    assert "did you mean `served`" in str(error.value)


# the learner


@pytest.fixture
def hunt(tmp_path: Path) -> Hunt:
    return Hunt(ITEMS, Progress.load(tmp_path))


def test_a_prediction_is_recorded_and_found_again(hunt: Hunt, tmp_path: Path) -> None:
    assert hunt.left == list(ITEMS)
    feedback = hunt.answer(ITEMS[0], "a")
    assert feedback.right is False
    again = Hunt(ITEMS, Progress.load(tmp_path))
    assert again.left == list(ITEMS[1:])
    chosen = again.answered(ITEMS[0])
    assert chosen is not None
    assert chosen.key == "a"


def test_a_letter_that_is_not_offered_is_refused(hunt: Hunt) -> None:
    with pytest.raises(ContractError, match="offers no choice 'f'"):
        hunt.answer(ITEMS[0], "f")
    assert hunt.left == list(ITEMS)


def answering(*typed: str | None) -> Callable[[Question], str | None]:
    row = iter(typed)
    return lambda _question: next(row)


def test_the_prediction_comes_before_the_run_and_its_worth_after(
    tmp_path: Path, played: Callable[[Design], Day]
) -> None:
    hunt = Hunt(ITEMS[:1], Progress.load(tmp_path))
    order: list[str] = []

    def ask(question: Question) -> str:
        order.append("asked")
        return "b"

    def play(design: Design) -> Day:
        order.append("played")
        return played(design)

    lines = list(tell_audit(hunt, ask=ask, play=play))
    assert order == ["asked", "played"]
    told = "\n".join(lines)
    assert told.index("Question: These fifty") < told.index("Run: ") < told.index("Right: a little less than half.")
    assert "49 % of the peak" in told or "48.8 % of the peak" in told
    assert "1 of 1 predictions were right." in told
    assert all(len(line) <= 80 for line in lines)


def test_a_letter_that_is_not_offered_is_asked_for_again(tmp_path: Path, played: Callable[[Design], Day]) -> None:
    hunt = Hunt(ITEMS[:1], Progress.load(tmp_path))
    lines = list(tell_audit(hunt, ask=answering("x", "b"), play=played))
    assert "There is no choice 'x': type one of a, b, c." in lines
    assert hunt.left == []


def test_who_says_nothing_is_told_the_answer_and_nothing_is_recorded(
    tmp_path: Path, played: Callable[[Design], Day]
) -> None:
    hunt = Hunt(ITEMS[:1], Progress.load(tmp_path))
    told = "\n".join(tell_audit(hunt, ask=answering(None), play=played))
    assert "The answer is: a little less than half." in told
    assert "Nothing is recorded" in told
    assert hunt.left == [ITEMS[0]]


def test_what_was_answered_before_is_passed_over(tmp_path: Path, played: Callable[[Design], Day]) -> None:
    hunt = Hunt((ITEMS[1], ITEMS[0]), Progress.load(tmp_path))
    hunt.answer(ITEMS[1], "c")
    told = "\n".join(tell_audit(hunt, ask=answering("b"), play=played))
    assert "1 of 2 you have answered before." in told
    assert ITEMS[1].title not in told
    assert "2 of 2. Fifty instances" in told
