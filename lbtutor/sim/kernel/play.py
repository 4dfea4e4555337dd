"""`play`: a world from beginning to end, second by second, and `play_all`: many worlds on all cores.

The engine runs from one moment to the next at which Python has something to say: the end of a second, a mishap, a
corner of the rate, an instance that an autoscaler wants more or less of. Between them it runs by itself.
"""

# ruff: noqa: F403, F405 - the columns of the memory are this module's vocabulary

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from math import ceil

from lbtutor.core.scaling import Autoscaler
from lbtutor.sim.kernel import engine, journey, sockets, strikes
from lbtutor.sim.kernel.layout import *
from lbtutor.sim.kernel.memory import grown, new_memory
from lbtutor.sim.kernel.rows import belief_at, count_at, fleet_at, group_at, instance_at, spent_at, told_at
from lbtutor.sim.tape import AT_BALANCERS, COUNTS, TIMES, Tape
from lbtutor.sim.world import Stroke, World

DRAIN_BEFORE_LEAVING = 30.0
"""Seconds that an instance which the autoscaler no longer wants has to finish what it is at."""


class Player:
    """One world being played; `tape` grows by a second at each `play_second`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tape = Tape({fleet.name: fleet.room for fleet in world.fleets}, world.balancers.count)
        self._m = new_memory(world)
        self._firsts = [int(self._m.n[fleet_at(self._m, f) + FIRST]) for f in range(len(world.fleets))]
        self._order = count()
        self._strokes: list[tuple[float, int, Stroke]] = []
        self._scalers = [
            None if fleet.scaling is None else Autoscaler(fleet.scaling, wanted=fleet.instances)
            for fleet in world.fleets
        ]
        self._coming: list[set[int]] = [set() for _ in world.fleets]
        self._going: list[set[int]] = [set() for _ in world.fleets]
        for stroke in world.timeline():
            self._expect(stroke)
        self._begin()

    def __repr__(self) -> str:
        return f"<Player of {self.world.title or 'a world'} at {self.tape.seconds} s of {self.world.lasts:g} s>"

    @property
    def seconds(self) -> int:
        """How many seconds there are to play."""
        return ceil(self.world.lasts)

    @property
    def most_at_once(self) -> int:
        """Requests that the memory has had to make room for."""
        return int(self._m.n[Z_USED])

    def _begin(self) -> None:
        m = self._m
        strikes.list_all(m, 0.0)
        m.x[Z_CONTROL] = 0.0
        for f, fleet in enumerate(self.world.fleets):
            open_now = 0 if fleet.sockets is None else fleet.sockets.open
            pairs = self.world.balancers.count * fleet.instances
            for pair in range(pairs if open_now else 0):
                b, i = divmod(pair, fleet.instances)
                share = (pair + 1) * open_now // pairs - pair * open_now // pairs
                sockets.add_sockets(m, b, f, self._firsts[f] + i, share)
            sockets.draw_socket(m, f, 0.0)

    def play_second(self) -> None:
        """One second more, and a row of the tape."""
        second = self.tape.seconds
        self._play_until(min(second + 1.0, float(self.world.lasts)))
        self._write()
        for f in range(len(self.world.fleets)):
            self._scale(f, second + 1.0)

    def _play_until(self, until: float) -> None:
        while self._strokes and self._strokes[0][0] < until:
            at, _, stroke = heappop(self._strokes)
            self._advance(at)
            self._strike(stroke, at)
        self._advance(until)

    def _advance(self, until: float) -> None:
        """In pieces in which the rate is a straight line."""
        load = self.world.load
        now = float(self._m.x[Z_NOW])
        for corner in [*(at for at, _ in load.rate if now < at < until), until]:
            ended = False
            while not ended:
                now = float(self._m.x[Z_NOW])
                if corner <= now:
                    break
                slope = 0.0 if len(load.rate) == 1 else (load.at(corner) - load.at(now)) / (corner - now)
                ended = engine.advance(self._m, corner, load.at(now), slope)
                if not ended:
                    self._make_room(1)

    def _make_room(self, for_more: int) -> None:
        free = int(self._m.n[Z_FREE_COUNT])
        if free < for_more:
            self._m = grown(self._m, max(for_more - free, int(self._m.n[Z_USED])))

    # mishaps

    def _expect(self, stroke: Stroke) -> None:
        heappush(self._strokes, (stroke.at, next(self._order), stroke))

    def _strike(self, stroke: Stroke, now: float) -> None:
        if stroke.fleet < 0:
            strikes.strike_balancer(self._m, stroke.machine, stroke.kind == "heal", now)
            return
        g = self._firsts[stroke.fleet] + stroke.machine
        row = instance_at(self._m, g)
        if not self._m.n[row + MEMBER] and stroke.machine not in self._coming[stroke.fleet]:
            return
        self._make_room(int(self._m.n[row + HERE]))
        if stroke.kind == "start":
            self._coming[stroke.fleet].discard(stroke.machine)
            strikes.strike(self._m, g, RUNS, 1.0, now)
            strikes.tell(self._m, g, JOINS, now)
        elif stroke.kind == "drain":
            strikes.tell(self._m, g, DRAINS, now)
        elif stroke.kind == "stop":
            strikes.strike(self._m, g, DOWN, 1.0, now)
            self._see_off(stroke.fleet, stroke.machine, g, now)
        elif self._m.n[row + MEMBER] and not self._m.n[row + DRAINING]:
            state = {"crash": DOWN, "hang": HANGS}.get(stroke.kind, RUNS)
            strikes.strike(self._m, g, state, stroke.amount if stroke.kind == "slow" else 1.0, now)

    def _see_off(self, fleet: int, machine: int, g: int, now: float) -> None:
        """One that the autoscaler does not want leaves; one that is deployed comes back."""
        if machine in self._going[fleet]:
            self._going[fleet].discard(machine)
            strikes.tell(self._m, g, LEFT, now)

    # autoscaling

    def _scale(self, f: int, now: float) -> None:
        scaler = self._scalers[f]
        if scaler is None:
            return
        fleet = self.world.fleets[f]
        serving = sum(self._state(f, i) == RUNS for i in self._members(f))
        busy = self.tape.series("busy", fleet.name)[-1]
        scaler.observe(now, busy / (serving * fleet.slots) if serving else None, serving)
        members = self._members(f)
        self._replace_dead(f, members, now, scaler.config.warm_up)
        missing = scaler.wanted - len(members) - len(self._coming[f] - set(members))
        for _ in range(missing):
            self._launch(f, now + scaler.config.warm_up)
        for i in sorted(members, reverse=True)[: max(0, -missing)]:
            self._dismiss(f, i, now)

    def _members(self, f: int) -> list[int]:
        """Those that take part: members that do not drain."""
        first, room = self._firsts[f], self.world.fleets[f].room
        return [
            i
            for i in range(room)
            if self._m.n[instance_at(self._m, first + i) + MEMBER]
            and not self._m.n[instance_at(self._m, first + i) + DRAINING]
        ]

    def _state(self, f: int, i: int) -> int:
        return int(self._m.n[instance_at(self._m, self._firsts[f] + i) + UP])

    def _replace_dead(self, f: int, members: list[int], now: float, warm_up: float) -> None:
        """Who has failed every balancer's probes is replaced by a fresh machine in its place."""
        for i in members:
            g = self._firsts[f] + i
            if self._state(f, i) != RUNS and i not in self._coming[f] and not self._believed_anywhere(g):
                self._coming[f].add(i)
                self._expect(Stroke(now + warm_up, "start", f, i))

    def _believed_anywhere(self, g: int) -> bool:
        instances = sum(fleet.room for fleet in self.world.fleets)
        return any(
            self._m.n[belief_at(self._m, b * instances + g) + BELIEVED] == HEALTHY
            for b in range(self.world.balancers.count)
        )

    def _launch(self, f: int, at: float) -> None:
        first, room = self._firsts[f], self.world.fleets[f].room
        for i in range(room):
            if not self._m.n[instance_at(self._m, first + i) + MEMBER] and i not in self._coming[f]:
                self._coming[f].add(i)
                self._expect(Stroke(at, "start", f, i))
                return

    def _dismiss(self, f: int, i: int, now: float) -> None:
        """It drains, and is gone when its time is over."""
        self._going[f].add(i)
        self._strike(Stroke(now, "drain", f, i), now)
        self._expect(Stroke(now + DRAIN_BEFORE_LEAVING, "stop", f, i))

    # the tape

    def _write(self) -> None:
        m, fleets, balancers = self._m, range(len(self.world.fleets)), range(self.world.balancers.count)
        journey.count_busy(m, float(m.x[Z_NOW]))
        counts = {name: [int(m.n[count_at(m, f) + at]) for f in fleets] for at, name in enumerate(COUNTS)}
        gauges = self._gauges()
        times = {name: [float(m.x[spent_at(m, f) + at]) for f in fleets] for at, name in enumerate(TIMES)}
        told = {name: [int(m.n[told_at(m, b) + at]) for b in balancers] for at, name in enumerate(AT_BALANCERS)}
        latency = [
            {LOWEST_BUCKET + at: int(number) for at, number in enumerate(_part(m, AT_LATENCY, BUCKETS, f)) if number}
            for f in fleets
        ]
        self.tape.add_second(
            {**counts, **gauges}, times, told, _part(m, AT_PICKED, sum(self.tape.fleets.values())), latency
        )
        self._count_anew()

    def _gauges(self) -> dict[str, list[int]]:
        m, fleets = self._m, list(enumerate(self.world.fleets))
        members = [
            [row for i in range(fleet.room) if m.n[(row := instance_at(m, self._firsts[f] + i)) + MEMBER]]
            for f, fleet in fleets
        ]
        up = [sum(int(m.n[row + UP]) == RUNS for row in rows) for rows in members]
        return {
            "instances": [len(rows) for rows in members],
            "up": up,
            "offered_to": [
                sum(int(m.n[group_at(m, b, f) + HOW_MANY]) for b in range(self.world.balancers.count))
                for f, _ in fleets
            ],
            "slots": [up[f] * fleet.slots for f, fleet in fleets],
            "in_flight": [int(m.n[fleet_at(m, f) + RUNNING_NOW]) for f, _ in fleets],
            "sockets": [int(m.n[fleet_at(m, f) + SOCKETS_OPEN]) for f, _ in fleets],
        }

    def _count_anew(self) -> None:
        """Counts begin at 0 with each second; the clients of a balancer are a gauge and stay."""
        m = self._m
        fleets = len(self.world.fleets)
        widths = {AT_COUNT: fleets * N_COUNTS, AT_LATENCY: fleets * BUCKETS, AT_PICKED: sum(self.tape.fleets.values())}
        for at, width in widths.items():
            m.n[m.n[at] : m.n[at] + width] = [0] * width
        m.x[m.n[AT_SPENT] : m.n[AT_SPENT] + fleets * N_TIMES] = [0.0] * (fleets * N_TIMES)
        for b in range(self.world.balancers.count):
            for at in range(N_AT):
                if at != A_CLIENTS:
                    m.n[told_at(m, b) + at] = 0


def play(world: World, progress: Callable[[int, int], None] | None = None) -> Tape:
    """Play a world to its end; `progress` hears after each second how many of how many are played.

    Raises `ConfigError` for a world that is too large. Ctrl-C gives the tape of the seconds that were played whole.
    """
    player = Player(world)
    with suppress(KeyboardInterrupt):
        while player.tape.seconds < player.seconds:
            player.play_second()
            if progress is not None:
                progress(player.tape.seconds, player.seconds)
    return player.tape


def play_all(worlds: Iterable[World], processes: int | None = None) -> Iterator[Tape]:
    """The tapes of several worlds in their order, played on all cores (or in so many processes).

    When somebody presses Ctrl-C, it ends: what was played whole has been given, and is fewer than were asked for.
    """
    worlds = list(worlds)
    processes = min(len(worlds), processes or os.cpu_count() or 1)
    if processes < 2:
        for world in worlds:
            tape = play(world)
            if tape.seconds < ceil(world.lasts):
                return
            yield tape
        return
    from multiprocessing import get_context

    with get_context("spawn").Pool(processes, _leave_ctrl_c) as pool, suppress(KeyboardInterrupt):
        yield from pool.imap(play, worlds)


def _leave_ctrl_c() -> None:
    """Ctrl-C is for the process in front, which then ends these."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _part(m: Memory, section: int, width: int, row: int = 0) -> list[int]:
    """One row of a section, of that width."""
    first = m.n[section] + row * width
    return [int(number) for number in m.n[first : first + width]]
