"""What was handed in: folders and archives become learners, each with the files that were asked for.

A folder with one of these files in it is a learner's; any other is a class, and what is in it are learners: folders and
archives. An archive is a learner's, too, unless it is seen to be what a platform gives for a class: archives in it,
folders that Moodle named, or one file in three folders. Nothing is unpacked, no link is followed, nothing is looked for
but the names in the manifest. What cannot be taken is refused with the reason and stays in the list: nobody disappears.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.sandbox import NotGradable, Submission, read_archive, read_submission
from lbtutor.testing.sandbox.asking import printable
from lbtutor.testing.sandbox.intake import ARCHIVES, archived, is_archive, read_class

DEEP = 3
"""So many folders down from the learner's own, files are looked for."""
MOST = 1000
"""The most entries that are looked at in a learner's folder."""
CROWD = 3
"""In so many folders of an archive the same file is no learner's, but a class."""
_PLATFORM = re.compile(r"_assignsubmission_file_?$")
"""What Moodle adds to the name of a learner's folder."""


class Handed:
    """One learner's files by their names, and what was refused: `refused` by name, `refusal` for everything."""

    def __init__(self, learner: str, origin: str) -> None:
        self.learner = learner
        self.origin = origin
        self.files: dict[str, Submission] = {}
        self.refused: dict[str, str] = {}
        self.refusal = ""
        self.others: list[str] = []
        """Other names of files that lie there, so that one can say what a missing file may be called instead."""

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
    if _is_archive(path):
        yield from _in_archive(path, wanted)
        return
    if not path.is_dir() or path.is_symlink():
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


# -- a learner ---------------------------------------------------------------------------------------------------------


def _learner(path: Path, wanted: frozenset[str]) -> Handed:
    handed = Handed(_name(path), printable(os.fspath(path)))
    try:
        if _is_archive(path):
            _take_all(handed, read_archive(path, wanted, handed.others))
        elif path.is_symlink():
            raise NotGradable("it is a symbolic link")
        elif path.is_dir():
            _take_folder(handed, path, wanted)
        else:
            raise NotGradable(f"it is neither a folder nor an archive ({', '.join(ARCHIVES)})")
    except NotGradable as reason:
        _refuse(handed, reason)
    return handed


def _refuse(handed: Handed, reason: NotGradable) -> None:
    handed.files.clear()
    handed.refusal = reason.reason


def _take_all(handed: Handed, files: Iterable[Submission]) -> None:
    for file in files:
        handed.take(file)


def _take_folder(handed: Handed, folder: Path, wanted: frozenset[str]) -> None:
    for path in _entries(folder):
        if path.name in wanted:
            try:
                handed.take(read_submission(path))
            except NotGradable as reason:
                handed.files.pop(path.name, None)
                handed.refused[path.name] = reason.reason
        elif _is_archive(path):
            _take_all(handed, read_archive(path, wanted, handed.others))
        else:
            handed.others.append(path.name)


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
    return is_archive(path.name) and not (path.is_dir() and not path.is_symlink())


# -- the archive of a class --------------------------------------------------------------------------------------------


Members = list[tuple[PurePosixPath, "bytes | NotGradable | None"]]


def _in_archive(path: Path, wanted: frozenset[str]) -> Iterator[Handed]:
    """Whoever handed in what is in there: one, or a class."""
    try:
        members = _unwrapped([(PurePosixPath(name), data) for name, data in read_class(path, wanted)])
    except NotGradable:
        members = []
    if not _is_class([place for place, data in members if data is not None or len(place.parts) > 1], wanted):
        yield _learner(path, wanted)
        return
    by_learner: dict[str, Members] = {}
    for place, data in members:
        if data is None and len(place.parts) == 1:
            continue  # a list of names
        by_learner.setdefault(place.parts[0], []).append((place, data))
    for top in sorted(by_learner):
        yield _member(path, top, by_learner[top], wanted)


def _is_class(places: Sequence[PurePosixPath], wanted: frozenset[str]) -> bool:
    """A learner may well have an `old` and a `new` folder, or one for each week; then it says so somewhere else."""
    tops = {place.parts[0] for place in places}
    if len(tops) > 1 and all(is_archive(top) or _PLATFORM.search(top) for top in tops):
        return True
    below: dict[str, set[str]] = {}
    for place in places:
        if place.name in wanted:
            below.setdefault(place.name, set()).add(place.parts[0])
    return all(len(place.parts) > 1 for place in places) and any(len(tops) >= CROWD for tops in below.values())


def _unwrapped(members: Members) -> Members:
    """Without the folders that everything is in, and without what a Mac adds."""
    members = [(place, data) for place, data in members if "__MACOSX" not in place.parts]
    while members and len({place.parts[0] for place, _ in members}) == 1 and len(members[0][0].parts) > 1:
        members = [(PurePosixPath(*place.parts[1:]), data) for place, data in members]
    return members


def _member(path: Path, top: str, members: Members, wanted: frozenset[str]) -> Handed:
    """The learner whose folder or archive this is in the archive of the class."""
    handed = Handed(_name(Path(top)), printable(f"{path}: {top}"))
    try:
        for place, data in members:
            if isinstance(data, NotGradable):
                raise data
            if data is None:
                handed.others.append(place.name)
            elif is_archive(place.name):
                _take_all(handed, archived(data, wanted, handed.others))
            else:
                handed.take(Submission(place.name, data, str(place)))
    except NotGradable as reason:
        _refuse(handed, reason)
    return handed


# -- names -------------------------------------------------------------------------------------------------------------


def _name(path: Path) -> str:
    """What a learner is called: one line of text, composed as most systems do."""
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    if _is_archive(path):
        ending = max((ending for ending in ARCHIVES if name.lower().endswith(ending)), key=len)
        name = name[: -len(ending)]
    plain = printable(unicodedata.normalize("NFC", _PLATFORM.sub("", name)), 100)
    return plain.replace("\n", "\\n").replace("\t", "\\t")


def _listed(wanted: frozenset[str]) -> str:
    names = sorted(wanted)
    return ", ".join(names[:3]) + (f" or one of {len(names) - 3} more" if len(names) > 3 else "")


def called_otherwise(gives: str, others: Sequence[str]) -> str:
    """The name of a file that may be meant to be that one: `Round-Robin (1).py` for `round_robin.py`; or nothing."""
    return printable(next((name for name in others if _letters(name) == _letters(gives)), ""), 100)


def _letters(name: str) -> str:
    """What is left of a name when copies, versions and the case of letters do not count."""
    stem = re.sub(r"copy|copie|kopie|final|new|neu|old|alt|v\d+|[\W\d_]+", "", Path(name).stem.lower())
    return stem.removesuffix("py")
