"""What was handed in: folders and archives become learners, each with the files that were asked for.

A folder with one of these files in it is a learner's; any other is a class, and what is in it are learners: folders and
archives. Nothing is unpacked, no link is followed, nothing is looked for but the names in the manifest. What cannot be
taken is refused with the reason, and stays in the list: nobody disappears.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.sandbox import NotGradable, Submission, read_archive, read_submission
from lbtutor.testing.sandbox.asking import printable

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
DEEP = 3
"""So many folders down from the learner's own, files are looked for."""
MOST = 1000
"""The most entries that are looked at in a learner's folder."""


class Handed:
    """One learner's files by their names, and what was refused: `refused` by name, `refusal` for everything."""

    def __init__(self, learner: str, origin: str) -> None:
        self.learner = learner
        self.origin = origin
        self.files: dict[str, Submission] = {}
        self.refused: dict[str, str] = {}
        self.refusal = ""

    def __repr__(self) -> str:
        return f"<Handed {self.learner} {sorted(self.files)} refused {sorted(self.refused) or self.refusal}>"

    def take(self, file: Submission) -> None:
        """One more file; a name that is there twice could be either, so it is neither."""
        if file.name in self.files or file.name in self.refused:
            self.files.pop(file.name, None)
            self.refused[file.name] = f"{file.name} was handed in more than once"
        else:
            self.files[file.name] = file


def handed_in(paths: Sequence[Path], exercises: Iterable[Exercise]) -> list[Handed]:
    """Everybody, in the order of the paths and then of their names.

    Raises `ConfigError` for a path that is not there, or where nobody handed in anything, and for two of one name.
    """
    wanted = frozenset(exercise.gives for exercise in exercises)
    everybody = [one for path in paths for one in _at(path, wanted)]
    seen: dict[str, str] = {}
    for one in everybody:
        if one.learner in seen:
            raise ConfigError(
                f"{seen[one.learner]} and {one.origin} are both called {one.learner!r}; rename one, or grade them apart"
            )
        seen[one.learner] = one.origin
    return everybody


def _at(path: Path, wanted: frozenset[str]) -> Iterator[Handed]:
    if not os.path.lexists(path):
        raise ConfigError(f"{path} is not there")
    if _is_archive(path) or not path.is_dir() or path.is_symlink():
        yield _learner(path, wanted)
        return
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if wanted.intersection(names):
        yield _learner(path, wanted)
        return
    learners = [path / name for name in names if not name.startswith((".", "__")) and _may_be_learner(path / name)]
    if not learners:
        raise ConfigError(f"{path} holds nothing to grade: no {_listed(wanted)}, no folder and no archive of a learner")
    for learner in learners:
        yield _learner(learner, wanted)


def _learner(path: Path, wanted: frozenset[str]) -> Handed:
    handed = Handed(_name(path), printable(os.fspath(path)))
    try:
        if _is_archive(path):
            for file in read_archive(path, wanted):
                handed.take(file)
        elif path.is_symlink():
            raise NotGradable("it is a symbolic link")
        elif path.is_dir():
            _take_folder(handed, path, wanted)
        else:
            raise NotGradable(f"it is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    except NotGradable as reason:
        handed.files.clear()
        handed.refusal = reason.reason
    return handed


def _take_folder(handed: Handed, folder: Path, wanted: frozenset[str]) -> None:
    for path in _entries(folder):
        if path.name in wanted:
            try:
                handed.take(read_submission(path))
            except NotGradable as reason:
                handed.files.pop(path.name, None)
                handed.refused[path.name] = reason.reason


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, but not behind links; in the order of names."""
    seen, below = 0, [(folder, 0)]
    while below:
        here, depth = below.pop(0)
        try:
            found = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            raise NotGradable(f"its folder cannot be read: {error.strerror}") from None
        for entry in found:
            seen += 1
            if seen > MOST:
                raise NotGradable(f"there are more than {MOST} files and folders in it")
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)
            elif depth < DEEP and not entry.name.startswith((".", "__")):
                below.append((Path(entry.path), depth + 1))


def _may_be_learner(path: Path) -> bool:
    """Folders, archives, and what pretends to be one; a spreadsheet or a list of names beside them is none."""
    return _is_archive(path) or not stat.S_ISREG(path.lstat().st_mode)


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES) and not (path.is_dir() and not path.is_symlink())


def _name(path: Path) -> str:
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if _is_archive(path) and name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return printable(name, 100)


def _listed(wanted: frozenset[str]) -> str:
    names = sorted(wanted)
    return ", ".join(names[:3]) + (f" or one of {len(names) - 3} more" if len(names) > 3 else "")
