"""Marks: points by laws, remarks that decide nothing, and no pass without evidence."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lbtutor.course.exercises import by_laws
from lbtutor.course.exercises.judging import Depth, Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise, exercise
from lbtutor.course.exercises.workspace import given
from lbtutor.course.grading.marking import mark
from lbtutor.course.grading.record import Mark, Terms
from lbtutor.testing.program import Program
from lbtutor.testing.report import Counterexample
from lbtutor.testing.sandbox import Submission, submission

HEAD = "class LeastConnections:\n    def pick(self, request, backends):\n"
RIGHT = HEAD + "        return min(backends, key=lambda b: b.in_flight)\n"
TOTAL = """
class LeastConnections:
    def __init__(self):
        self.served = {}
    def pick(self, request, backends):
        chosen = min(backends, key=lambda b: self.served.get(b.name, 0))
        self.served[chosen.name] = self.served.get(chosen.name, 0) + 1
        return chosen
"""


def marked(text: str, least: Exercise, terms: Terms) -> Mark:
    return mark(least, submission(least.gives, text), terms)


def test_a_right_file_has_all_points_and_evidence_for_each_law(least: Exercise, terms: Terms) -> None:
    found = marked(RIGHT, least, terms)
    assert (found.verdict, found.score, found.max_score, found.remarks) == ("pass", 8, 8, ())
    assert [(suite.verdict, suite.score) for suite in found.suites] == [("passed", 1)] * 8
    assert all(suite.examples for suite in found.suites)


def test_a_wrong_file_has_the_points_of_the_laws_that_it_keeps_and_stories_for_the_others(
    least: Exercise, terms: Terms
) -> None:
    found = marked(TOTAL, least, terms)
    held = [suite for suite in found.suites if suite.verdict == "passed"]
    broken = [suite for suite in found.suites if suite.verdict == "failed"]
    assert found.verdict == "fail"
    assert found.score == len(held) == 8 - len(broken)
    assert 0 < found.score < 8
    assert all(suite.failure is not None and suite.failure.story and suite.failure.trace["ops"] for suite in broken)


def test_hidden_laws_are_tried_and_marked_as_hidden(least: Exercise, terms: Terms) -> None:
    hidden = [suite.id for suite in marked(RIGHT, least, terms).suites if suite.hidden]
    assert hidden == ["who_comes_back_has_its_requests"]


def test_the_mistake_of_a_wrong_file_is_named_as_a_remark(least: Exercise, terms: Terms) -> None:
    assert marked(TOTAL, least, terms).remarks == ("looks like: fewest served so far, not fewest under way.",)


def test_what_does_not_fail_every_time_is_told_as_such(
    least: Exercise, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Counterexample(Program({}, (("pick",),)), 0, ("1  pick",), "a", "b", "", repeats="14 of 20")
    judged = Judgement("least", "fail", (Finding("a", "", "failed", counterexample=found, examples=3),))
    monkeypatch.setattr(by_laws, "judge", lambda *_: judged)
    (suite,) = marked(RIGHT, least, terms).suites
    assert suite.failure is not None
    assert suite.failure.repeats == "14 of 20"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("def pick(:", "line 1"),
        ("x = 1", "no class LeastConnections"),
        ("import os\nos._exit(0)", "ended its process (exit code 0)"),
        ("raise ValueError('\\x1b[2J')", "\\x1b[2J"),
        ("while True: pass", "took longer"),
    ],
)
def test_a_file_that_gives_no_answers_is_not_gradable(text: str, cause: str, least: Exercise, terms: Terms) -> None:
    hasty = replace(terms, limits=type(terms.limits)(load=0.3))
    found = marked(text, least, hasty)
    assert (found.verdict, found.score) == ("not_gradable", 0)
    assert cause in found.cause


def test_the_start_and_the_solution_are_recognised(terms: Terms) -> None:
    shipped = exercise("least-connections")
    unchanged = mark(shipped, submission(shipped.gives, given(shipped)), terms)
    solved = mark(shipped, Submission(shipped.gives, shipped.solution.read_bytes()), terms)
    assert (unchanged.verdict, unchanged.remarks[0]) == ("fail", "as it was given, unchanged")
    assert (solved.verdict, solved.remarks) == ("pass", ("the same bytes as the solution that ships with lbtutor",))


@pytest.mark.parametrize(
    "findings",
    [
        (),
        (Finding("a", "", "not checked"),),
        (Finding("a", "", "passed", examples=0),),
        (Finding("a", "", "passed", examples=9), Finding("b", "", "unknown")),
    ],
)
def test_a_pass_without_evidence_is_our_fault_and_no_pass(
    findings: tuple[Finding, ...], least: Exercise, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(exercise: Exercise, file: Submission, depth: Depth) -> Judgement:
        return Judgement(exercise.id, "pass", findings)

    monkeypatch.setattr(by_laws, "judge", careless)
    found = marked(RIGHT, least, terms)
    assert (found.verdict, found.score) == ("grader_error", 0)


def test_a_judge_that_falls_over_is_our_fault(least: Exercise, terms: Terms, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Judgement:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(by_laws, "judge", broken)
    found = marked(RIGHT, least, terms)
    assert (found.verdict, found.cause) == ("grader_error", "ZeroDivisionError: ours")


TRAFFIC = '[[traffic]]\nto = "front"\nrate = 80\nclients = 1\n'


@pytest.mark.parametrize("name", ["break-ip-hash", "audit-chapter"])
@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 8_000,
        "x = " + "9" * 5_000,
        "a." * 500_000 + "b = 1",
        TRAFFIC * 20_000,
        TRAFFIC + "requests = 1000000\n",
        TRAFFIC + 'websocket = { lasts = "20s", every = "0.0001ms" }\n',
    ],
    ids=["deep", "digits", "dots", "many", "keep-alive", "websocket"],
)
def test_data_that_would_keep_the_grader_busy_is_the_learners_fault(name: str, text: str, terms: Terms) -> None:
    hostile = exercise(name)
    assert mark(hostile, submission(hostile.gives, text), terms).verdict in ("not_gradable", "fail")


def test_a_file_that_breaks_the_compiler_is_not_gradable_and_no_error_of_ours(least: Exercise, terms: Terms) -> None:
    found = marked(RIGHT + "x = [1 " + "for x in y " * 70_000 + "]", least, terms)
    assert (found.verdict, found.score) == ("not_gradable", 0)
    assert "Python itself breaks down" in found.cause
