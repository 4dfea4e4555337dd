"""Every shipped exercise: its start is sent back for the reason it names, and its solution passes."""

from __future__ import annotations

import pytest

from lbtutor.course.authoring import amiss_with
from lbtutor.course.exercises.manifest import Exercise, exercises

KINDS = {"implement", "fault", "law", "break", "audit"}


@pytest.mark.slow
@pytest.mark.parametrize("exercise", exercises(), ids=[exercise.id for exercise in exercises()])
def test_an_exercise_fails_as_given_and_its_solution_passes(exercise: Exercise) -> None:
    assert amiss_with(exercise, seed=5) == []


def test_every_kind_of_exercise_is_there_and_they_are_two_dozen() -> None:
    assert {exercise.kind for exercise in exercises()} == KINDS
    assert len(exercises()) >= 24


def test_no_two_exercises_give_the_same_file() -> None:
    names = [exercise.gives for exercise in exercises()]
    assert len(set(names)) == len(names)


def test_every_folder_of_exercises_is_in_the_manifest() -> None:
    folders = {path.name for path in exercises()[0].folder.parent.iterdir() if path.is_dir()}
    assert folders == {exercise.id for exercise in exercises()}
