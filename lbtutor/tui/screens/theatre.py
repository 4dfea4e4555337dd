"""`Theatre`: the stage with its charts, and the real traffic that moves them.

It owns the run of the present scene, feeds the stage once a frame and the charts four times a second, and keeps the one
rule of its clock: *time passes only where somebody can watch it*. So the clock runs while nobody has stopped it by
hand, nothing holds it (a prediction not yet made), and the stage can be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer

from lbtutor.core import Event, LbtutorError, Plan
from lbtutor.core.workload import client_address
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.screens.pace import BROWSER, LADDER, Pace, waiting_writes
from lbtutor.tui.screens.scales import scales
from lbtutor.tui.screens.watched import SPEEDS, WatchedRun
from lbtutor.tui.widgets.spark import Spark
from lbtutor.tui.widgets.stage import Stage

if TYPE_CHECKING:
    from lbtutor.trace.metrics import Metrics

_LOOKS = 4
"""Times a second that charts, bars and lists are brought up to date."""

_LIVELY = 0.5
"""Seconds at the full frame rate after a single step, so that what it brings is seen at once."""

_WINDOW = 3.0
"""Scenario seconds over which the charts' numbers are taken."""

_CHARTS = (("throughput", "req/s"), ("latency", "ms p95"), ("errors", "%"))
"""Title and unit of each."""

_WHOLE = 100.0


class Theatre(Vertical):
    """The stage, three charts below it, and a run."""

    class Seen(Message):
        """Four times a second: what the picture has reached since the last time."""

        def __init__(self, run: WatchedRun, events: Sequence[Event]) -> None:
            super().__init__()
            self.run = run
            self.events = events

    class Failed(Message):
        """The run could not start, or broke."""

        def __init__(self, says: str) -> None:
            super().__init__()
            self.says = says

    def __init__(self, glyphs: Glyphs, *, calm: bool, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.stage = Stage(glyphs=glyphs.name, id="stage")
        self.run: WatchedRun | None = None
        self.stopped_by_hand = False
        self._glyphs = glyphs
        self._calm = calm
        self._pace = Pace(calm=calm)
        self._factor = 1.0
        self._held = True
        self._let = False
        self._seen = True
        self._minded: WatchedRun | None = None
        self._wanted: Plan | None = None
        self._timer: Timer | None = None
        self._rate = 0
        self._next_look = 0.0
        self._lively_until = 0.0
        self._lock = asyncio.Lock()
        self._beginnings: set[asyncio.Task[None]] = set()

    def compose(self) -> ComposeResult:
        self.stage.reduced_motion = self._calm
        yield self.stage
        with Horizontal(id="charts"):
            for title, unit in _CHARTS:
                yield Spark(title, unit, _WHOLE, glyphs=self._glyphs.name)

    def on_mount(self) -> None:
        self._pace = Pace(calm=self._calm, most=BROWSER if self.app.is_web else LADDER[0])
        self._retime()

    async def on_unmount(self) -> None:
        await self.end()

    @property
    def frame_rate(self) -> int:
        """Frames a second at present."""
        return self._rate

    @property
    def slowed(self) -> bool:
        """Whether the terminal cannot keep up with the usual frame rate."""
        return self._pace.slowed

    # -- the run --------------------------------------------------------------------------------------------------

    def begin(self, plan: Plan) -> None:
        """Stop what runs and start this; it stands at 0 until the clock may run."""
        self._wanted = plan
        self.stopped_by_hand = False
        leaving, self.run = self.run, None
        # No worker: Textual cancels those when the program ends, and a run that is just starting would be left behind.
        beginning = asyncio.create_task(self._begin(plan, leaving))
        self._beginnings.add(beginning)
        beginning.add_done_callback(self._beginnings.discard)

    async def _begin(self, plan: Plan, leaving: WatchedRun | None) -> None:
        async with self._lock:
            await self._stop(leaving)
            try:
                await self._start(plan)
            except LbtutorError as error:
                self.post_message(self.Failed(str(error)))
            except Exception as error:  # noqa: BLE001  whatever breaks over there, the lesson's text and questions go on
                self.post_message(self.Failed(f"The run could not start: {type(error).__name__}: {error}"))

    async def _start(self, plan: Plan) -> None:
        run = WatchedRun(plan, speed=self._factor, ascii_only=self._glyphs.name == "ascii")
        await asyncio.to_thread(run.start)
        if self._wanted is not plan:  # the learner has gone on meanwhile
            await self._stop(run)
            return
        self.run = run
        self._let = False
        self._dress(plan)
        self.keep_time()

    async def end(self) -> None:
        """Stop the run, if there is one, and wait until its thread is gone."""
        self._wanted = None
        async with self._lock:
            leaving, self.run = self.run, None
            await self._stop(leaving)

    async def _stop(self, run: WatchedRun | None) -> None:
        try:
            if run is not None:
                await asyncio.to_thread(run.stop)
        except Exception as error:  # noqa: BLE001  the run is over; that it broke is worth knowing, not worth dying of
            self.log.error(f"the run broke: {error!r}")

    def _dress(self, plan: Plan) -> None:
        """An empty stage, and charts whose scales suit the scene."""
        most = max((traffic.clients for traffic in plan.traffic), default=1)
        self.stage.reset([client_address(number) for number in range(most)])
        for chart, (title, _), top in zip(self.query(Spark), _CHARTS, scales(plan), strict=True):
            chart.border_title = f"{title} 0-{top:g}"
            chart.top = top
            chart.clear()

    # -- the clock ------------------------------------------------------------------------------------------------

    def hold(self, held: bool) -> None:
        """Whether the lesson keeps the clock standing."""
        self._held = held
        self.keep_time()

    def stop_by_hand(self, stopped: bool) -> None:
        """Whether the learner does."""
        self.stopped_by_hand = stopped
        self.keep_time()

    def single_step(self) -> None:
        """Stop, and go on to the next event that a person sees."""
        self.stop_by_hand(stopped=True)
        if self.run is not None:
            self.run.step()
        self._lively_until = monotonic() + _LIVELY
        self._next_look = 0.0
        self._retime()

    def change_speed(self, by: int) -> float:
        """One speed faster or slower; answers the new one."""
        index = SPEEDS.index(self._factor) + by
        self._factor = SPEEDS[min(max(index, 0), len(SPEEDS) - 1)]
        if self.run is not None:
            self.run.set_speed(self._factor)
        return self._factor

    @property
    def speed(self) -> float:
        """As a multiple of the scenario's own."""
        return self._factor

    def be_seen(self, seen: bool) -> None:
        """Whether the stage is before the learner's eyes."""
        self._seen = seen
        self.keep_time()

    @property
    def charts_in_view(self) -> bool:
        """Whether the charts can be seen; else their numbers are wanted in words."""
        return self.query_one("#charts").region.height > 0

    def keep_time(self) -> None:
        """Let the clock run, or stand, by the rule. Acts on changes only, so that a single step is not cut short."""
        run = self.run
        if run is None:
            return
        let = self._seen and not self._held and not self.stopped_by_hand
        if let is not self._let:
            self._let = let
            if let:
                run.resume()
            else:
                run.pause()
        self._retime()

    @property
    def still(self) -> bool:
        """Whether nothing moves: the clock stands and the picture has caught up with it."""
        run = self.run
        return run is None or (run.paused and run.all_seen and self.stage.shown_at >= run.now)

    # -- frames ---------------------------------------------------------------------------------------------------

    def _retime(self) -> None:
        still = self.still and monotonic() > self._lively_until
        rate = self._pace.rate(still=still, watched=self.app.app_focus)
        if rate != self._rate:
            self._rate = rate
            if self._timer is not None:
                self._timer.stop()
            self._timer = self.set_interval(1 / rate, self._frame)

    def _frame(self) -> None:
        run = self.run
        if run is not None:
            self.stage.take(run.drain())
            if self._pace.worth_drawing(waiting_writes(self.app)):
                self.stage.advance(run.now)
            self._mind(run)
            if monotonic() >= self._next_look:
                self._look(run)
        self._retime()

    def _mind(self, run: WatchedRun) -> None:
        """Tell, once, what broke on the run's own thread; the text and the questions of the lesson go on."""
        if run.trouble is not None and run is not self._minded:
            self._minded = run
            if run.broken:
                self.post_message(self.Failed(f"The run broke off: {run.trouble}"))
            else:
                self.notify(f"Something went wrong in the run: {run.trouble}", severity="warning", markup=False)

    def _look(self, run: WatchedRun) -> None:
        self._next_look = monotonic() + 1 / _LOOKS
        moving = not run.paused
        self.keep_time()
        seen = run.seen(self.stage.shown_at)
        if moving:
            self._chart(run.metrics, self.stage.shown_at)
        self.post_message(self.Seen(run, seen))

    def _chart(self, metrics: Metrics, now: float) -> None:
        p95 = metrics.p95(now, _WINDOW)
        latency = None if p95 is None else 1000 * p95
        values = (metrics.rate(now, _WINDOW), latency, 100 * metrics.error_share(now, _WINDOW))
        for chart, value in zip(self.query(Spark), values, strict=True):
            chart.push(value)

    def numbers(self) -> str:
        """What the charts say now, in one line; nothing before the first request."""
        run = self.run
        if run is None or not run.metrics.requests.total:
            return ""
        now = self.stage.shown_at
        p95 = run.metrics.p95(now, _WINDOW)
        latency = "-" if p95 is None else f"{1000 * p95:.0f} ms"
        rate, errors = run.metrics.rate(now, _WINDOW), 100 * run.metrics.error_share(now, _WINDOW)
        return f"{rate:.0f} r/s  p95 {latency}  err {errors:.0f}%"
