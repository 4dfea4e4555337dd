"""The workspace: a folder of the learner's own files, one an exercise, to be opened in any editor.

A file begins with what the exercise asks and how to check it, and is written once. From then on it is the learner's:
nothing here ever overwrites it, and a reset keeps what was there beside it, under a number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from lbtutor.core.errors import ConfigError, EnvironmentFault, hint
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.sandbox import Submission, read_submission

DEFAULT = "lbtutor-exercises"
"""The folder below the current one, for somebody who has none yet."""

_WIDTH = 88


class Workspace:
    """The learner's files in one folder, named as the manifest has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<Workspace {self.folder}>"

    def path(self, exercise: Exercise) -> Path:
        """Where the learner's file for it is, or would be."""
        return self.folder / exercise.gives

    def has(self, exercise: Exercise) -> bool:
        """Whether there is such a file."""
        return self.path(exercise).is_file()

    def begun(self, exercise: Exercise) -> Path:
        """Where the learner's file is. Raises `ConfigError` when there is none, and says how to begin."""
        path = self.path(exercise)
        if not os.path.lexists(path):
            raise ConfigError(f"{shown(path)} is not there; `lbtutor exercise start {exercise.id}` puts it there")
        return path

    def read(self, exercise: Exercise) -> Submission:
        """The learner's file, to be judged. Raises `ConfigError` when there is none, `NotGradable` if it is no file."""
        return read_submission(self.begun(exercise))

    def start(self, exercise: Exercise) -> bool:
        """Put the file there; False when it already is, and then it stays as it is. Raises `EnvironmentFault`."""
        path = self.path(exercise)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(path, "x", encoding="utf-8") as file:
                file.write(given(exercise))
        except FileExistsError as error:
            if self.folder.is_dir():
                return False
            raise EnvironmentFault(f"{shown(self.folder)} is not a folder; name another with --in") from error
        except OSError as error:
            raise EnvironmentFault(f"{shown(path)} cannot be written: {error.strerror}") from error
        return True

    def reset(self, exercise: Exercise) -> Path | None:
        """Put the file back to its start; what was there is now at the path that is returned.

        None if nothing of the learner's was there. Raises `EnvironmentFault`.
        """
        path = self.path(exercise)
        try:
            if self._is_as_given(exercise):
                return None
            kept = _set_aside(path) if os.path.lexists(path) else None
        except OSError as error:
            raise EnvironmentFault(f"{shown(path)} cannot be reset: {error.strerror}") from error
        self.start(exercise)
        return kept

    def _is_as_given(self, exercise: Exercise) -> bool:
        path = self.path(exercise)
        return path.is_file() and not path.is_symlink() and path.read_bytes() == given(exercise).encode()


def given(exercise: Exercise) -> str:
    """What a learner is given: the start, under a head that says what to do and how to check it."""
    return f"{_head(exercise)}\n{_text(exercise.start)}"


def solution(exercise: Exercise) -> str:
    """The text of what solves it."""
    return _text(exercise.solution)


def find(name: str, exercises: Sequence[Exercise]) -> Exercise:
    """The exercise that is meant by its id, its number in the list, or its file's name.

    Raises `ConfigError` with the nearest id.
    """
    for number, exercise in enumerate(exercises, 1):
        if name in (exercise.id, str(number)) or os.path.basename(name) == exercise.gives:
            return exercise
    known = [exercise.id for exercise in exercises]
    raise ConfigError(f"there is no exercise {name!r}; {hint(name, known)}")


def shown(path: Path) -> str:
    """A path as a person would type it here: relative where it is below the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, FileNotFoundError):
        return str(path)


def _head(exercise: Exercise) -> str:
    asks = wrap(exercise.asks, _WIDTH)
    check = f"lbtutor exercise check {exercise.id}"
    how = [f"Check it: {check}", f"or at every save: {check.replace('check', 'watch')}"]
    return "".join(f"# {line}\n" for line in [*asks, *how])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"{path}, which ships with lbtutor, cannot be read: {error.strerror}") from error


def _set_aside(path: Path) -> Path:
    """Another name for the file beside it, the first number that is free; then the first name may be taken."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.before-{number}{path.suffix}")):
        number += 1
    os.rename(path, aside)
    return aside
