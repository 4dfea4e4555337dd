"""What `lbtutor exercise watch` shows: on a terminal one verdict at a time, in a log one line a verdict."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import datetime
from textwrap import wrap
from typing import TYPE_CHECKING

from lbtutor.cli.judgement import Telling, in_short, told_width
from lbtutor.cli.text import note, say
from lbtutor.course.exercises.judging import Finding, Judgement
from lbtutor.course.exercises.watching import LOOK_EVERY, Began, Gone, News, Unnoticed
from lbtutor.course.exercises.workspace import shown
from lbtutor.testing.sandbox import NotGradable

if TYPE_CHECKING:
    from lbtutor.course.exercises.manifest import Exercise
    from lbtutor.course.exercises.workspace import Workspace

_CLEAR = "\x1b[H\x1b[2J"
"""Nothing but what is seen: whoever scrolls back finds what was there before."""

_ROOMY = 40
"""Lines of a terminal that has room for a story and all laws."""


class Screen:
    """Tells the news of a watch. The last verdict stays until there is a word of the next one."""

    def __init__(self, exercise: Exercise, workspace: Workspace) -> None:
        self._exercise = exercise
        self._workspace = workspace
        self._path = shown(workspace.path(exercise))
        self._telling = Telling(exercise, None, self._clear, brief=_is_low())
        self._is_terminal = sys.stdout.isatty()
        self._may_clear = self._is_terminal and os.environ.get("TERM", "dumb") != "dumb"
        if not self._is_terminal:
            note(f"watching {self._path}; Ctrl-C ends it")

    def tell(self, news: News, after: str) -> None:
        """Tell one piece of news; `after` says which exercise is next, once this one has passed."""
        match news:
            case Began():
                self._begin()
            case Finding() if self._is_terminal:
                self._telling.finding(news)
            case Judgement():
                self._end(news, after)
            case Gone():
                note(f"{self._path} is not there; it is checked as soon as it is back")
            case Unnoticed(because):
                note(f"No notices of saves ({because}): the file is looked at {1 / LOOK_EVERY:.0f} times a second.")

    def close(self) -> None:
        """Leave the cursor at the beginning of a line."""
        if self._is_terminal:
            say()

    def _begin(self) -> None:
        try:
            file = self._workspace.read(self._exercise)
        except (NotGradable, OSError, ValueError):
            file = None  # why, the verdict says
        self._telling = Telling(self._exercise, file, self._clear, brief=_is_low())
        if self._is_terminal:
            sys.stdout.write("\rchecking ... ")
            sys.stdout.flush()

    def _end(self, judged: Judgement, after: str) -> None:
        if not self._is_terminal:
            say(" ".join(filter(None, [_clock(), in_short(judged, self._exercise), after])))
            return
        self._telling.end(judged)
        say()
        _say_within(after or f"A hint: lbtutor exercise hint {self._exercise.id}")
        _say_within(f"Checked at {_clock()}. Save {self._path} to check it again; Ctrl-C ends.")

    def _clear(self) -> None:
        sys.stdout.write(_CLEAR if self._may_clear else "\n\n")
        _say_within(f"{self._exercise.id}: {self._exercise.asks}")
        say()


def _say_within(text: str) -> None:
    for line in wrap(text, told_width(), break_long_words=False, break_on_hyphens=False):
        say(line)


def _is_low() -> bool:
    """Would a verdict with every law scroll its own first lines away?"""
    return shutil.get_terminal_size().lines < _ROOMY


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
