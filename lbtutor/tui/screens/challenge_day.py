"""`DayScreen`: the day of a design is played, then unfolds before the learner's eyes.

Two things in a row. First the day is played on a thread (`Job`), with the share that is done on the screen and a key
to give it up. Then it is all there, and a clock of our own goes through it: a minute of the day a second, slower for
half a minute after something happened, forwards and back from one happening to the next as the learner likes. Time
passes only while this screen is in view. With motion switched off it goes from minute to minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.timer import Timer

from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.record import ChallengeRecord
from lbtutor.course.challenge.unfold import Day, clock
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar, cue_lines
from lbtutor.tui.screens.challenge_frame import ChallengeScreen, head
from lbtutor.tui.screens.challenge_hour import HourChart
from lbtutor.tui.screens.challenge_job import GivenUp, Job
from lbtutor.tui.screens.challenge_keys import DAY, HELP_ON_DAY
from lbtutor.tui.screens.challenge_picture import news, numbers
from lbtutor.tui.screens.cue import Cue
from lbtutor.tui.screens.pace import Pace, waiting_writes
from lbtutor.tui.screens.watched import SPEEDS

USUAL = 60.0
"""Seconds of the day that pass in one of ours, at speed 1."""

CLOSE = 10.0
"""The same for `LINGER` seconds of the day after something broke, was mended or began."""

LINGER = 30

_ROWS_FOR_NEWS, _ROWS_FOR_HOUR = 19, 22
_FRAMES = 12
_LONGEST = 0.25
"""Seconds of ours that may pass in one frame: after a stall time does not leap."""

_READ = ("v: read the verdicts", "r: again")
_VITAL = ("clock.pause", "clock.step", "clock.back", "view.verdicts", "clock.again", "clock.end", "view.edit")


class DayScreen(ChallengeScreen):
    """A design on Black Friday. `edit` opens the design in the editor."""

    KEYS = DAY
    PAGE = HELP_ON_DAY
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DAY)]

    def __init__(
        self,
        design: Design,
        glyphs: Glyphs,
        *,
        calm: bool = False,
        edit: Callable[[], None] | None = None,
        own: str = "",
    ) -> None:
        """`own` is the design's name, if it is the learner's: then it is recorded that it passed."""
        super().__init__(glyphs)
        self.design = design
        self.day: Day | None = None
        self.second = 0.0
        self.stopped = False
        self._job = Job(design)
        self._playing: asyncio.Task[None] | None = None
        self._trouble = ""
        self._edit = edit
        self._own = own
        self._calm = calm
        self._pace = Pace(most=_FRAMES)
        self._factor = 1.0
        self._timer: Timer | None = None
        self._rate = 0.0
        self._last = 0.0

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        yield Bar(id="numbers")
        yield HourChart(self._glyphs, id="hour")
        yield Bar(id="news")
        yield Bar(id="cue")
        by_id = {row.id: row for row in rows(DAY)}
        yield KeyBar([by_id[name] for name in (*_VITAL, "app.help", "app.back")], id="keys")

    def on_mount(self) -> None:
        self.query_one("#numbers").border_title = "Black Friday · requests a second"
        self._playing = asyncio.create_task(self._play())
        self._retime()
        self._show()

    async def on_unmount(self) -> None:
        self._job.give_up()
        if self._playing is not None:
            await self._playing

    async def _play(self) -> None:
        try:
            (self.day,) = await self._job.days()
        except GivenUp:
            return
        except Exception as error:  # noqa: BLE001  whatever breaks over there, the learner's file is still here
            self._trouble = f"The day could not be played: {type(error).__name__}: {error}"
        self._record_pass()
        if self.is_attached:
            self._retime()
            self._show()

    def _record_pass(self) -> None:
        if self.day is not None and self._own and self.day.verdict == "passed":
            record = ChallengeRecord()
            record.record_pass(self._own, 1, datetime.now(UTC))
            if record.notice:
                self.app.notify(record.notice, severity="warning", timeout=20, markup=False)

    # -- the clock ------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the end of the hour is reached."""
        return self.day is not None and self.second >= self.day.seconds - 1

    @property
    def moving(self) -> bool:
        """Whether time passes."""
        return self.day is not None and not (self.stopped or self.over) and self.is_active

    @property
    def speed(self) -> float:
        """Seconds of the day in one of ours, at this point of the day."""
        near = self.day is not None and any(
            0 <= self.second - one.second < LINGER and one.tone != "change" for one in self.day.until(int(self.second))
        )
        return self._factor * (CLOSE if near and not self._calm else USUAL)

    def _retime(self) -> None:
        still = not self.moving and self.day is not None
        rate = 1.0 if self._calm and self.moving else self._pace.rate(still=still, watched=self.app.app_focus)
        if rate != self._rate:
            self._rate, self._last = rate, monotonic()
            if self._timer is not None:
                self._timer.stop()
            self._timer = self.set_interval(1 / rate, self._frame)

    def _frame(self) -> None:
        now = monotonic()
        passed, self._last = min(now - self._last, 1.0 if self._calm else _LONGEST), now
        if self.moving:
            self._go(self.second + passed * self.speed)
        if self._pace.worth_drawing(waiting_writes(self.app)):
            self._show()
        self._retime()

    def _go(self, second: float) -> None:
        assert self.day is not None
        self.second = min(max(second, 0.0), self.day.seconds - 1.0)

    def go_to(self, second: int) -> None:
        """Stop there."""
        if self.day is not None:
            self.stopped = True
            self._go(second)
            self._show()

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        if not self.over:
            self.stopped = not self.stopped
        self._show()

    def action_step(self, by: int) -> None:
        if self.day is not None:
            here = int(self.second)
            self.go_to(self.day.next_after(here) if by > 0 else self.day.last_before(here))

    def action_faster(self) -> None:
        self._change_speed(1)

    def action_slower(self) -> None:
        self._change_speed(-1)

    def _change_speed(self, by: int) -> None:
        index = SPEEDS.index(self._factor) + by
        self._factor = SPEEDS[min(max(index, 0), len(SPEEDS) - 1)]
        self._show()

    def action_again(self) -> None:
        if self.day is not None:
            self.stopped, self.second = False, 0.0
            self._show()

    def action_end(self) -> None:
        if self.day is not None:
            self.go_to(self.day.seconds - 1)

    def action_verdicts(self) -> None:
        from lbtutor.tui.screens.challenge_verdicts import VerdictScreen

        if self.day is not None:
            self.app.push_screen(VerdictScreen(self.day, self._glyphs), self._go_where_it_broke)

    def _go_where_it_broke(self, second: int | None) -> None:
        if second is not None:
            self.go_to(second)

    def action_edit(self) -> None:
        if self._edit is not None:
            self.dismiss()
            self._edit()

    def action_back(self) -> None:
        self.dismiss()

    # -- what is shown --------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """On a low terminal the table and the keys stay."""
        self.query_one(HourChart).display = self.size.height >= _ROWS_FOR_HOUR
        self.query_one("#news").display = self.size.height >= _ROWS_FOR_NEWS
        self._show()

    def on_screen_resume(self) -> None:
        self._retime()
        self._show()

    def _show(self) -> None:
        if not self.is_attached:
            return
        self.query_one("#head", Bar).show(partial(head, self.design.title, self._state()))
        bar = self.query_one("#cue", Bar)
        told = self.cue
        for tone in ("ask", "plain", "right", "wrong", "broken"):
            bar.set_class(tone == told.tone, f"-{tone}")
        bar.show(partial(cue_lines, told))
        self.query_one(KeyBar).show_keys(self._labels(), {})
        self._show_day()

    def _show_day(self) -> None:
        table, chart, told = self.query_one("#numbers", Bar), self.query_one(HourChart), self.query_one("#news", Bar)
        if self.day is None:
            table.show(partial(_played, self._job.share, self._glyphs))
            return
        second = int(self.second)
        table.show(partial(numbers, self.day.moment(second), self._glyphs))
        chart.show(self.day, second)
        told.show(partial(news, self.day.until(second), self._glyphs, max(told.size.height, 1)))

    def _state(self) -> str:
        if self.day is None:
            return "no day" if self._trouble else f"being played {self._job.share:.0%}"
        word = "over" if self.over else "paused" if self.stopped else "running"
        return f"minute {clock(self.second)} of 60   {self._factor:g}{self._glyphs.times}   {word}"

    @property
    def cue(self) -> Cue:
        """What there is to do now."""
        if self._trouble:
            return Cue("broken", "Trouble", self._trouble, then=("q: back",))
        if self.day is None:
            return Cue("plain", "The day is being played", "An hour, second by second.", then=("q: give it up",))
        of = len(self.day.requirements)
        if not self.over:
            broken = sum(one.tone == "broken" for one in self.day.until(int(self.second)))
            says = f"{broken} of {of} requirements broken." if broken else f"none of {of} requirements broken."
            return Cue("wrong" if broken else "plain", "So far", says)
        failed = sum(one.verdict == "failed" for one in self.day.requirements)
        if failed:
            return Cue("wrong", "The day is over", f"{failed} of {of} requirements failed.", then=_READ)
        return Cue("right", "The day is over", f"{of - failed} of {of} requirements hold.", then=_READ)

    def _labels(self) -> Mapping[str, str]:
        there = self.day is not None
        runs = there and not self.over
        return {
            "clock.pause": ("Go on" if self.stopped else "Pause") if runs else "",
            "clock.step": "Next event" if runs else "",
            "clock.back": "Back" if there and self.second else "",
            "clock.again": "Again" if there else "",
            "clock.end": "End" if runs else "",
            "view.verdicts": "Verdicts" if there else "",
            "view.edit": "Edit" if self._edit is not None else "",
            "app.back": "Back" if there else "Give up",
        }


def _played(share: float, glyphs: Glyphs, width: int) -> Content:
    """How far the playing of the day is, as a bar."""
    full = round(share * width)
    bar = Content.assemble((glyphs.full * full, "$primary"), (glyphs.empty * (width - full), "$foreground 25%"))
    return Content("\n").join([Content(f"The day is being played: {share:.0%}"), bar])
