"""`InProcess`: learner code right here, for one's own code and a debugger. The same answers, and no protection at all.

Nothing ends a loop, limits memory or hides the model. What the code prints goes to standard error as it comes, and
Ctrl-C ends the check, wherever it strikes.
"""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any

from lbtutor.testing.sandbox.asking import Asking, printable
from lbtutor.testing.sandbox.faults import NotGradable
from lbtutor.testing.sandbox.intake import Submission
from lbtutor.testing.sandbox.limits import Limits
from lbtutor.testing.sandbox.stage import Read, Stage


class InProcess(Asking):
    """A room without walls; a context manager like `Confined`."""

    def __init__(self, file: Submission, *, limits: Limits | None = None) -> None:
        super().__init__(file, limits or Limits())
        self._read = read(file)
        self._stage = Stage(self._read)

    def __enter__(self) -> InProcess:
        self.fresh()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stage = Stage(self._read)

    def begin(self) -> None:
        """There is no clock here."""

    def fresh(self) -> None:
        """Run the file again; modules that it imported stay as they are."""
        self._forget()
        self._stage = Stage(self._read)
        self._answer("run", [], "running the file", self.limits.load)

    def printed(self) -> str:
        """Nothing: it went to standard error."""
        return ""

    def _ask(self, op: str, arguments: list[Any], what: str, limit: float) -> list[Any]:
        out, sys.stdout = sys.stdout, sys.stderr
        try:
            answer = self._stage.answer(op, arguments)
        finally:
            sys.stdout = out
        if isinstance(self._stage.error, KeyboardInterrupt):
            raise self._stage.error
        return answer


def read(file: Submission) -> Read:
    """The file as code. Raises `NotGradable` with the line for what is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Read(file.data, file.name)
    except SyntaxError as error:
        raise NotGradable(printable(error.msg), error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotGradable(printable(str(error))) from None
