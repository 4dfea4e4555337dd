"""The learner's files: written once, and never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.core.errors import ConfigError, EnvironmentFault
from lbtutor.course.exercises.manifest import Exercise, exercises
from lbtutor.course.exercises.workspace import Workspace, find, given, solution
from lbtutor.testing.sandbox import NotGradable


def test_a_file_begins_with_what_is_asked_and_how_to_check_it(counting: Exercise, workspace: Workspace) -> None:
    assert workspace.start(counting)
    text = workspace.path(counting).read_text()
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert " ".join(line[2:] for line in head).startswith(counting.asks)
    assert "lbtutor exercise check least-connections" in head[-2]
    assert "lbtutor exercise watch least-connections" in head[-1]
    assert text.endswith(counting.start.read_text())


def test_starting_again_leaves_what_was_written(counting: Exercise, workspace: Workspace) -> None:
    workspace.start(counting)
    workspace.path(counting).write_text("mine")
    assert not workspace.start(counting)
    assert workspace.path(counting).read_text() == "mine"


def test_every_reset_keeps_what_was_there_under_its_own_number(counting: Exercise, workspace: Workspace) -> None:
    kept = []
    for text in ("first", "second"):
        workspace.start(counting)
        workspace.path(counting).write_text(text)
        kept.append(workspace.reset(counting))
        assert workspace.path(counting).read_text() == given(counting)
    assert [path.name for path in kept if path] == ["least_connections.before-1.py", "least_connections.before-2.py"]
    assert [path.read_text() for path in kept if path] == ["first", "second"]


def test_a_reset_of_what_nobody_changed_keeps_no_copy(counting: Exercise, workspace: Workspace) -> None:
    workspace.start(counting)
    assert workspace.reset(counting) is None
    assert [path.name for path in workspace.folder.iterdir()] == ["least_connections.py"]


def test_what_is_not_there_says_how_it_comes_there(counting: Exercise, workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="lbtutor exercise start least-connections"):
        workspace.read(counting)


def test_a_link_is_not_followed(counting: Exercise, workspace: Workspace) -> None:
    workspace.folder.mkdir()
    workspace.path(counting).symlink_to(counting.solution)
    assert not workspace.start(counting)
    with pytest.raises(NotGradable, match="symbolic link"):
        workspace.read(counting)


def test_a_workspace_that_is_a_file_is_told_and_left_alone(counting: Exercise, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a letter")
    with pytest.raises(EnvironmentFault, match="not a folder"):
        Workspace(tmp_path / "mine").start(counting)
    assert (tmp_path / "mine").read_text() == "a letter"


def test_an_exercise_is_found_by_its_id_its_number_and_its_file(counting: Exercise) -> None:
    number = exercises().index(counting) + 1
    for name in ("least-connections", str(number), "least_connections.py", "somewhere/least_connections.py"):
        assert find(name, exercises()) is counting
    with pytest.raises(ConfigError, match="did you mean 'least-connections'"):
        find("least-conections", exercises())


def test_what_is_given_differs_from_what_solves_it(counting: Exercise) -> None:
    assert solution(counting) not in given(counting)
