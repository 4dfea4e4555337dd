"""One shipped exercise, and a workspace that nobody else has."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.course.exercises.manifest import Exercise, exercise
from lbtutor.course.exercises.workspace import Workspace


@pytest.fixture
def counting() -> Exercise:
    """Least connections: one method with one gap."""
    return exercise("least-connections")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty one."""
    return Workspace(tmp_path / "mine")
