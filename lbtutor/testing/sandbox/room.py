"""A room: a place where learner code answers questions. What every room can be asked, and what is said in it.

`Room` is the protocol that both transports meet: `Confined`, where the learner's file runs in a process of its own
behind closed doors, and `InProcess`, where it runs right here and a debugger can follow it. Both give the same answers
to the same questions. Whoever asks keeps the model, the chances and the verdict; in the room is only the learner's
code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

Value = str | int | float | bool | None | tuple["Value", ...]
"""What may come out: exactly these types, text up to 1000 characters, whole numbers below 2**63, finite floats, rows of
at most 64. A list comes out as a tuple."""


class Rng(NamedTuple):
    """Stands for a `random.Random(seed)` made inside: `room.make("PowerOfTwo", rng=Rng(7))`."""

    seed: int


Plain = str | int | float | bool | None | list["Plain"] | tuple["Plain", ...] | Mapping[str, "Plain"] | Rng
"""What may go in. Lists arrive as lists, tuples as tuples, mappings as dicts, each a fresh copy."""

FILE = 0
"""The handle of the learner's file itself: `room.call(FILE, "score", 3)` calls a function of it."""


class BackendView(NamedTuple):
    """One backend as it is to look to the learner now.

    `uid` says which *object* it is: views with the same uid are the same backend at different times. A name that left
    and came back gets a new uid. `weight` is above 0; `latency` in seconds, None before the first answer; `latency_at`
    and `since` in seconds.
    """

    uid: int
    name: str
    weight: float = 1
    in_flight: int = 0
    latency: float | None = None
    latency_at: float | None = None
    since: float = 0.0


class RequestView(NamedTuple):
    """One request as the learner sees it; `at` is the present in seconds, `key` the text to hash."""

    at: float = 0.0
    client: str = "127.0.0.1"
    key: str = "127.0.0.1"
    attempt: int = 1
    method: str = "GET"
    host: str = ""
    path: str = "/"
    headers: Mapping[str, str] = MappingProxyType({})


class FinishedView(NamedTuple):
    """One attempt's end as `observe` is told it: the backend's name, `took` seconds, the kind of outcome.

    `outcome` is one of the kinds of `lbtutor.core.messages.Outcome`; `ok` when a whole answer below 500 came.
    """

    at: float
    backend: str
    took: float
    outcome: str = "answered"
    status: int = 200
    ok: bool = True
    attempt: int = 1


class Parameter(NamedTuple):
    """A parameter of a learner's function; `kind` is `plain`, `keyword` (only by name), `rest` (*) or `others` (**)."""

    name: str
    required: bool
    kind: str


class Function(NamedTuple):
    """A function or method: its line in the file (0 if it is not from there) and parameters, without `self`."""

    name: str
    line: int
    parameters: tuple[Parameter, ...]


class Class(NamedTuple):
    """A class of the learner's file, with what its constructor takes and its public methods by name, inherited too."""

    name: str
    line: int
    constructor: tuple[Parameter, ...]
    methods: Mapping[str, Function]


class Description(NamedTuple):
    """What a learner's file defines, in the order of its lines: the classes and functions that are its own."""

    classes: Mapping[str, Class]
    functions: Mapping[str, Function]


class Room(Protocol):
    """A place where one learner's file answers.

    Every question may raise a `Fault`. After `Ended`, `TooSlow` and `ProtocolBroken` nobody answers any more, and every
    question repeats that fault, until `fresh`.
    """

    def describe(self) -> Description:
        """What the file defines: to recognise the shape of a learner's class."""
        ...

    def begin(self) -> None:
        """A suite begins: its clock (`Limits.suite`, seconds of waiting for answers) starts anew."""
        ...

    def fresh(self) -> None:
        """Forget every object: the file is run again in a clean interpreter, as a new example wants it."""
        ...

    def make(self, cls: str, *args: Plain, **kwargs: Plain) -> int:
        """An object of that class; the answer is the handle to ask it by."""
        ...

    def drop(self, handle: int) -> None:
        """Forget one object."""
        ...

    def call(self, handle: int, method: str, *args: Plain) -> Value:
        """What `method(*args)` of that object returns."""
        ...

    def batch(self, handle: int, method: str, argss: Sequence[tuple[Plain, ...]]) -> list[Value]:
        """As many calls of one method, in order, cheaper by the piece. The first fault ends it.

        For statistics only, since learner code could look ahead.
        """
        ...

    def pick(self, handle: int, request: RequestView, backends: tuple[BackendView, ...]) -> str:
        """Our shape: the name of the backend that `pick(request, backends)` returns.

        The learner gets the same tuple object as long as uids and weights are the same, and the same backend object for
        the same uid; writing to either, or returning anything else, is a fault.
        """
        ...

    def picks(self, handle: int, requests: Sequence[RequestView], backends: tuple[BackendView, ...]) -> list[str]:
        """As many picks among the same backends, none of which changes meanwhile; as `batch`."""
        ...

    def observe(self, handle: int, event: FinishedView) -> None:
        """Tell an object that has `observe(event)`; one without is left in peace."""
        ...

    def printed(self) -> str:
        """What the learner's code has printed since `fresh`, at most 64 KiB, made printable."""
        ...
