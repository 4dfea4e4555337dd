"""The stories of sticky balancers: who comes with which cookie, and where each is sent; servers fail, come and go.

A client that is sent to a server which has stopped is refused there; one that is sent to nobody, or to a server that is
no member, gets its answer from the balancer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lbtutor.core.events import Candidate, Event, HealthChanged, Left
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import (
    ENDS,
    POOL,
    REFUSED,
    SILENCE,
    WELL,
    arrived,
    broke,
    chosen,
    ended,
    joined,
    nobody,
)
from lbtutor.testing.worlds.affinity import Visit


def events(program: Program, moments: Sequence[Visit], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    yield from joined(program.setting["servers"])
    play = Play(program.setting["servers"])
    for number, moment in enumerate(moments, 1):
        yield from play.tell(moment, number * beat, beat)


class Play:
    """Who is a member, and who of them has stopped."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._members = list(dict.fromkeys(servers))
        self._down: set[str] = set()
        self._request = 0

    def tell(self, moment: Visit, at: float, beat: float) -> Iterator[Event]:
        match moment.kind:
            case "visit":
                yield from self._visit(moment, at, beat)
            case "fail" | "heal":
                yield from self._health(moment.server, at, up=moment.kind == "heal")
            case "add" if moment.server not in self._members:
                self._members.append(moment.server)
                yield from joined([moment.server], at)
                yield from self._still_down(moment.server, at)
            case "remove" if moment.server in self._members:
                self._members.remove(moment.server)
                yield Left(at, POOL, moment.server, 0)
            case _:
                return

    def _visit(self, visit: Visit, at: float, beat: float) -> Iterator[Event]:
        self._request += 1
        answer, candidates = visit.answer, self._candidates(visit)
        yield arrived(at, self._request, visit.client)
        if answer is SILENT:
            yield from broke(at, self._request, SILENCE, candidates)
        elif not visit.fits:
            yield from broke(at, self._request, f"{answer!r} is no pair of a server and a cookie", candidates)
        elif answer is None:
            yield from nobody(at, self._request, "nobody was chosen", candidates)
        elif answer not in self._members:
            yield from broke(at, self._request, f"it chose {answer}, which is not in the pool", candidates)
        else:
            yield chosen(at, self._request, answer, candidates, _cookie(visit))
            yield ended(at + ENDS * beat, self._request, answer, REFUSED if answer in self._down else WELL)

    def _candidates(self, visit: Visit) -> list[Candidate]:
        return [Candidate(name, None, None if name in visit.eligible else "down") for name in self._members]

    def _health(self, name: str, at: float, *, up: bool) -> Iterator[Event]:
        if up is not (name in self._down):
            return
        (self._down.discard if up else self._down.add)(name)
        if name in self._members:
            was, now = ("down", "up") if up else ("up", "down")
            yield HealthChanged(at, POOL, name, was, now, "it is healthy again" if up else "it stops")  # type: ignore[arg-type]

    def _still_down(self, name: str, at: float) -> Iterator[Event]:
        if name in self._down:
            yield HealthChanged(at, POOL, name, "up", "down", "it stopped before it left")


def _cookie(visit: Visit) -> str:
    """What a client shows, what that means, and what it is given."""
    if visit.shows is None:
        shows = "it shows no cookie"
    elif not visit.known:
        shows = "it shows a cookie that nobody gave it"
    else:
        shows = f"it shows its cookie, by which it was on {visit.home}" if visit.home else "it shows its cookie"
    return shows if visit.given is None else f"{shows}, and is given a new one"
