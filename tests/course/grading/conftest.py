"""A class in a folder: who handed in what, and how it is graded here (quickly, with a seed that is known)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading.record import Terms
from lbtutor.testing.sandbox import Limits

GIVES = "least_connections.py"


@pytest.fixture
def least() -> Exercise:
    """An exercise of our own, with one hidden law and a point for each of its eight."""
    return Exercise(
        id="least", kind="implement", section="4.3", title="The least", asks="", gives=GIVES, hints=("", "", ""),
        component="least_connections", cls="LeastConnections", points=8, hidden=("who_comes_back_has_its_requests",),
    )  # fmt: skip


@pytest.fixture
def terms() -> Terms:
    """A brief look, and no patience for those who hang."""
    return Terms(5, "brief", Limits(load=5, call=0.5, batch=2, suite=5, deaths=1), patience=120)


@pytest.fixture
def class_of(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """A class's folder, with one file for each learner."""

    def make(files: Mapping[str, str | bytes]) -> Path:
        for name, text in files.items():
            folder = tmp_path / "class" / name
            folder.mkdir(parents=True)
            (folder / GIVES).write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / "class"

    return make
