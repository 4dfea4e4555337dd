"""Checking beside whoever watches: each file is judged in a process of its own, so that it can be given up at once.

    with Checker(exercise) as checker:
        checker.begin(file)             # what was under way is over
        for news in checker.news():     # findings as they come, and then the judgement; never waits
            ...

The next process is started before it is needed. It has read all modules when a file comes, which is a quarter of a
second between a save and its verdict.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType

from msgspec.structs import replace

from lbtutor.core.errors import LbtutorError
from lbtutor.course.exercises.judging import Depth, Finding, Judgement, judge, prepare
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.labs.processes import uninterrupted
from lbtutor.testing.sandbox import NotGradable, Submission

_ANEW = get_context("spawn")
"""A process that begins anew: a fork would copy whatever threads and locks its parent happens to have."""


class Checker:
    """Judges one file of an exercise after the other, each in a process that can be ended."""

    def __init__(self, exercise: Exercise, depth: Depth | None = None) -> None:
        self._exercise = exercise
        self._depth = replace(depth or Depth(), told=None)
        self._ready = _Process(exercise)
        self._busy: _Process | None = None

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cancel()
        self._ready.end()

    @property
    def is_busy(self) -> bool:
        """Whether a file is being judged."""
        return self._busy is not None

    def begin(self, file: Submission) -> None:
        """Judge this file; what is under way is given up."""
        self.cancel()
        self._busy = self._ready
        self._busy.say(self._exercise, file, self._depth)
        self._ready = _Process(self._exercise)

    def cancel(self) -> None:
        """Give up what is under way."""
        if self._busy is not None:
            self._busy.end()
            self._busy = None

    def news(self, timeout: float = 0.0) -> Iterator[Finding | Judgement]:
        """What was found since; with a `timeout` in seconds, waits so long for the first.

        Raises what this machine refused (`EnvironmentFault`) and what cannot be used as written (`ConfigError`).
        """
        while self._busy is not None and self._busy.has_news(timeout):
            told = self._busy.heard(self._exercise)
            if not isinstance(told, Finding):
                self.cancel()
            if isinstance(told, LbtutorError):
                raise told
            yield told
            timeout = 0.0


class _Process:
    """One process that judges one file, and its end of the pipe."""

    def __init__(self, exercise: Exercise) -> None:
        self._pipe, theirs = _ANEW.Pipe()
        self._process = _ANEW.Process(target=_judge_one, args=(theirs, exercise), daemon=True)
        with uninterrupted():
            self._process.start()
        theirs.close()

    def say(self, *what: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is what will be heard
            self._pipe.send(what)

    def has_news(self, timeout: float) -> bool:
        return self._pipe.poll(timeout)

    def heard(self, exercise: Exercise) -> Finding | Judgement | LbtutorError:
        try:
            told: Finding | Judgement | LbtutorError = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(1)
            told = fault(exercise, f"the process that checks has ended with code {self._process.exitcode}")
        return told

    def end(self) -> None:
        """Its own worker ends with it: nobody asks that one any more."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()


def fault(exercise: Exercise, cause: str) -> Judgement:
    """What is said when the checking itself failed."""
    return Judgement(
        exercise.id, "grader error", expected="a verdict", got="none", cause=f"{cause}; this is a fault of lbtutor",
        next="Check again; if it stays so, `lbtutor doctor` says what this machine can do.",
    )  # fmt: skip


def unreadable(exercise: Exercise, why: NotGradable) -> Judgement:
    """What is said of something that is no file of the learner's."""
    return Judgement(
        exercise.id, "not gradable", expected=f"your file {exercise.gives}", got=why.reason, cause=why.reason,
        next=f"Make {exercise.gives} an ordinary file again.",
    )  # fmt: skip


def _judge_one(pipe: Connection, exercise: Exercise) -> None:
    """What the process does: be ready, hear one file, judge it, say what comes of it."""
    prepare(exercise)
    try:
        exercise, file, depth = pipe.recv()
        pipe.send(_judged(exercise, file, replace(depth, told=pipe.send)))
    except (EOFError, BrokenPipeError):
        return  # nobody asks any more


def _judged(exercise: Exercise, file: Submission, depth: Depth) -> Judgement | LbtutorError:
    try:
        return judge(exercise, file, depth)
    except LbtutorError as error:
        return error
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  a bug of ours, and no reason to stop watching
        return fault(exercise, f"{type(error).__name__}: {error}")
