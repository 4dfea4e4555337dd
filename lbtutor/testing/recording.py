"""What the code under test was asked, written down as a person would write it.

A `Recorder` stands between a world and its room and keeps each question as a line of Python, with its answer: from
them a counterexample becomes a test that needs nothing of ours.

    balancer = Counting([("a", 1), ("b", 1)])
    balancer.pick("1.0.0.1", 0.0)                 # "a"
    balancer.started("a", 0.0)
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from lbtutor.testing.sandbox.faults import Fault
from lbtutor.testing.sandbox.room import BackendView, Description, FinishedView, Plain, RequestView, Rng, Room, Value

MOST = 200
"""Longer stories are not written down: nobody reads such a test."""


class Call(Struct, frozen=True):
    """One question: the lines that prepare it, the question itself, and what came.

    `moment` is the number of the moment it belongs to, -1 before the first. `names` says that the answer is a backend,
    told by its name; `fault` is what went wrong instead of an answer.
    """

    moment: int
    before: tuple[str, ...]
    code: str
    answer: Any = None
    names: bool = False
    fault: str = ""


class Recorder:
    """A room that passes every question on, and writes it down. `subject` is what the object under test is called."""

    def __init__(self, room: Room, subject: str) -> None:
        self.calls: list[Call] = []
        self.moments: Sequence[object] = ()
        """The moments of the world that asks, so that each call knows to which it belongs."""
        self.too_long = False
        self._room = room
        self._subject = subject
        self._objects: dict[int, str] = {}
        self._views: dict[int, BackendView] = {}
        self._words: dict[int, str] = {}
        self._offer: tuple[tuple[int, float], ...] = ()

    # --- what a room can be asked

    def describe(self) -> Description:
        return self._room.describe()

    def begin(self) -> None:
        self._room.begin()

    def fresh(self) -> None:
        self._room.fresh()

    def printed(self) -> str:
        return self._room.printed()

    def drop(self, handle: int) -> None:
        self._room.drop(handle)

    def make(self, cls: str, *args: Plain, **kwargs: Plain) -> int:
        word = self._subject if not self._objects else f"{self._subject}_{len(self._objects) + 1}"
        given = [_text(arg) for arg in args] + [f"{key}={_text(value)}" for key, value in kwargs.items()]
        handle: int = self._ask(f"{word} = {cls}({', '.join(given)})", lambda: self._room.make(cls, *args, **kwargs))
        self._objects[handle] = word
        return handle

    def call(self, handle: int, method: str, *args: Plain) -> Value:
        code = f"{self._called(handle)}{method}({', '.join(map(_text, args))})"
        value: Value = self._ask(code, lambda: self._room.call(handle, method, *args), tells=True)
        return value

    def batch(self, handle: int, method: str, argss: Sequence[tuple[Plain, ...]]) -> list[Value]:
        self.too_long = True
        return self._room.batch(handle, method, argss)

    def picks(self, handle: int, requests: Sequence[RequestView], backends: tuple[BackendView, ...]) -> list[str]:
        self.too_long = True
        return self._room.picks(handle, requests, backends)

    def pick(self, handle: int, request: RequestView, backends: tuple[BackendView, ...]) -> str:
        before = (*self._shown(backends), *self._offered(backends))
        code = f"{self._called(handle)}pick({_request(request)}, backends)"
        name: str = self._ask(
            code, lambda: self._room.pick(handle, request, backends), before=before, tells=True, names=True
        )
        return name

    def observe(self, handle: int, event: FinishedView) -> None:
        given = ", ".join(f"{field}={_text(value)}" for field, value in event._asdict().items())
        self._ask(f"{self._called(handle)}observe(Event({given}))", lambda: self._room.observe(handle, event))

    # --- writing

    def _ask(
        self, code: str, ask: Any, before: tuple[str, ...] = (), *, tells: bool = False, names: bool = False
    ) -> Any:
        at = len(self.moments) - 1
        self.too_long = self.too_long or len(self.calls) >= MOST
        try:
            answer = ask()
        except Fault as fault:
            self.calls.append(Call(at, before, code, fault=type(fault).__name__))
            raise
        self.calls.append(Call(at, before, code, answer if tells else None, names))
        return answer

    def _called(self, handle: int) -> str:
        return f"{self._objects[handle]}." if handle in self._objects else ""

    def _shown(self, backends: tuple[BackendView, ...]) -> list[str]:
        """What is new of these backends since they were last shown."""
        lines = []
        for view in backends:
            was = self._views.get(view.uid)
            if was is None:
                lines.append(
                    f"{self._word(view)} = Backend({_fields(view, BackendView(view.uid, view.name), view.name)})"
                )
            elif was != view:
                lines += [f"{self._word(view)}.{name} = {_text(value)}" for name, value in _changed(view, was).items()]
            self._views[view.uid] = view
        return lines

    def _offered(self, backends: tuple[BackendView, ...]) -> list[str]:
        """The tuple, where it is another one: the same tuple means the same members and weights."""
        offer = tuple((view.uid, view.weight) for view in backends)
        if offer == self._offer:
            return []
        self._offer = offer
        listed = ", ".join(self._word(view) for view in backends)
        return [f"backends = ({listed}{',' if len(backends) == 1 else ''})"]

    def _word(self, view: BackendView) -> str:
        """The name of a variable for that backend; the one that left and returned under its name is another."""
        if view.uid not in self._words:
            word = re.sub(r"\W", "_", view.name, flags=re.ASCII)
            word = word if word.isidentifier() and not keyword.iskeyword(word) else f"server_{word}".rstrip("_")
            taken = {*self._words.values(), *self._objects.values(), "backends"}
            self._words[view.uid] = word if word not in taken else f"{word}_{view.uid}"
        return self._words[view.uid]


def _changed(view: BackendView, was: BackendView) -> dict[str, Any]:
    now, then = view._asdict(), was._asdict()
    return {name: value for name, value in now.items() if value != then[name] and name != "uid"}


def _fields(view: BackendView, dull: BackendView, name: str) -> str:
    return ", ".join([_text(name), *(f"{key}={_text(value)}" for key, value in _changed(view, dull).items())])


def _request(request: RequestView) -> str:
    fields = _changed_request(request)
    return f"Request({', '.join(f'{name}={_text(value)}' for name, value in fields.items())})"


def _changed_request(request: RequestView) -> dict[str, Any]:
    dull = RequestView()._asdict()
    fields = {name: value for name, value in request._asdict().items() if value != dull[name]}
    return fields | ({"headers": dict(request.headers)} if "headers" in fields else {})


def _text(value: Plain) -> str:
    """A value as Python writes it."""
    if type(value) is Rng:
        return f"Random({value.seed})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
