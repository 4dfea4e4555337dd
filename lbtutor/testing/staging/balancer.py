"""The stories of balancers: who joins and leaves, which requests arrive, whom they go to, and how they end.

What the model counted before each choice stands beside it as the numbers compared, so the learner sees what the
balancer could have known. A request that was only asked for, and never started, goes home at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lbtutor.core.events import (
    Candidate,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Picked,
    WeightChanged,
    Why,
)
from lbtutor.testing.program import SILENT, Op, Program
from lbtutor.testing.staging.telling import ENDS, POOL, SILENCE, WELL, arrived, broke, ended, nobody, sent
from lbtutor.testing.worlds.balancer import Choice

TURNS = frozenset({"round_robin", "weighted_round_robin"})
HASHES = frozenset({"ip_hash", "consistent_hash", "bounded_load", "maglev", "rendezvous"})


def events(program: Program, moments: Sequence[Choice], beat: float, component: str) -> Iterator[Event]:
    """What the stage shows of these moments."""
    for name, weight in program.setting["servers"]:
        yield Joined(0.0, POOL, name, float(weight), "up")
    play = Play(program, component)
    for number, moment in enumerate(moments, 1):
        yield from play.tell(moment, number * beat, beat)


class Play:
    """What is under way on the stage: the requests in the order of their start, as the model has them."""

    def __init__(self, program: Program, component: str) -> None:
        self._program = program
        self._component = component
        self._members: dict[str, float] = dict(program.setting["servers"])
        self._down: set[str] = set()
        self._open: list[tuple[int, str, float]] = []
        self._picks: Counter[str] = Counter()
        self._request = 0

    def tell(self, moment: Choice, at: float, beat: float) -> Iterator[Event]:
        op: Op = self._program.ops[moment.op] if moment.op < len(self._program.ops) else (moment.kind,)
        match moment.kind:
            case "pick" | "retry":
                yield from self._ask(moment, op, at, beat)
            case "crowd":
                yield from self._crowd(moment, at, beat)
            case "start":
                yield from self._start(moment, at)
            case "pile":
                for _ in range(op[2] if len(op) > 2 else 0):
                    yield from self._start(moment, at)
            case "finish":
                yield from self._finish(op, at)
            case "health":
                yield from self._health(moment.name, op, at)
            case "add":
                yield from self._join(moment.name, op, at)
            case "remove":
                yield from self._leave(moment.name, at)
            case _:
                return

    # --- requests

    def _ask(self, moment: Choice, op: Op, at: float, beat: float) -> Iterator[Event]:
        self._request += 1
        yield arrived(at, self._request, moment.client)
        yield from self._chosen(moment, moment.answer, at)
        if moment.answer not in moment.members:
            return
        if not moment.starts:
            because = "it was asked for, and not started"
            yield ended(at + ENDS * beat, self._request, moment.answer, WELL, because)
        elif op[0] == "closed":
            yield ended(at + ENDS * beat, self._request, moment.answer, WELL)
        else:
            self._open.append((self._request, moment.answer, at))

    def _crowd(self, moment: Choice, at: float, beat: float) -> Iterator[Event]:
        """Many requests within one moment, each gone before the next one comes."""
        answers = moment.answer if isinstance(moment.answer, tuple) else ()
        step = beat * ENDS / max(1, len(answers))
        for number, answer in enumerate(answers):
            self._request += 1
            yield arrived(at + number * step, self._request, f"client {number}")
            yield from self._chosen(moment, answer, at + number * step)
            if answer in moment.members:
                yield ended(at + number * step, self._request, answer, WELL)

    def _chosen(self, moment: Choice, answer: Any, at: float) -> Iterator[Event]:
        """What became of one question: a choice, or what there was instead."""
        candidates = self._candidates(moment)
        if answer in moment.members:
            self._picks[answer] += 1
            rule = self._rule(moment)
            yield Picked(
                at, self._request, 1, POOL, answer, "algorithm", Why(rule, "lowest", "any of them", candidates)
            )
            return
        if answer is None:
            yield from nobody(at, self._request, "nobody was chosen", candidates)
        else:
            wrong = SILENCE if answer is SILENT else f"it chose {answer}, which is not in the pool"
            yield from broke(at, self._request, wrong, candidates)

    def _candidates(self, moment: Choice) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(name, self._number(name, moment), None)
            if name in moment.eligible
            else Candidate(name, None, "weight 0" if not weight else "down")
            for name, weight in moment.members.items()
        )

    def _number(self, name: str, moment: Choice) -> float | None:
        if self._component in HASHES:
            return None
        counts = self._picks if self._component in TURNS else moment.active
        number = float(counts.get(name, 0))
        return number / moment.members[name] if self._weighted(moment) else number

    def _rule(self, moment: Choice) -> str:
        """The numbers that a person would look at, by what the code is to be."""
        if self._component in HASHES:
            return ""
        if self._component in TURNS:
            return "picks per weight" if self._weighted(moment) else "picks so far"
        return "in flight per weight" if self._weighted(moment) else "in flight"

    def _weighted(self, moment: Choice) -> bool:
        return any(weight not in (0, 1) for weight in moment.members.values())

    def _start(self, moment: Choice, at: float) -> Iterator[Event]:
        self._request += 1
        yield arrived(at, self._request, "elsewhere")
        yield sent(at, self._request, moment.name, "it was chosen elsewhere")
        self._open.append((self._request, moment.name, at))

    def _finish(self, op: Op, at: float) -> Iterator[Event]:
        if not self._open or len(op) < 4:
            return
        request, name, _ = self._open.pop(op[1] % len(self._open))
        ok, took = bool(op[2]), op[3] / 1000
        status = 200 if ok else 500
        yield Finished(at, request, 1, POOL, name, "answered", status, took, ok, final=True)

    # --- servers

    def _health(self, name: str, op: Op, at: float) -> Iterator[Event]:
        up = bool(op[2]) if len(op) > 2 else True
        if up is not (name in self._down):
            return
        (self._down.discard if up else self._down.add)(name)
        told = "it is healthy" if up else "it failed its health check"
        yield HealthChanged(at, POOL, name, "down" if up else "up", "up" if up else "down", told)

    def _join(self, name: str, op: Op, at: float) -> Iterator[Event]:
        was = self._members.get(name)
        weight = float(op[-1]) if op[0] in ("add", "weigh") and len(op) > 1 else float(was or 1)
        self._members[name] = weight
        if was is None:
            yield Joined(at, POOL, name, weight, "up")
        elif was != weight:
            yield WeightChanged(at, POOL, name, float(was), weight)

    def _leave(self, name: str, at: float) -> Iterator[Event]:
        if self._members.pop(name, None) is not None:
            self._down.discard(name)
            yield Left(at, POOL, name, sum(server == name for _, server, _ in self._open))
