"""`Held`: a class that is already here, such as one defined in a test, in the place of a file.

The same answers as `InProcess`, and no protection either. There is no file to run again for a new example, so what the
class itself holds (a list in its body, or as the default of a parameter) is put back as it was at the beginning.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from types import FunctionType, TracebackType
from typing import Any

from lbtutor.testing.sandbox.inside import InProcess
from lbtutor.testing.sandbox.intake import Submission
from lbtutor.testing.sandbox.limits import Limits
from lbtutor.testing.sandbox.stage import Read, Stage

_CHANGING = (list, dict, set, bytearray)


class Held(InProcess):
    """A room that holds one class, closures and all; a context manager like `Confined`."""

    def __init__(self, cls: type, *, limits: Limits | None = None) -> None:
        super().__init__(source_of(cls), limits=limits)
        self._cls = cls
        self._own = _state(cls)
        self._defaults = _defaults(cls)
        self._read.lines = {cls.__name__: _line(cls)}
        self._stage = _One(self._read, cls)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.fresh()

    def fresh(self) -> None:
        """Forget every object, and put back what the class holds."""
        self._forget()
        for name, value in self._own.items():
            setattr(self._cls, name, copy.deepcopy(value))
        for function, defaults in self._defaults:
            function.__defaults__ = copy.deepcopy(defaults)
        self._stage = _One(self._read, self._cls)


class _One(Stage):
    """A stage on which there is one class, and no file is run."""

    def __init__(self, read: Read, cls: type) -> None:
        super().__init__(read)
        self._cls = cls
        self.module.__dict__[cls.__name__] = cls

    def _own_classes(self) -> list[tuple[str, type]]:
        return [(self._cls.__name__, self._cls)]


def source_of(cls: type) -> Submission:
    """The file that a class is from, under its whole path, to show lines of it; nothing where it has none."""
    with contextlib.suppress(OSError, TypeError):
        path = inspect.getsourcefile(cls)
        if path is not None:
            with open(path, "rb") as file:
                return Submission(path, file.read(), path)
    return Submission(f"<{cls.__module__}>", b"")


def _line(cls: type) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 0


def _state(cls: type) -> dict[str, Any]:
    """What the class itself holds and could change: its plain attributes, as far as they can be copied."""
    state = {}
    for name, value in vars(cls).items():
        if not name.startswith("__") and not callable(value) and not hasattr(value, "__get__"):
            with contextlib.suppress(Exception):
                state[name] = copy.deepcopy(value)
    return state


def _defaults(cls: type) -> list[tuple[FunctionType, tuple[Any, ...]]]:
    """The methods whose parameters have defaults that could change, as far as they can be copied."""
    found = []
    for value in vars(cls).values():
        if isinstance(value, FunctionType) and any(isinstance(one, _CHANGING) for one in value.__defaults__ or ()):
            with contextlib.suppress(Exception):
                found.append((value, copy.deepcopy(value.__defaults__ or ())))
    return found
