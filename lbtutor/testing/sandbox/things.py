"""What learner code is handed inside a room: backends, requests and events, made to be read.

They carry the attributes that the real ones have (`lbtutor.core`: `Backend`, `Request`, `Finished`) and refuse to be
written to. The refusal is also noted where learner code cannot catch it away.
"""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

write = object.__setattr__
touched: list[str] = []
"""What was written to since somebody last looked; whoever asks learner code empties it."""


class _Lent:
    """Something that may be read only."""

    __slots__ = ()

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        self._refuse(name)

    def __delattr__(self, name: str) -> NoReturn:
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        what = f"{str(name)[:60]} of {self._called()}"
        touched.append(what)
        raise AttributeError(f"{what} belongs to the balancer: an algorithm only reads it")

    def _called(self) -> str:
        return f"the {type(self).__name__.lower()}"


class Backend(_Lent):
    """One server as an algorithm sees it; equal only to itself."""

    __slots__ = ("in_flight", "latency", "latency_at", "name", "since", "weight")

    name: str
    weight: float
    in_flight: int
    latency: float | None
    latency_at: float | None
    since: float

    def __repr__(self) -> str:
        return f"<Backend {self.name} weight={self.weight:g} in_flight={self.in_flight}>"

    def _called(self) -> str:
        return f"backend {self.name}"


class Request(_Lent):
    """One request; `headers` is a mapping by lower-case names that cannot be written to either."""

    __slots__ = ("at", "attempt", "client", "headers", "host", "key", "method", "path")

    def __init__(self, row: list[Any]) -> None:
        write(self, "at", row[0])
        write(self, "client", row[1])
        write(self, "key", row[2])
        write(self, "attempt", row[3])
        write(self, "method", row[4])
        write(self, "host", row[5])
        write(self, "path", row[6])
        write(self, "headers", MappingProxyType(dict(row[7])))


class Finished(_Lent):
    """One attempt ended: `backend` by name, after `took` seconds, with that `outcome`."""

    __slots__ = ("at", "attempt", "backend", "ok", "outcome", "status", "took")

    def __init__(self, row: list[Any]) -> None:
        for name, value in zip(("at", "backend", "took", "outcome", "status", "ok", "attempt"), row, strict=True):
            write(self, name, value)


def show(backend: Backend, row: list[Any]) -> None:
    """Let a backend look like that: name, weight, in_flight, latency, latency_at, since."""
    write(backend, "name", row[0])
    write(backend, "weight", row[1])
    write(backend, "in_flight", row[2])
    write(backend, "latency", row[3])
    write(backend, "latency_at", row[4])
    write(backend, "since", row[5])
