"""The stories of health machines: probes of a server, and what the code under test takes it for after each.

Each machine is a server of its own. Beside it stands how many results in a row speak against what the code said last,
of how many it takes: "down 2/2" beside UP is a machine that should have fallen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lbtutor.core.events import Event, Health, HealthChanged, Joined, Probed, ProbeSent
from lbtutor.testing.program import SILENT, Program
from lbtutor.testing.staging.telling import ENDS, POOL, SETTLES
from lbtutor.testing.worlds.health import LETTERS, Belief

LEGEND = "what the code believes"

STATES: Mapping[str, Health] = {"up": "up", "down": "down", "undecided": "unchecked"}
"""What the stage calls the states that a machine may say."""

TOWARDS: Mapping[str, Health] = {"+": "up", "-": "down"}
"""What a result speaks for."""


def events(program: Program, moments: Sequence[Belief], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    play = Play(program.setting, several=any(moment.kind == "new" for moment in moments))
    yield play.join(0.0)
    for number, moment in enumerate(moments, 1):
        yield from play.tell(moment, number * beat, beat)


class Play:
    """The newest server: what its probes were, and what the code said of it last."""

    def __init__(self, setting: Mapping[str, Any], *, several: bool) -> None:
        self._needed: dict[Health, int] = {"up": setting["rise"], "down": setting["fall"]}
        self._several = several
        self._machine = 0
        self._heard = ""
        self._said: Health = "unchecked"

    def join(self, at: float) -> Event:
        self._machine += 1
        self._heard, self._said = "", "unchecked"
        return Joined(at, POOL, self._name, 1.0, "unchecked")

    @property
    def _name(self) -> str:
        return f"server {self._machine}" if self._several else "server"

    def tell(self, moment: Belief, at: float, beat: float) -> Iterator[Event]:
        if moment.kind == "new":
            yield self.join(at)
            return
        results = moment.heard[len(self._heard) :]
        if self._said == "unchecked" and moment.state != TOWARDS[results[:1]]:
            yield from self._believed(moment, at)  # what it says of a new server is not for this probe's sake
        step = ENDS * beat / max(1, len(results))
        for number, letter in enumerate(results):
            yield ProbeSent(at + number * step, POOL, self._name)
            yield self._probed(letter, at + (number + 1) * step)
        yield from self._believed(moment, at + SETTLES * beat)

    def _probed(self, letter: str, at: float) -> Event:
        self._heard += letter
        towards = TOWARDS[letter]
        count = len(self._heard) - len(self._heard.rstrip(letter))
        needed = self._needed[towards]
        news = (0, 0) if towards == self._said else (min(count, needed), needed)
        return Probed(at, POOL, self._name, LETTERS[letter], "the story has it so", *news, towards)

    def _believed(self, moment: Belief, at: float) -> Iterator[Event]:
        """What the code says now, if that is another state than before."""
        state = STATES.get(moment.state)
        if moment.answer is SILENT or state is None or state == self._said:
            return
        yield HealthChanged(at, POOL, self._name, self._said, state, f"the code says {moment.answer}")
        self._said = state
