"""How long grading takes: `pytest -m benchmark -s tests/benchmarks/test_grading.py`.

A class of learners with ten exercises each, every fourth file as it was given (wrong) and the rest solved, is graded
with one lane and with one for each core. `LBTUTOR_LEARNERS=100` is the class that the goals speak of; the default is a
small one, since learners share nothing and the time is theirs, added up.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter

import pytest

from lbtutor.course.exercises.manifest import Exercise, exercises
from lbtutor.course.exercises.workspace import given, solution
from lbtutor.course.grading.handed import Handed, handed_in
from lbtutor.course.grading.record import Records, Terms, is_faulty
from lbtutor.course.grading.run import grade

pytestmark = pytest.mark.benchmark

LEARNERS = int(os.environ.get("LBTUTOR_LEARNERS", "4"))
EXERCISES = 10


@pytest.fixture
def chosen() -> tuple[Exercise, ...]:
    return exercises()[:EXERCISES]


@pytest.fixture
def everybody(tmp_path: Path, chosen: tuple[Exercise, ...]) -> list[Handed]:
    for number in range(LEARNERS):
        folder = tmp_path / "class" / f"learner{number:03}"
        folder.mkdir(parents=True)
        for at, exercise in enumerate(chosen):
            text = given(exercise) if (number + at) % 4 == 0 else solution(exercise)
            (folder / exercise.gives).write_text(text)
    return handed_in([tmp_path / "class"], chosen)


def test_a_class_on_one_core_and_on_all(everybody: list[Handed], chosen: tuple[Exercise, ...], tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    seconds = {}
    for lanes in (1, cores):
        began = perf_counter()
        graded = grade(everybody, chosen, Terms(7), Records(tmp_path / str(lanes)), lambda share: None, lanes=lanes)
        seconds[lanes] = perf_counter() - began
        assert not is_faulty(graded.records)
        each = seconds[lanes] / len(everybody)
        print(f"{len(everybody)} x {len(chosen)}, {lanes} lanes: {seconds[lanes]:.1f} s, {each:.2f} s a learner")
    print(f"{seconds[1] / seconds[cores]:.2f} times as fast on {cores} cores")
