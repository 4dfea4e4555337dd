"""Whom a learner's law accuses, and what that is worth."""

from __future__ import annotations

import pytest

from lbtutor.course.exercises.judging import Depth, Judgement, judge
from lbtutor.course.exercises.manifest import exercise
from lbtutor.testing.sandbox import read_submission, submission

TOO_STRICT = """
def holds(story):
    for row in story:
        if row["what"] == "pick" and row["up"]:
            least = min(row["open"][name] for name in row["up"])
            if row["chosen"] != next(name for name in row["up"] if row["open"][name] == least):
                return False
    return True
"""
"""Of several that are equally busy, it wants the first: but ties may fall anyhow."""


def judged(text: str) -> Judgement:
    return judge(exercise("least-busy-law"), submission("law.py", text), Depth(seed=3))


def test_a_right_law_catches_every_wrong_one_and_accuses_nobody() -> None:
    law = exercise("least-busy-law")
    found = judge(law, read_submission(law.solution), Depth(seed=3))
    assert found.outcome == "pass"
    assert found.share == 1.0


def test_a_law_that_accuses_a_right_balancer_fails_with_the_story_that_it_refused() -> None:
    found = judged(TOO_STRICT)
    accused = [
        finding for finding in found.findings if finding.says.startswith("right") and finding.verdict == "failed"
    ]
    assert found.outcome == "fail"
    assert found.cause.startswith("Your law refuses a story of a right one")
    assert accused[0].told[0].startswith("servers:")
    assert accused[0].told[-1].endswith("X")
    assert found.share < 1.0


@pytest.mark.parametrize("answer", ["True", "False"])
def test_a_law_that_always_answers_the_same_is_worth_nothing(answer: str) -> None:
    found = judged(f"def holds(story):\n    return {answer}\n")
    assert found.outcome == "fail"
    assert found.share < 0.5


def test_a_law_that_raises_is_told_its_line() -> None:
    found = judged("def holds(story):\n    return story[0]['nonsense']\n")
    assert found.outcome == "fail"
    assert "KeyError" in found.got
    assert "line 2" in found.next


def test_an_answer_that_is_no_truth_value_is_no_verdict() -> None:
    found = judged("def holds(story):\n    return 'yes'\n")
    assert found.outcome == "fail"
    assert "'yes'" in found.got


@pytest.mark.parametrize("text", ["def other(story):\n    return True\n", "def holds(:\n", "raise SystemExit(0)\n"])
def test_a_file_without_a_law_is_no_pass(text: str) -> None:
    found = judged(text)
    assert found.outcome in ("not gradable", "fail")
    assert found.share == 0.0
