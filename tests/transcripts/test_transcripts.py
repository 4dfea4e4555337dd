"""Golden stories: a command, `----`, and everything that happened, told by the transcript of the trace.

Each `*.txt` beside this file is one story, played on a real `Balancer`. A block is comments (`#`), commands, a line of
dashes, and the lines that followed; a blank line ends it. The commands:

    pool NAME ALGORITHM a b:2 …      the stage: a balancer with this pool; first of all
         [health=2s timeout=1s rise=2 fall=3 initial=unchecked] [retry=2] [all_down=fail_open]
    request [x3] [from=ADDRESS]      so many requests arrive now and stay open
    serve [x3] [takes=20ms]          so many, one after the other, each answered before the next
    finish r1 OUTCOME                200, 500, refused, timed_out …
    wait 5s                          time passes; probes are sent, and answered by the machines
    crash|hang|heal NAME             befalls a machine; `serve` and `wait` then see it
    drain|disable|enable|remove NAME, add NAME[:WEIGHT], weight NAME WEIGHT

Any command takes `only=KIND,KIND` and then shows only events of these kinds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.events import Event, FaultKind, OriginChanged
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Command,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    OutcomeKind,
    Probe,
    ProbeResult,
    Remove,
    Request,
    SetWeight,
)
from lbtutor.core.pool import PoolConfig, Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds
from lbtutor.trace.transcript import Transcript

FOLDER = Path(__file__).parent
STORIES = sorted(path.stem for path in FOLDER.glob("*.txt"))
DASHES = "----"


class Silent:
    """Always the first, and no reason given."""

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return backends[0]


class Raises:
    """Stumbles over every third request."""

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return backends[request.id % 3]


class Inventive:
    """Answers with a name instead of the backend."""

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return cast("Backend", backends[0].name)


LEARNERS: dict[str, type[Algorithm]] = {kind.__name__: kind for kind in (Silent, Raises, Inventive)}


class Stage:
    """Plays commands on a balancer and collects what it reports."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self._numbers = count(1)
        self._broken: dict[str, FaultKind] = {}
        self._hanging: list[tuple[float, int, Probe]] = []
        self._transcript = Transcript()

    def play(self, command: str) -> Iterator[str]:
        """Carry out one command; the lines that it caused."""
        verb, *words = command.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        arguments = [word for word in words if "=" not in word]
        kinds = [kind for kind in options.pop("only", "").split(",") if kind]
        self.events = []
        getattr(self, f"_{verb}")(*arguments, **options)
        for event in self.events:
            if not kinds or type(event).__name__.lower() in kinds:
                yield self._transcript.line(event)

    def _pool(self, name: str, algorithm: str, *members: str, **options: str) -> None:
        check = {key: options.pop(key) for key in ("health", "timeout", "rise", "fall", "initial") if key in options}
        config = PoolConfig(
            name,
            algorithm="round_robin" if algorithm in LEARNERS else algorithm,
            backends=tuple(map(_member, members)),
            health=_health(**check) if check else None,
            retry=Retry(int(options.pop("retry", 1))),
            **cast("Any", options),
        )
        learners = {name: LEARNERS[algorithm]()} if algorithm in LEARNERS else {}
        self._pool_name = name
        self._balancer = Balancer(
            [config], [Route(name)], rng=Random(1), report=self._report, now=self.now, algorithms=learners
        )

    def _report(self, event: Event) -> None:
        self.events.append(event)

    def _request(self, times: str = "x1", **options: str) -> list[Forward]:
        made = []
        for _ in range(int(times.removeprefix("x"))):
            request = Request(id=next(self._numbers), at=self.now, client=options.get("from", "127.0.1.1"))
            decision = self._balancer.arrive(request)
            if isinstance(decision, Forward):
                made.append(decision)
        return made

    def _serve(self, times: str = "x1", takes: str = "20ms", **options: str) -> None:
        for _ in range(int(times.removeprefix("x"))):
            for forward in self._request(**options):
                self._answer(forward, Seconds.parse(takes))

    def _answer(self, forward: Forward | None, takes: float) -> None:
        while forward is not None:
            fault = self._broken.get(forward.backend.name)
            if fault == "hang":
                return
            if fault is None:
                self._advance(takes)
            outcome = Outcome.failed("refused") if fault == "crash" else Outcome.answered(200)
            forward = self._balancer.finish(forward.request, outcome, self.now)

    def _finish(self, request: str, outcome: str) -> None:
        ended = Outcome.answered(int(outcome)) if outcome.isdigit() else Outcome.failed(cast("OutcomeKind", outcome))
        self._balancer.finish(int(request.removeprefix("r")), ended, self.now)

    def _wait(self, duration: str) -> None:
        self._advance(Seconds.parse(duration))

    def _advance(self, seconds: float) -> None:
        """Let time pass; probes are sent when they are due, and answered."""
        until = self.now + seconds
        while (due := self._next_due()) <= until:
            self.now = max(self.now, due)
            while self._hanging and self._hanging[0][0] <= self.now:
                _, _, probe = heapq.heappop(self._hanging)
                says = f"no answer in {probe.timeout:g} s"
                self._balancer.probed(probe.backend, ProbeResult(False, says), self.now)
            for probe in self._balancer.tick(self.now):
                self._probe(probe)
        self.now = until

    def _next_due(self) -> float:
        deadline = self._balancer.next_deadline()
        return min(float("inf") if deadline is None else deadline, *(due for due, _, _ in self._hanging), float("inf"))

    def _probe(self, probe: Probe) -> None:
        fault = self._broken.get(probe.backend.name)
        if fault == "hang":
            heapq.heappush(self._hanging, (self.now + probe.timeout, id(probe), probe))
        else:
            result = ProbeResult(False, "connection refused") if fault == "crash" else ProbeResult(True, "200")
            self._balancer.probed(probe.backend, result, self.now)

    def _befall(self, name: str, fault: FaultKind) -> None:
        self.events.append(OriginChanged(self.now, self._pool_name, name, fault, 0.0, "timeline"))
        if fault == "heal":
            del self._broken[name]
        else:
            self._broken[name] = fault

    def _crash(self, name: str) -> None:
        self._befall(name, "crash")

    def _hang(self, name: str) -> None:
        self._befall(name, "hang")

    def _heal(self, name: str) -> None:
        self._befall(name, "heal")

    def _command(self, command: Command) -> None:
        self._balancer.command(command, self.now)

    def _drain(self, name: str) -> None:
        self._command(Drain(self._pool_name, name))

    def _disable(self, name: str) -> None:
        self._command(Disable(self._pool_name, name))

    def _enable(self, name: str) -> None:
        self._command(Enable(self._pool_name, name))

    def _remove(self, name: str) -> None:
        self._command(Remove(self._pool_name, name))

    def _add(self, member: str) -> None:
        self._command(Add(self._pool_name, _member(member)))

    def _weight(self, name: str, weight: str) -> None:
        self._command(SetWeight(self._pool_name, name, float(weight)))


def _member(text: str) -> BackendConfig:
    name, _, weight = text.partition(":")
    return BackendConfig(name, weight=float(weight or 1))


def _health(health: str, timeout: str = "1s", rise: str = "2", fall: str = "3", initial: str = "up") -> HealthCheck:
    return HealthCheck(
        interval=Seconds.parse(health),
        timeout=Seconds.parse(timeout),
        rise=int(rise),
        fall=int(fall),
        initial=cast("Any", initial),
    )


def played(story: str) -> str:
    """The story told anew: its comments and commands, each block with what happens now."""
    stage, told = Stage(), []
    for block in story.strip().split("\n\n"):
        script = block.split(f"\n{DASHES}")[0].splitlines()
        lines = [line for command in script if not command.startswith("#") for line in stage.play(command)]
        told.append("\n".join([*script, DASHES, *lines]))
    return "\n\n".join(told) + "\n"


@pytest.mark.parametrize("name", STORIES)
def test_the_story_is_told_as_it_was(name: str, rewrite: bool) -> None:
    path = FOLDER / f"{name}.txt"
    written = path.read_text(encoding="utf-8")
    now = played(written)
    if rewrite:
        path.write_text(now, encoding="utf-8")
    else:
        assert now == written


def test_there_are_stories() -> None:
    assert len(STORIES) >= 9
