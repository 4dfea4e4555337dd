"""Watching a file: every save is judged, and what was being judged before is given up.

Editors save in many ways: they write into the file, or beside it and rename, or move the old one away first. So the
folder is watched and not the file, and a save is whatever leaves another file (another inode, time or size) behind that
stays the same for two looks. The system's notices say when to look. Where it gives none (a network drive, a limit that
is used up) the file is looked at all the same, only a little later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.checking import Checker, unreadable
from lbtutor.course.exercises.judging import Depth, Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.workspace import Workspace
from lbtutor.testing.sandbox import NotGradable

LOOK_EVERY = 0.05
"""Seconds between two looks for news of the checker, and at the file while it changes or when it is polled."""
_ANYWAY = 20
"""So many looks without a notice, and the file is looked at all the same."""


class Began(Struct, frozen=True):
    """A save was seen and is being judged; `again` if an older one was given up for it."""

    again: bool = False


class Gone(Struct, frozen=True):
    """The file is not there any more; watching goes on until it is back."""

    path: Path


class Unnoticed(Struct, frozen=True):
    """The system gives no notices, for this reason: the file is looked at again and again."""

    because: str


News = Began | Finding | Judgement | Gone | Unnoticed


def watch(
    exercise: Exercise,
    workspace: Workspace,
    depth: Depth | None = None,
    *,
    poll: bool = False,
    stop: Event | None = None,
) -> Iterator[News]:
    """Judge the file as it is, then again at every save, until `stop` is set or whoever iterates leaves.

    Waits between two news. Raises `EnvironmentFault` where learner code cannot be run at all.
    """
    path = workspace.path(exercise)
    with Checker(exercise, depth) as checker:
        for seen in saves(path, poll=poll, stop=stop or Event()):
            if isinstance(seen, Unnoticed | Gone):
                yield seen
            elif seen:
                yield Began(again=checker.is_busy)
                yield from _begun(checker, exercise, workspace)
            yield from checker.news()


def _begun(checker: Checker, exercise: Exercise, workspace: Workspace) -> Iterator[Judgement]:
    checker.cancel()
    try:
        checker.begin(workspace.read(exercise))
    except NotGradable as reason:
        yield unreadable(exercise, reason)
    except ConfigError:
        return  # it went away at this very moment, which the next looks will see


def saves(path: Path, *, poll: bool, stop: Event) -> Iterator[bool | Gone | Unnoticed]:
    """At every look, whether the file was saved since the one before; what is there at first counts as a save.

    In between, once, that the file is gone, or that no notices come.
    """
    sight = _Sight(path)
    for look in _looks(path.parent, poll=poll, stop=stop):
        if isinstance(look, Unnoticed):
            yield look
        else:
            yield (look or sight.is_in_motion) and sight.look()


class _Sight:
    """What was seen of a file: a save is another signature that is the same at two looks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: _Signature | None = _NEVER
        self._before: _Signature | None = None
        self._missing = 0

    @property
    def is_in_motion(self) -> bool:
        """Whether the last look saw something that was not told yet."""
        return self._before != self._told

    def look(self) -> bool | Gone:
        now = _signature(self._path)
        self._missing = 0 if now else self._missing + 1
        if self._missing == _ANYWAY:
            self._told = _NEVER
            return Gone(self._path)
        is_saved = now is not None and now == self._before and now != self._told
        self._before = now
        if is_saved:
            self._told = now
        return is_saved


_Signature = tuple[int, ...]
_NEVER: _Signature = ()


def _signature(path: Path) -> _Signature | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _looks(folder: Path, *, poll: bool, stop: Event) -> Iterator[bool | Unnoticed]:
    """The pace of it all: every `LOOK_EVERY`, whether there is reason to look at the file."""
    if not poll:
        try:
            yield from _noticed(folder, stop)
            return
        except (OSError, RuntimeError) as error:  # what watchfiles raises when the system has no notices to give
            yield Unnoticed(str(error))
    while not stop.wait(LOOK_EVERY):
        yield True


def _noticed(folder: Path, stop: Event) -> Iterator[bool]:
    from watchfiles import watch as notices

    pace = int(LOOK_EVERY * 1000)
    told = notices(
        folder, watch_filter=None, debounce=4 * pace, step=pace, rust_timeout=pace, yield_on_timeout=True,
        stop_event=stop, recursive=False,
    )  # fmt: skip
    for number, changes in enumerate(told, 1):
        yield bool(changes) or number % _ANYWAY == 0
