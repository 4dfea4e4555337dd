"""`LiveRun`: one plan on real sockets, on a thread of its own.

    run = LiveRun(plan)
    feed = run.feed()
    run.start()                  # listening, or raises
    run.pause(), run.resume(), run.step(), run.set_speed(4), run.act(Fault("crash", "web", "a"))
    run.stop()                   # drains and joins; `ended` is set when it is over for any reason

Everything that is called here may be called from any thread; it is done by the loop's thread (see `gate`). Events
reach readers through feeds, which never make the balancer wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Literal

from lbtutor.core.algorithms import Algorithm
from lbtutor.core.errors import ConfigError, EnvironmentFault
from lbtutor.core.events import (
    EVERYTHING,
    Answered,
    Ejected,
    Ended,
    Event,
    Finished,
    HealthChanged,
    OriginChanged,
    Picked,
    Probed,
    Readmitted,
    Rejected,
)
from lbtutor.core.messages import Command
from lbtutor.core.snapshot import PoolSnapshot
from lbtutor.core.workload import Fault, Plan
from lbtutor.live.clock import Clock
from lbtutor.live.gate import Gate
from lbtutor.live.stage import Connections, Stage
from lbtutor.trace.feed import Feed

Ending = Literal["lasted", "interrupted", "stopped"]

_STEPS = (Picked, Answered, Rejected, Finished, Probed, HealthChanged, Ejected, Readmitted, OriginChanged)
"""Events that a person sees; a step ends with one of these."""


class LiveRun:
    """One plan on real sockets. With `held`, the clock stands at 0 until `resume` or `step`.

    `algorithms` replaces the configured algorithm of the named pools. A plan whose `lasts` is infinite plays until it
    is stopped. Raises `ConfigError` for a plan with several balancers: here there is one.
    """

    def __init__(self, plan: Plan, *, algorithms: Mapping[str, Algorithm] | None = None, held: bool = False) -> None:
        if plan.balancers:
            raise ConfigError(
                "this lab needs --on sim: DNS and several balancers ([[balancer]]) are played by the simulator only"
            )
        self.addresses: dict[str, str] = {}
        self.ended = threading.Event()
        self._plan = plan
        self._algorithms = algorithms
        self._clock = Clock(plan.speed, paused=held)
        self._gate = Gate()
        self._gate.closed = held
        self._readers: dict[Feed, frozenset[type]] = {}
        self._feeds_of: dict[type, tuple[Feed, ...]] = {}
        self._stage: Stage | None = None
        self._stepping = False
        self._because: Ending | None = None
        self._hurried = False
        self._ending = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="lbtutor-live", daemon=True)

    def __repr__(self) -> str:
        return f"<LiveRun {self._plan.title!r} {self._clock!r}>"

    # -- its life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the doors. Raises `EnvironmentFault` (a port in use) or `ConfigError`; nothing is left open then."""
        self._thread.start()
        self._ready.wait()
        if self.ended.is_set():
            self._raise_failure()

    def stop(self, because: Ending = "stopped") -> None:
        """End it: let requests under way finish for at most `plan.drain`, then close everything and join the thread.

        A run that is held has nothing to wait for, nor has one that is told twice. What went wrong on the run's own
        thread is raised here, once.
        """
        if self._thread.ident is None:
            return
        self._gate.ask(lambda: self._end(because))
        self._thread.join()
        self._raise_failure()

    @property
    def trouble(self) -> str | None:
        """What went wrong on the run's own thread, if anything has."""
        return None if self._failure is None else f"{type(self._failure).__name__}: {self._failure}"

    # -- its clock ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Scenario seconds since the start."""
        return self._clock.now

    @property
    def speed(self) -> float:
        """Scenario seconds per wall second, while it is not paused."""
        return self._clock.speed

    @property
    def paused(self) -> bool:
        return self._clock.paused

    def pause(self) -> None:
        """Stop everything; when this returns, no event follows until `resume`, `step` or `act`."""
        self._gate.ask(self._hold)

    def resume(self) -> None:
        """Go on from where it stood."""
        self._gate.ask(self._release)

    def step(self) -> None:
        """Go on to the next event that a person sees, and pause right behind it. Does not wait for it."""

        def step() -> None:
            self._stepping = True
            self._listen()
            self._release()

        self._gate.ask(step)

    def set_speed(self, speed: float) -> None:
        """Raises `ValueError` unless it is above 0 and finite."""
        self._gate.ask(lambda: self._clock.set_speed(speed))

    def _hold(self) -> None:
        self._stepping = False
        if self._because is None:
            self._clock.pause()
            self._gate.closed = True

    def _release(self) -> None:
        self._clock.resume()
        self._gate.closed = False

    # -- its events -----------------------------------------------------------------------------------------------

    def feed(self, size: int = 65_536, kinds: frozenset[type] = EVERYTHING) -> Feed:
        """A new reader of the events of these kinds from here on; what nobody reads is not even made.

        `Why` is a kind too, the dearest: picks are told without their record unless somebody asks for it.
        """
        feed = Feed(size)

        def add() -> None:
            self._readers[feed] = kinds
            self._listen()

        self._gate.ask(add)
        return feed

    def unfeed(self, feed: Feed) -> None:
        """Nobody reads that one any more."""

        def drop() -> None:
            self._readers.pop(feed, None)
            self._listen()

        self._gate.ask(drop)

    def _listen(self) -> None:
        self._feeds_of = {
            kind: tuple(feed for feed, kinds in self._readers.items() if kind in kinds) for kind in EVERYTHING
        }
        if self._stage is not None:
            self._stage.listen(*self._hearing())

    def _hearing(self) -> tuple[Callable[[Event], None] | None, frozenset[type]]:
        """Who hears of events, and of which kinds; a single reader hears them at first hand."""
        if self._stepping:
            return self._report, EVERYTHING
        kinds: frozenset[type] = frozenset().union(*self._readers.values())
        if len(self._readers) == 1:
            return next(iter(self._readers)).write, kinds
        return (self._report if kinds else None), kinds

    def _report(self, event: Event) -> None:
        for feed in self._feeds_of.get(type(event), ()):
            feed.write(event)
        if self._stepping and isinstance(event, _STEPS):
            self._hold()

    # -- the hand -------------------------------------------------------------------------------------------------

    def act(self, what: Fault | Command) -> None:
        """Let something befall a machine, or command the balancer, also while paused.

        Raises `ConfigError` when there is no such machine or backend. Does nothing once the run is over.
        """

        def act() -> None:
            if self._stage is not None and not self.ended.is_set():
                self._stage.act(what, by="hand")

        self._gate.ask(act)

    def reconfigure(self, plan: Plan) -> str:
        """Go on with the listeners, routes, pools and `drain` of `plan`, all at once; what is different, in words.

        Nobody is cut off: connections that are open keep the rules under which they came. Raises `ConfigError` or
        `EnvironmentFault` (a port in use, or the run is about to end); everything is then as it was.
        """

        def reconfigure() -> str:
            if self._stage is None or self._because is not None or self.ended.is_set():
                raise EnvironmentFault("it is ending, and takes no other configuration")
            changes = self._stage.reconfigure(plan)
            self._plan = self._stage.plan
            self._tell_addresses(self._stage)
            return changes

        return self._gate.ask(reconfigure)

    def snapshot(self) -> tuple[PoolSnapshot, ...]:
        """The balancer's numbers at this moment; none before the start."""
        return self._gate.ask(lambda: () if self._stage is None else self._stage.shell.balancer.snapshot())

    @property
    def plan(self) -> Plan:
        """What it plays now."""
        return self._gate.ask(lambda: self._plan)

    @property
    def is_ending(self) -> bool:
        """It was told to end, or has lasted as long as it should: nothing new begins."""
        return self._because is not None

    @property
    def connections(self) -> Connections:
        """How many are open at this moment."""
        return self._gate.ask(lambda: Connections({}, 0) if self._stage is None else self._stage.connections)

    @property
    def complaints(self) -> Mapping[str, int]:
        """What lab clients could not do, and how often; the balancer never saw it, so it is not in the trace."""
        return self._gate.ask(lambda: {} if self._stage is None else self._stage.complaints)

    @property
    def messages(self) -> Mapping[str, int]:
        """What lab clients said over WebSockets: how much was `sent` and `echoed`, and of how much nobody can tell
        what became of it (`lost`)."""
        return self._gate.ask(lambda: {} if self._stage is None else self._stage.messages)

    @property
    def authority(self) -> Path | None:
        """The certificate of the lab's own authority (PEM), for `curl --cacert` and the like, until the run has ended;
        None where nobody uses it."""
        return self._gate.ask(lambda: None if self._stage is None else self._stage.authority.path)

    @property
    def most_buffered(self) -> int:
        """The most bytes that ever waited in the balancer for one peer that was slower than the other."""
        return 0 if self._stage is None else self._stage.shell.most_buffered

    # -- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_event_loop) as runner:
                runner.run(self._play())
        except BaseException as error:  # noqa: BLE001  it must not die on this thread unheard
            self._failure = error
        finally:
            self.ended.set()
            self._ready.set()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._note)
        self._gate.enter(loop)
        try:
            await self._play_on(loop)
        finally:
            self._clock.stop()
            self._gate.leave()

    async def _play_on(self, loop: asyncio.AbstractEventLoop) -> None:
        stage = self._stage = Stage(
            self._plan, loop, self._clock, self._gate, *self._hearing(), algorithms=self._algorithms
        )
        self._tell_addresses(stage)
        self._clock.start(loop)
        stage.play()
        if self._plan.lasts < inf:
            self._clock.call_at(self._plan.lasts, lambda: self._end("lasted"))
        self._ready.set()
        self._gate.wait()
        await self._ending.wait()
        await stage.drain(lambda: self._hurried)
        await stage.take_down()
        self._report(Ended(self._clock.now, self._because or "stopped"))

    def _tell_addresses(self, stage: Stage) -> None:
        self.addresses = {name: str(address) for name, address in stage.addresses.items()}

    def _end(self, because: Ending) -> None:
        if because == "lasted" and self._because is not None:
            return
        self._hurried = self._hurried or self._gate.closed or self._because is not None
        self._because = because
        self._gate.closed = False
        if self._stage is not None:
            self._stage.curtain()
        self._ending.set()

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep the first thing that went wrong in a callback, and go on; what befalls a socket is told elsewhere."""
        error = context.get("exception") or RuntimeError(context["message"])
        if self._failure is None and not isinstance(error, OSError):
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
