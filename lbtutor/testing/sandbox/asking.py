"""Questions become messages, and answers become values: what both transports share.

An answer was written by a stranger, so nothing in it is believed: its form, its types and its sizes are looked at again
here, and text is made printable. The lines of source in a traceback come from our own copy of the file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from lbtutor.testing.sandbox.faults import (
    Changed,
    Fault,
    Frame,
    NotGradable,
    NotOffered,
    ProtocolBroken,
    Raised,
    TooMuchMemory,
    WrongType,
)
from lbtutor.testing.sandbox.intake import Submission
from lbtutor.testing.sandbox.limits import Limits
from lbtutor.testing.sandbox.room import (
    BackendView,
    Class,
    Description,
    FinishedView,
    Function,
    Parameter,
    Plain,
    RequestView,
    Value,
)
from lbtutor.testing.sandbox.wire import DEEP, ROW, TEXT, WHOLE, pack

TOGETHER = 200
"""So many calls of a batch go in one message."""
OFFERS = 8
"""So many tuples of backends are remembered: the whole pool, and what retries leave of it."""
Theirs = Any
"""What came over the pipe, before it was looked at."""
_KINDS = ("plain", "keyword", "rest", "others")


class Asking:
    """The questions of `Room`, for a transport that has `_ask`."""

    def __init__(self, file: Submission, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self._shown: dict[int, BackendView] = {}
        self._offers: dict[tuple[tuple[int, float], ...], int] = {}

    @abstractmethod
    def _ask(self, op: str, arguments: list[Any], what: str, limit: float) -> list[Any]:
        """The answer to one question; `what` names it in a complaint that it took longer than `limit` seconds."""

    def describe(self) -> Description:
        """What the file defines."""
        rows = self._answer("describe", [], "reading the classes", self.limits.call)
        try:
            classes, functions = rows
            return Description(
                {row.name: row for row in map(_class, classes)}, {row.name: row for row in map(_function, functions)}
            )
        except (TypeError, ValueError) as error:
            raise self._broken("a description that is none") from error

    def make(self, cls: str, *args: Plain, **kwargs: Plain) -> int:
        """An object of that class."""
        packed = {key: pack(value) for key, value in kwargs.items()}
        handle = self._answer("make", [cls, [pack(arg) for arg in args], packed], f"{cls}(…)", self.limits.call)
        return handle if type(handle) is int else self._no_index()

    def drop(self, handle: int) -> None:
        """Forget one object."""
        self._answer("drop", [handle], "forgetting an object", self.limits.call)

    def call(self, handle: int, method: str, *args: Plain) -> Value:
        """One call."""
        value = self._answer("call", [handle, method, [pack(arg) for arg in args]], method, self.limits.call)
        return self._admitted(value)

    def batch(self, handle: int, method: str, argss: Sequence[tuple[Plain, ...]]) -> list[Value]:
        """Many calls."""
        packed = [[pack(arg) for arg in args] for args in argss]
        what = f"{len(argss)} × {method}"
        values = self._in_parts("batch", lambda part: [handle, method, part], packed, what)
        return [self._admitted(value) for value in values]

    def pick(self, handle: int, request: RequestView, backends: tuple[BackendView, ...]) -> str:
        """One pick."""
        arguments = [handle, _request(request), *self._offer(backends)]
        index = self._answer("pick", arguments, "pick", self.limits.call)
        return self._chosen(index, backends)

    def picks(self, handle: int, requests: Sequence[RequestView], backends: tuple[BackendView, ...]) -> list[str]:
        """Many picks among the same backends."""
        rows = [_request(request) for request in requests]
        what = f"{len(requests)} × pick"
        indexes = self._in_parts("picks", lambda part: [handle, part, *self._offer(backends)], rows, what)
        return [self._chosen(index, backends) for index in indexes]

    def observe(self, handle: int, event: FinishedView) -> None:
        """Tell of an end."""
        self._answer("observe", [handle, list(event)], "observe", self.limits.call)

    def _in_parts(self, op: str, arguments: Callable[[list[Any]], list[Any]], rows: list[Any], what: str) -> list[Any]:
        values: list[Any] = []
        for start in range(0, len(rows), TOGETHER):
            part = rows[start : start + TOGETHER]
            answers = self._answer(op, arguments(part), what, self.limits.batch)
            if type(answers) is not list or len(answers) != len(part):
                raise self._broken("not one answer for each call")
            values += answers
        return values

    def _offer(self, backends: tuple[BackendView, ...]) -> list[Any]:
        """Number of the tuple, its uids if it is a new one, and the views that are not as last shown."""
        shown = self._shown
        news = [list(view) for view in backends if shown.get(view[0]) != view]
        for view in backends:
            shown[view[0]] = view
        key = tuple([(view[0], view[2]) for view in backends])
        offers = self._offers
        if key in offers:
            offers[key] = number = offers.pop(key)  # the newest again
            return [number, None, news]
        number = len(offers) if len(offers) < OFFERS else offers.pop(next(iter(offers)))
        offers[key] = number
        return [number, [view[0] for view in backends], news]

    def _forget(self) -> None:
        """Nobody inside knows any backend any more."""
        self._shown.clear()
        self._offers.clear()

    def _chosen(self, index: object, backends: tuple[BackendView, ...]) -> str:
        if type(index) is int and 0 <= index < len(backends):
            return backends[index].name
        raise self._broken("an index of no backend")

    def _answer(self, op: str, arguments: list[Any], what: str, limit: float) -> Theirs:
        reply = self._ask(op, arguments, what, limit)
        if len(reply) == 2 and reply[0] == "ok":
            return reply[1]
        raise self._fault(reply)

    def _fault(self, reply: list[Any]) -> Fault:
        """The fault that an answer tells of."""
        told: dict[str, Callable[..., Fault]] = {
            "exc": self._raised,
            "type": lambda method, found: WrongType(printable(method), printable(found)),
            "offered": lambda found: NotOffered(printable(found)),
            "changed": lambda what: Changed(printable(what)),
            "missing": lambda reason: NotGradable(printable(reason)),
            "memory": lambda: TooMuchMemory(self.limits.memory_bytes),
        }
        try:
            return told[reply[0]](*reply[1:])
        except (IndexError, KeyError, TypeError, ValueError):
            return self._broken("an answer of no known kind")

    def _raised(self, kind: object, text: object, frames: list[Any]) -> Raised:
        return Raised(printable(kind), printable(text), tuple([self._frame(*frame) for frame in frames]))

    def _frame(self, line: object, function: object) -> Frame:
        if type(line) is not int:
            raise TypeError
        return Frame(line, printable(function), printable(self.file.line(line).strip()))

    def _admitted(self, value: Theirs, depth: int = 0) -> Value:
        """The value that came, if it is one that may."""
        kind = type(value)
        if value is None or kind is bool or (kind is str and len(value) <= TEXT):
            return value  # type: ignore[no-any-return]
        if (kind is int and -WHOLE < value < WHOLE) or (kind is float and value - value == 0.0):
            return value  # type: ignore[no-any-return]
        if kind is list and len(value) <= ROW and depth <= DEEP:
            return tuple([self._admitted(part, depth + 1) for part in value])
        raise self._broken("a value that may not cross")

    def _no_index(self) -> int:
        raise self._broken("a handle that is no number")

    def _broken(self, found: str) -> ProtocolBroken:
        """What came is no answer; a transport that can, stops listening."""
        return ProtocolBroken(found)


def printable(text: object, length: int = 500) -> str:
    """Text of a stranger's that is safe to print and to store: escapes become visible, and it is cut.

    Line ends and tabs stay. Raises `TypeError` for what is no text.
    """
    if type(text) is not str:
        raise TypeError
    cut = text if len(text) <= length else text[: length - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in cut)


def _request(request: RequestView) -> list[Any]:
    at, client, key, attempt, method, host, path, headers = request
    return [at, client, key, attempt, method, host, path, dict(headers) if headers else {}]


def _class(row: list[Any]) -> Class:
    name, line, constructor, methods = row
    functions = [_function(method) for method in methods]
    return Class(
        printable(name, 60), _line(line), _parameters(constructor), {function.name: function for function in functions}
    )


def _function(row: list[Any]) -> Function:
    name, line, parameters = row
    return Function(printable(name, 60), _line(line), _parameters(parameters))


def _parameters(rows: list[Any]) -> tuple[Parameter, ...]:
    return tuple([_parameter(*row) for row in rows])


def _parameter(name: object, required: object, kind: str) -> Parameter:
    return Parameter(printable(name, 60), required is True, _KINDS[_KINDS.index(kind)])


def _line(line: object) -> int:
    if type(line) is not int:
        raise TypeError
    return line
