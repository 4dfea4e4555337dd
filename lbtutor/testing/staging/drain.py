"""The stories of a drain: requests begin and end on a server, and the code under test says in which state it is.

What is open is counted as the story tells it. So a server that is DRAINED with a request in flight was let go too soon.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lbtutor.core.events import Drained, Draining, Enabled, Event, Left
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import POOL, SETTLES, WELL, arrived, ended, joined, sent
from lbtutor.testing.worlds.drain import Look

LEGEND = "what the code says of its server"


def events(program: Program, moments: Sequence[Look], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    play = Play(several=any(moment.kind == "anew" for moment in moments))
    yield from play.begin(0.0)
    for number, moment in enumerate(moments, 1):
        yield from play.tell(moment, number * beat, beat)


class Play:
    """The server, the requests that it has, and what the code said of it last."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._number = self._request = 0
        self._open: list[int] = []
        self._said = "active"

    def begin(self, at: float) -> Iterator[Event]:
        """A server, or the next one in its place."""
        if self._number:
            yield Left(at, POOL, self._name, len(self._open))
        self._number += 1
        self._open, self._said = [], "active"
        yield from joined([self._name], at)

    @property
    def _name(self) -> str:
        return f"server {self._number}" if self._several else "server"

    def tell(self, look: Look, at: float, beat: float) -> Iterator[Event]:
        match look.kind:
            case "start":
                self._request += 1
                self._open.append(self._request)
                yield arrived(at, self._request)
                yield sent(at, self._request, self._name, "it was chosen elsewhere")
            case "end" if self._open:
                yield ended(at, self._open.pop(0), self._name, WELL)
            case "anew":
                yield from self.begin(at)
        if look.answer is not SILENT and look.answer != self._said:
            yield from self._says(look.answer, at + SETTLES * beat)

    def _says(self, state: object, at: float) -> Iterator[Event]:
        """The state that the code says, where it was another one before."""
        match state:
            case "draining":
                yield Draining(at, POOL, self._name, len(self._open))
            case "drained":
                if self._said == "active":
                    yield Draining(at, POOL, self._name, len(self._open))
                yield Drained(at, POOL, self._name)
            case "active":
                yield Enabled(at, POOL, self._name)
            case _:
                return
        self._said = str(state)
