"""Supervising graders: one process for each learner, a limit for each exercise, and no belief without a word.

What a grader has said of an exercise counts; one during which it died, hung or fell silent is a grader error, and a
fresh grader goes on with the next. None of that is ever a pass.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TypeVar

import msgspec
from msgspec.structs import replace

import lbtutor
from lbtutor.core.errors import EnvironmentFault
from lbtutor.course.grading.grader import Hello, Job, Task
from lbtutor.course.grading.record import Mark, unmarked
from lbtutor.labs.crowd import Tell
from lbtutor.testing.sandbox.asking import printable

Spoken = TypeVar("Spoken")

LOOK_EVERY = 0.1
"""Wall seconds between two times that whoever watches is told how far it is, and may stop it."""

_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR", "LBTUTOR_STATE", "XDG_CACHE_HOME")
"""What of the environment a grader inherits."""


def marked(job: Job, tell: Tell) -> list[Mark]:
    """A mark for each task, in order, whatever happens. `tell` hears the share that is done, and may raise to stop."""
    marks: list[Mark] = []

    def look() -> None:
        tell(len(marks) / len(job.tasks))

    while len(marks) < len(job.tasks):
        left = job.tasks[len(marks) :]
        with _Grader(replace(job, tasks=left)) as grader:
            try:
                for mark in grader.marks(look):
                    marks.append(mark)
            except _Silent as reason:
                marks.append(_ours(left[grader.said], job, str(reason)))
            except _Unfit as reason:
                marks += [_ours(task, job, str(reason)) for task in left]
    return marks


class _Silent(Exception):
    """A grader said nothing more before it was done."""


class _Unfit(Exception):
    """A grader that is not to be believed."""


class _Grader:
    """One grader process, from its start to its certain end."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rest = b""
        self.said = 0
        """The marks that it has given."""

    def __enter__(self) -> _Grader:
        try:
            self._start()
        except OSError as error:
            raise EnvironmentFault(f"no grader could be started: {error.strerror}") from None
        return self

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when it ends
        with tempfile.TemporaryFile() as job:
            job.write(msgspec.json.encode(self._job))
            job.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lbtutor.course.grading.grader"],
                stdin=job, stdout=subprocess.PIPE, stderr=self._errors, env=_environment(), cwd=os.path.sep,
                start_new_session=True,
            )  # fmt: skip

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def marks(self, look: Callable[[], None]) -> Iterator[Mark]:
        """What it says, as it comes. Raises `_Silent` when it ends before all was said, `_Unfit` for a wrong hello."""
        self._greeted(self._line(look))
        for task in self._job.tasks:
            mark = self._read(self._line(look), Mark)
            if mark.exercise != task.exercise.id:
                raise _Silent(f"the grader spoke of {printable(mark.exercise, 60)} instead")
            yield mark
            self.said += 1

    def _greeted(self, line: bytes) -> None:
        hello = self._read(line, Hello)
        if hello.lacks:
            raise _Unfit(f"there was no {', '.join(hello.lacks)} for learner code; in force: {hello.platform}")
        if not hello.canary:
            raise _Unfit("a wrong file passed in this grader")

    def _read(self, line: bytes, kind: type[Spoken]) -> Spoken:
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            raise _Silent(f"the grader did not say what it should: {error}") from None

    def _line(self, look: Callable[[], None]) -> bytes:
        assert self._process.stdout is not None
        source, until = self._process.stdout.fileno(), monotonic() + self._job.terms.patience
        while b"\n" not in self._rest:
            look()
            if monotonic() > until:
                raise _Silent(f"the grader said nothing for {self._job.terms.patience:g} s")
            if select.select([source], [], [], LOOK_EVERY)[0]:
                part = os.read(source, 1 << 16)
                if not part:
                    raise _Silent(self._ending())
                self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _ending(self) -> str:
        code = self._process.wait()
        said = os.pread(self._errors.fileno(), 1 << 16, 0).decode("utf-8", "replace").strip().splitlines()
        return f"the grader ended with code {code}{f': {printable(said[-1])}' if said else ''}"


def _environment() -> dict[str, str]:
    """No variable of the caller's that changes how Python runs; answers do not hang on `hash()`."""
    inherited = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    home = str(Path(lbtutor.__file__).parent.parent)
    return {**inherited, "PYTHONPATH": home, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}


def _ours(task: Task, job: Job, cause: str) -> Mark:
    return unmarked(task.exercise, "grader_error", cause, job.terms)
