"""Golden stories: a command, `----`, and everything that happened, told by the transcript of the trace.

Each `*.txt` beside this file is one story, played on a real `Balancer`. A block is comments (`#`), commands, a line of
dashes, and the lines that followed; a blank line ends it. The commands:

    pool NAME ALGORITHM a b:2 …      the stage: a balancer with this pool; first of all
         [health=2s timeout=1s rise=2 fall=3 initial=unchecked] [retry=2] [all_down=fail_open]
         [passive=5 window=10s eject=30s max_ejected=0.5]
    beside NAME ALGORITHM a b:2 …    another pool, and nothing told of it
    route [to=POOL | split=POOL:90,POOL:10 | respond=STATUS | redirect=TO]
          [path= exact= host= method=] [header=NAME:VALUE]
                                     a route; the first takes the place of the one that leads to the first pool
    request [x3] [from=ADDRESS] [path= host= method=] [header=NAME:VALUE]
                                     so many requests arrive now and stay open
    serve [x3] [takes=20ms]          so many, one after the other, each answered before the next
    finish r1 OUTCOME                200, 500, refused, timed_out …
    wait 5s                          time passes; probes are sent, and answered by the machines
    crash|hang|err|heal NAME         befalls a machine; `serve` and `wait` then see it
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
from lbtutor.core.answers import Redirect, Respond
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.ejection import PassiveCheck
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
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
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


_OUTCOMES: dict[FaultKind | None, Outcome] = {
    None: Outcome.answered(200),
    "crash": Outcome.failed("refused"),
    "error": Outcome.answered(500),
}
_PROBES: dict[FaultKind | None, ProbeResult] = {
    None: ProbeResult(True, "200"),
    "crash": ProbeResult(False, "connection refused"),
    "error": ProbeResult(False, "500"),
}


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
        thrown = {key: options.pop(key) for key in ("passive", "window", "eject", "max_ejected") if key in options}
        config = PoolConfig(
            name,
            algorithm="round_robin" if algorithm in LEARNERS else algorithm,
            backends=tuple(map(_member, members)),
            health=_health(**check) if check else None,
            retry=Retry(int(options.pop("retry", 1))),
            passive=_passive(**thrown) if thrown else None,
            **cast("Any", options),
        )
        self._learners = {name: LEARNERS[algorithm]()} if algorithm in LEARNERS else {}
        self._pool_name = name
        self._pools = [config]
        self._routes: list[Route] = []
        self._build()

    def _beside(self, name: str, algorithm: str, *members: str) -> None:
        self._pools.append(PoolConfig(name, algorithm, tuple(map(_member, members))))
        self._build()
        self.events = []

    def _route(self, **words: str) -> None:
        self._routes.append(_route(**words))
        self._build()
        self.events = []

    def _build(self) -> None:
        self._balancer = Balancer(
            self._pools,
            self._routes or [Route(self._pool_name)],
            rng=Random(1),
            report=self._report,
            now=self.now,
            algorithms=self._learners,
        )

    def _report(self, event: Event) -> None:
        self.events.append(event)

    def _request(self, times: str = "x1", **options: str) -> list[Forward]:
        made = []
        for _ in range(int(times.removeprefix("x"))):
            header, _, value = options.get("header", "").partition(":")
            request = Request(
                next(self._numbers),
                self.now,
                options.get("from", "127.0.1.1"),
                method=options.get("method", "GET"),
                host=options.get("host", ""),
                path=options.get("path", "/"),
                headers={header.lower(): value},
            )
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
            outcome = _OUTCOMES[fault]
            again = self._balancer.finish(forward.request, outcome, self.now)
            assert not isinstance(again, Wait), "no story here has a back-off"
            forward = again

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
            self._balancer.probed(probe.backend, _PROBES[fault], self.now)

    def _befall(self, name: str, fault: FaultKind, amount: float = 0.0) -> None:
        self.events.append(OriginChanged(self.now, self._pool_name, name, fault, amount, "timeline"))
        if fault == "heal":
            del self._broken[name]
        else:
            self._broken[name] = fault

    def _crash(self, name: str) -> None:
        self._befall(name, "crash")

    def _hang(self, name: str) -> None:
        self._befall(name, "hang")

    def _err(self, name: str) -> None:
        self._befall(name, "error", 1.0)

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


def _route(
    to: str = "",
    split: str = "",
    respond: str = "",
    redirect: str = "",
    header: str = "",
    exact: str = "",
    **words: Any,
) -> Route:
    weights = dict(share.split(":") for share in split.split(",")) if split else None
    return Route(
        to,
        **words,
        exact=bool(exact),
        header=dict([header.split(":")]) if header else {},
        split=None if weights is None else {pool: float(weight) for pool, weight in weights.items()},
        respond=Respond(int(respond)) if respond else None,
        redirect=Redirect(redirect, 308) if redirect else None,
    )


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


def _passive(passive: str = "5", window: str = "10s", eject: str = "30s", max_ejected: str = "0.5") -> PassiveCheck:
    return PassiveCheck(int(passive), Seconds.parse(window), Seconds.parse(eject), float(max_ejected))


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
