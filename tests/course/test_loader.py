"""What an author is told: each mistake with its file, its place and what would be accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbtutor.core import ConfigError, Seconds
from lbtutor.course.goals import FailedOver
from lbtutor.course.loader import examine, load, read_head


def test_a_right_lesson_is_read_whole(write_lesson: Any) -> None:
    examined = examine(write_lesson())
    lesson = examined.lesson
    assert examined.complaints == ()
    assert examined.warnings == ()
    assert lesson is not None
    assert (lesson.id, lesson.number, lesson.words) == ("small", 1, {"turn": "what everybody gets"})
    assert [step.id for step in lesson.steps] == ["first", "second", "third"]
    first, second, third = lesson.steps
    assert first.title == "First"
    assert first.text == "Some *text*."
    assert first.question is not None
    assert [(choice.key, choice.right) for choice in first.question.choices] == [("a", True), ("b", False)]
    assert second.task is not None
    assert second.task.goals[1].condition == FailedOver("web/a", 2)
    assert [act.at for act in second.task.rehearse] == [2.0]
    assert third.question is not None
    assert third.question.returns_after == Seconds(86_400)


MISTAKES: list[tuple[str, str, str, str]] = [
    (
        "lesson.md",
        'kind = "task"',
        'kind = "taks"',
        "lesson.md:30: kind: step `second`: there is no kind `taks`; did you mean `task`?",
    ),
    ("lesson.md", 'id = "second"', 'idd = "second"', "lesson.md:29: idd: there is no such key; did you mean `id`?"),
    ("lesson.md", 'id = "second"', 'id = "first"', "step `first`: an earlier step has this id"),
    ("lesson.md", 'id = "second"', 'id = "The Second"', "an id is made of lower-case letters"),
    ("lesson.md", 'scene = "pair"', 'scene = "pear"', "there is no usable scenes/pear.toml; did you mean `pair`?"),
    (
        "lesson.md",
        'question = "whose"',
        'question = "whos"',
        "questions.toml has no usable [whos]; did you mean `whose`?",
    ),
    ("lesson.md", 'question = "later"', 'question = "whose"', "step `first` asks this question already"),
    ("lesson.md", 'question = "later"', "", "a step of the kind `recall` needs a `question`"),
    ("lesson.md", "failed_over = ", "faild_over = ", "a goal names exactly one of fault, failed_over"),
    ("lesson.md", "requests = 2 }", "request = 2 }", "request: there is no such key; did you mean `requests`?"),
    ("lesson.md", 'failed_over = "web/a"', 'failed_over = "web/q"', "the scene has no backend `web/q`"),
    ("lesson.md", 'says = "a crashed", ', "", "a goal needs `says`"),
    ("lesson.md", 'crash = { backend = "web/a" }', 'crash = { backend = "web/z" }', "the scene has no backend `web/z`"),
    ("lesson.md", '"2s"', '"2h"', "is after the end of the scene (30s)"),
    ("lesson.md", '"2s"', "2", 'is not a duration: write a number and a unit, such as "30s"'),
    ("lesson.md", 'kind = "task"', 'kind = "task"\nalgorithm = "round_robbin"', "did you mean `round_robin`?"),
    ("lesson.md", "minutes = 1", 'minutes = "one"', "lesson.md:4: minutes: expected `int`, got `str`"),
    ("lesson.md", "minutes = 1", "minutes = 1\nhours = 0", "lesson.md:5: hours: there is no such key"),
    ("lesson.md", 'id = "third"', 'id = "third', "lesson.md: not valid TOML"),
    ("questions.toml", "right = true", "", "questions.toml:1: whose: exactly one choice is `right = true`, not 0"),
    (
        "questions.toml",
        'because = "b had',
        'right = true\nbecause = "b had',
        "exactly one choice is `right = true`, not 2",
    ),
    ("questions.toml", 'because = "b had the second."', "", 'choice 2 ("b\'s") needs `because`'),
    (
        "questions.toml",
        '"X01"',
        '"X00"',
        "names the misconception `X00`, which misconceptions.toml lacks; did you mean `X01`?",
    ),
    (
        "questions.toml",
        'because = "Two make',
        'misconception = "X01"\nbecause = "Two make',
        "is right, so it cannot show",
    ),
    ("questions.toml", 'text = "a\'s"', 'text = "b\'s"', "is offered twice"),
    ("questions.toml", 'ask = "Whose', 'aks = "Whose', "there is no such key; did you mean `ask`?"),
    ("questions.toml", 'returns_after = "24h"', "", "needs `returns_after`, since it comes back"),
    ("scenes/pair.toml", "algorithm =", "algorythm =", "pair.toml:5: pool.web.algorythm: there is no such key"),
]


@pytest.mark.parametrize(("file", "old", "new", "told"), MISTAKES, ids=[mistake[3][-44:] for mistake in MISTAKES])
def test_a_mistake_is_told_with_its_place(write_lesson: Any, file: str, old: str, new: str, told: str) -> None:
    examined = examine(write_lesson((file, old, new)))
    assert examined.lesson is None
    assert any(told in complaint for complaint in examined.complaints), examined.complaints


def test_every_mistake_is_told_at_once(write_lesson: Any) -> None:
    folder = write_lesson(
        ("lesson.md", 'kind = "task"', 'kind = "taks"'),
        ("questions.toml", '"X01"', '"X00"'),
        ("scenes/pair.toml", "rate = 2", "rate = 0"),
    )
    with pytest.raises(ConfigError) as caught:
        load(folder)
    told = str(caught.value)
    assert "taks" in told
    assert "X00" in told
    assert "`rate` is requests a second" in told


def test_a_heading_without_a_step_block_is_told_by_its_line(write_lesson: Any) -> None:
    examined = examine(write_lesson(("lesson.md", "## Third", "## Between\n\nNo block.\n\n## Third")))
    assert any("lesson.md:43: the step 'Between' has no step block" in said for said in examined.complaints)


def test_text_before_the_first_step_is_not_lost_silently(write_lesson: Any) -> None:
    examined = examine(write_lesson(("lesson.md", "## First", "Hello.\n\n## First")))
    assert any("lesson.md:11: this text belongs to no step" in said for said in examined.complaints)


def test_a_task_that_goes_on_must_rehearse_what_came_before(write_lesson: Any) -> None:
    more = 'id = "third"\ntask = { says = "Wait.", goals = [{ says = "one came", picked = "web/b" }] }'
    examined = examine(write_lesson(("lesson.md", 'id = "third"', more)))
    assert any("step `third`: the run goes on from the step before" in said for said in examined.complaints)


def test_long_text_is_a_warning_and_no_hindrance(write_lesson: Any) -> None:
    examined = examine(write_lesson(("lesson.md", "More text.", "Long. " * 200)))
    assert examined.lesson is not None
    assert "takes 34 rows of 36 columns" in examined.warnings[0]


def test_code_that_is_too_wide_is_a_warning(write_lesson: Any) -> None:
    examined = examine(write_lesson(("lesson.md", "More text.", f"```\n{'x' * 40}\n```")))
    assert "wider than 36 columns" in examined.warnings[0]


def test_a_question_that_nobody_asks_is_a_warning(write_lesson: Any) -> None:
    renamed = [("questions.toml", "[later]", "[spare]"), ("questions.toml", "[[later", "[[spare")]
    unasked = ("lesson.md", 'kind = "recall"\nquestion = "later"', 'kind = "explain"')
    examined = examine(write_lesson(*renamed, unasked))
    assert examined.lesson is not None
    assert [warning.rpartition(": ")[2] for warning in examined.warnings] == ["no step asks `spare`"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no head", "lesson.md:1: a lesson begins with a line +++"),
        ("+++\ntitle = 1\n", "lesson.md:1: the head that begins here has no second +++ line"),
        ("+++\n+++\n\n## A\n\n```step\nid = 1\n", "lesson.md:6: the block that begins here is never closed"),
    ],
)
def test_a_manuscript_out_of_shape_is_told(write_lesson: Any, text: str, told: str) -> None:
    folder = write_lesson()
    (folder / "lesson.md").write_text(text, encoding="utf-8")
    assert told in examine(folder).complaints[0]


def test_a_file_that_is_not_text_is_told(write_lesson: Any) -> None:
    folder = write_lesson()
    (folder / "lesson.md").write_bytes(b"\xff\xfe")
    assert examine(folder).complaints == (f"{folder / 'lesson.md'}: not UTF-8 text",)


def test_a_folder_without_a_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="named by its number and id, such as 03-round-robin"):
        read_head(tmp_path / "small")
