"""What is told first of a file that breaks several laws, and how long its story is."""

from __future__ import annotations

from lbtutor.course.exercises.by_laws import LONG
from lbtutor.course.exercises.judging import Depth, Finding, judge
from lbtutor.course.exercises.manifest import exercise
from lbtutor.testing.sandbox import read_submission


def test_of_all_broken_laws_the_one_that_the_gap_is_about_is_told_first() -> None:
    router = exercise("router")
    for seed in (1, 1787685874):
        told: list[Finding] = []
        judged = judge(router, read_submission(router.start), Depth(seed=seed, told=told.append))
        failed = [finding for finding in told if finding.verdict == "failed"]
        assert failed[0].name == router.fails
        assert judged.cause == failed[0].says
        assert {finding.name for finding in told} == {finding.name for finding in judged.findings}


def test_a_long_story_is_told_by_its_beginning_and_its_end() -> None:
    timing = exercise("least-response-time")
    judged = judge(timing, read_submission(timing.start), Depth(seed=5))
    told = next(finding for finding in judged.findings if finding.name == timing.fails)
    assert told.counterexample is not None
    assert len(told.counterexample.story) > LONG
    assert len(told.told) == LONG
    assert told.told[0] == told.counterexample.story[0]
    assert told.told[-1] == told.counterexample.story[-1]
