"""Canaries: the wrong ones are wrong, the right ones right, and there is one for each kind that is graded."""

from __future__ import annotations

import pytest

from lbtutor.course.exercises.manifest import Exercise, exercise, exercises
from lbtutor.course.grading import canary
from lbtutor.course.grading.canary import a_wrong_one_fails, canaries
from lbtutor.course.grading.marking import mark
from lbtutor.course.grading.record import Terms


@pytest.mark.slow
def test_each_canary_fares_as_it_must(terms: Terms) -> None:
    chosen = [exercise("least-connections"), exercise("least-busy-law")]
    known = list(canaries(chosen))
    assert [one.passes for one in known] == [False, False, True, False, True]
    assert [mark(one.exercise, one.file, terms).verdict == "pass" for one in known] == [one.passes for one in known]


def test_every_kind_that_is_graded_has_a_canary_of_each_sort() -> None:
    kinds = {one.kind for one in exercises()} - {"fault"}
    assert {(one.exercise.kind, one.passes) for one in canaries(exercises())} >= {
        (kind, passes) for kind in kinds for passes in (True, False)
    }


def test_a_grader_sees_for_itself_that_what_is_wrong_fails(monkeypatch: pytest.MonkeyPatch, least: Exercise) -> None:
    assert a_wrong_one_fails(1)
    monkeypatch.setattr(canary, "_EMPTY", canary._RIGHT)  # as if everything passed
    assert not a_wrong_one_fails(1)
