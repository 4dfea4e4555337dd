"""The numbers of a design are judged by what they follow from."""

from __future__ import annotations

import pytest

from lbtutor.core import ConfigError
from lbtutor.course.exercises.by_answers import questions, right, worked_out
from lbtutor.course.exercises.judging import Depth, Judgement, judge
from lbtutor.course.exercises.manifest import exercise
from lbtutor.testing.sandbox import read_submission, submission

AUDIT = exercise("audit-chapter")


def judged(text: str) -> Judgement:
    return judge(AUDIT, submission("audit.toml", text), Depth())


def solved() -> str:
    return AUDIT.solution.read_text(encoding="utf-8")


def test_the_right_numbers_pass() -> None:
    assert judge(AUDIT, read_submission(AUDIT.solution), Depth()).outcome == "pass"


def test_one_wrong_number_gets_its_cause_and_its_line() -> None:
    text = solved().replace("balancers = 10", "balancers = 3")
    found = judged(text)
    line = text.splitlines().index("balancers = 3") + 1
    assert found.outcome == "fail"
    assert found.got == "3"
    assert f"line {line}" in found.next
    assert [finding.name for finding in found.findings if finding.verdict == "failed"] == ["balancers"]


def test_the_time_until_a_dead_instance_is_out_comes_from_a_run() -> None:
    asked = next(question for question in questions(AUDIT.folder) if question.name == "dead_for")
    assert asked.run is not None
    assert right(AUDIT.folder, asked) == pytest.approx(90, abs=1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("capacity = 1\n", "there is no number for"),
        ("capacityy = 1\n", "did you mean `capacity`"),
        ('capacity = "many"\n', "capacity"),
        ("capacity = \n", "not valid TOML"),
    ],
)
def test_a_file_that_does_not_answer_is_told_why(text: str, complaint: str) -> None:
    found = judged(text)
    assert found.outcome == "not gradable"
    assert complaint in found.got


@pytest.mark.parametrize("answer", ["nan", "inf", "-500000", "1e300"])
def test_no_odd_number_is_a_right_one(answer: str) -> None:
    found = judged(solved().replace("capacity = 500_000", f"capacity = {answer}"))
    assert found.outcome == "fail"


@pytest.mark.parametrize(
    ("formula", "value"), [("50 * 10000", 500_000), ("100 * 0.99 ** 50", 60.5006), ("(run - 1) / 2", 4.5)]
)
def test_formulas_are_worked_out(formula: str, value: float) -> None:
    assert worked_out(formula, {"run": 10}) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("formula", ["__import__('os')", "run.real", "other + 1", "'a' * 9"])
def test_a_formula_is_nothing_but_numbers(formula: str) -> None:
    with pytest.raises(ConfigError):
        worked_out(formula, {"run": 10})
