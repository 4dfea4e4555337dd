"""What an algorithm is: one method, and two optional ones. A learner's class inherits nothing from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from msgspec import Struct

from lbtutor.core.messages import Request

if TYPE_CHECKING:
    from lbtutor.core.backend import Backend
    from lbtutor.core.events import Event


class Algorithm(Protocol):
    """Chooses a backend. Structural: any class with this method will do."""

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        """Return one of `backends`: those available now, never empty, in configuration order.

        Change no backend. The same tuple object means the same members and weights as last time.
        """
        ...


class Breach(Exception):
    """Raised by an algorithm that speaks for another one, when that breaks its contract; its text says how, in words
    that are told as they are ("its pick took longer than 0.05 s")."""


class Part(tuple["Backend", ...]):
    """The offered tuple while some of the available are full: those who have room, and in `whole` all of them.

    Single requests make a backend full and free again, too often to rebuild a table each time. An algorithm with a
    table may keep it for `whole` and walk on in it, past those who are not in the part. Nobody else need care.
    """

    whole: tuple[Backend, ...]

    def __new__(cls, backends: Iterable[Backend], whole: tuple[Backend, ...]) -> Part:
        part = super().__new__(cls, backends)
        part.whole = whole
        return part


def whole_of(backends: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """The tuple to build a table for."""
    return backends.whole if type(backends) is Part else backends


def name_of(algorithm: object) -> str:
    """What an algorithm is called: its class, or the one that it speaks for and names in `called`."""
    called = getattr(algorithm, "called", None)
    return called if isinstance(called, str) else type(algorithm).__name__


class Comparison(Struct, frozen=True):
    """What an algorithm is about to compare: `numbers` in the order of the offered backends, and who wins a tie.

    The number of one that will not be looked at is None, and `skipped` says why ("not drawn", "full").
    """

    rule: str
    numbers: tuple[float | None, ...]
    best: Literal["lowest", "highest"]
    tie: str
    skipped: str = ""


@runtime_checkable
class Explains(Protocol):
    """Optional: tell what `pick` will compare. Asked just before it, while somebody listens; changes nothing."""

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison: ...


@runtime_checkable
class Observes(Protocol):
    """Optional: hear how attempts of this pool ended, to learn from them."""

    def observe(self, event: Event) -> None: ...
