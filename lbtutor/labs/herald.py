"""`Herald`: tells the operator what changes in the service, and leaves out the requests themselves.

    web/b is down: 3 probes in a row failed, the last with: connection refused
    pool web is down: none of its 2 backends is available, so requests are answered 503

A fold over the trace. The kinds of events that it wants come seldom, so listening to it costs a request nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

from lbtutor.core import Event, Plan
from lbtutor.core.events import (
    Calmed,
    ContractBroken,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    HealthChanged,
    Joined,
    Left,
    Missed,
    Panicked,
    Readmitted,
    Shifted,
    WeightChanged,
)
from lbtutor.trace.narrate import Narrator
from lbtutor.trace.words import counted

_Out = Literal["health", "ejection", "drain", "maintenance", "weight"]
"""Why a member gets no requests."""

_Change = HealthChanged | Ejected | Readmitted | Draining | Disabled | Enabled | WeightChanged

_News = Drained | ContractBroken | Missed | Shifted | Panicked | Calmed

KINDS: frozenset[type] = frozenset((*get_args(_Change), *get_args(_News), Joined, Left))
"""The kinds of events that a herald wants."""


class Herald:
    """`hear` answers the sentences that some events are worth; `plan` answers what is configured at the time."""

    def __init__(self, plan: Callable[[], Plan], *, ascii: bool = False) -> None:  # noqa: A002 - the word everybody uses
        self._plan = plan
        self._narrator = Narrator(ascii, backends_qualified=True)
        self._out: dict[str, dict[str, set[_Out]]] = {}
        self._down: set[str] = set()
        self._regrouped: set[str] = set()
        self._moment = -1.0

    def __repr__(self) -> str:
        return f"<Herald {', '.join(sorted(self._down)) or 'nothing'} down>"

    def hear(self, batch: Iterable[Event]) -> list[str]:
        """The sentences for the operator, mostly none.

        In a reload, who leaves and who joins do so in the same moment: a pool is judged when that is over.
        """
        sentences: list[str] = []
        for event in batch:
            if event.at > self._moment:
                sentences += self._judge_regrouped()
            self._moment = event.at
            sentences += self._take(event)
        return sentences + self._judge_regrouped()

    def _judge_regrouped(self) -> list[str]:
        pools, self._regrouped = self._regrouped, set()
        return [sentence for pool in sorted(pools) for sentence in self._judge(pool)]

    def _take(self, event: Event) -> list[str]:
        match event:
            case Joined():
                return self._joined(event)
            case Left():
                self._members(event.pool).pop(event.backend, None)
                self._regrouped.add(event.pool)
                return [self._narrator.say(event)]
            case WeightChanged(because=because) if because:
                return []  # it grows by itself, step by step
            case HealthChanged() | Ejected() | Readmitted() | Draining() | Disabled() | Enabled() | WeightChanged():
                self._note(event, self._members(event.pool).setdefault(event.backend, set()))
                return [self._narrator.say(event), *self._judge(event.pool)]
            case Drained() | ContractBroken() | Missed() | Shifted() | Panicked() | Calmed():
                return [self._narrator.say(event)]
        return []

    def _members(self, pool: str) -> dict[str, set[_Out]]:
        return self._out.setdefault(pool, {})

    def _joined(self, event: Joined) -> list[str]:
        out = self._members(event.pool)[event.backend] = set()
        if event.health != "up":
            out.add("health")
        if not event.weight:
            out.add("weight")
        if event.at <= 0:
            return []  # it was there from the start
        self._regrouped.add(event.pool)
        return [self._narrator.say(event)]

    def _note(self, event: _Change, reasons: set[_Out]) -> None:
        """Why that member gets no requests now."""
        match event:
            case HealthChanged():
                _set(reasons, "health", event.now != "up")
            case Ejected() | Readmitted():
                _set(reasons, "ejection", isinstance(event, Ejected))
            case WeightChanged():
                _set(reasons, "weight", event.now <= 0)
            case Draining():
                reasons.add("drain")
            case Disabled():
                reasons.add("maintenance")
            case Enabled():
                reasons -= {"drain", "maintenance"}

    def _judge(self, pool: str) -> Iterator[str]:
        """What a change of one member means to its pool, if anything."""
        members = self._members(pool)
        available = sum(not reasons for reasons in members.values())
        of = counted(sum("weight" not in reasons for reasons in members.values()), "backend")
        if not available and pool not in self._down and members:
            self._down.add(pool)
            so = "all of them get requests" if self._fails_open(pool) else "requests are answered 503"
            yield f"pool {pool} is down: none of its {of} is available, so {so}"
        elif available and pool in self._down:
            self._down.remove(pool)
            yield f"pool {pool} is up again with {available} of its {of}"

    def _fails_open(self, name: str) -> bool:
        return any(pool.name == name and pool.all_down == "fail_open" for pool in self._plan().pools)


def _set(reasons: set[_Out], reason: _Out, is_so: bool) -> None:
    (reasons.add if is_so else reasons.discard)(reason)
