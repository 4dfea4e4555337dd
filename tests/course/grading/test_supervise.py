"""Graders are processes that may die, hang or lie; none of that is a pass, and the next exercise has its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading.grader import Job, Task
from lbtutor.course.grading.record import Terms
from lbtutor.course.grading.supervise import marked

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for its children in /proc")

RIGHT = b"""
class LeastConnections:
    def pick(self, request, backends):
        return min(backends, key=lambda b: b.in_flight)
"""


def children() -> list[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def first_grader_gets(number: signal.Signals) -> Callable[[float], None]:
    """Send that to the first process that is seen, and to no other."""
    before, hit = set(children()), list[int]()

    def tell(share: float) -> None:
        if not hit and (found := set(children()) - before):
            hit.extend(found)
            os.kill(hit[0], number)

    return tell


def nobody(share: float) -> None:
    pass


@pytest.fixture
def two(least: Exercise, terms: Terms) -> Job:
    """Two exercises, and a right file for each."""
    return Job(tuple(Task(replace(least, id=name), least.gives, RIGHT) for name in ("first", "second")), terms)


@pytest.mark.slow
def test_each_exercise_gets_its_mark_in_order(two: Job) -> None:
    shares: list[float] = []
    marks = marked(two, shares.append)
    assert [(mark.exercise, mark.verdict) for mark in marks] == [("first", "pass"), ("second", "pass")]
    assert sorted(shares) == shares
    assert "rlimits yes" in marks[0].platform


@pytest.mark.slow
def test_a_grader_that_is_killed_is_a_grader_error_and_another_goes_on(two: Job) -> None:
    marks = marked(two, first_grader_gets(signal.SIGKILL))
    assert [mark.verdict for mark in marks] == ["grader_error", "pass"]
    assert (marks[0].score, marks[0].cause) == (0, "the grader ended with code -9")


@pytest.mark.slow
def test_a_grader_that_hangs_is_given_up(two: Job) -> None:
    impatient = replace(two, tasks=two.tasks[:1], terms=replace(two.terms, patience=0.5))
    (mark,) = marked(impatient, first_grader_gets(signal.SIGSTOP))
    assert (mark.verdict, mark.cause) == ("grader_error", "the grader said nothing for 0.5 s")


def test_nothing_is_marked_without_the_confinement_that_is_demanded(two: Job) -> None:
    marks = marked(replace(two, terms=replace(two.terms, require=("landlock", "a moat"))), nobody)
    assert [mark.verdict for mark in marks] == ["grader_error"] * 2
    assert "there was no a moat for learner code" in marks[1].cause or "landlock" in marks[1].cause


def test_whoever_is_told_may_stop_it_and_no_process_is_left(two: Job) -> None:
    before = set(children())

    def stop(share: float) -> None:
        if set(children()) - before:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        marked(two, stop)
    assert set(children()) == before
