"""`VerdictScreen`: each requirement with its verdict, what was measured, and when it first broke.

Enter on one that broke goes to that second of the day: the evidence is to be seen, not believed. `s` judges the design
on five different days and tells each requirement as on the day on which it held least; Enter still leads into the day
that is being watched, which is that of seed 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lbtutor.course.challenge.judge import Judged, worst
from lbtutor.course.challenge.run import TOLD_BY
from lbtutor.course.challenge.unfold import Day, clock
from lbtutor.labs.checks import Verdict, overall
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar
from lbtutor.tui.screens.challenge_frame import Framed, head
from lbtutor.tui.screens.challenge_job import GivenUp, Job
from lbtutor.tui.screens.challenge_keys import VERDICTS

SEEDS = (1, 2, 3, 4, 5)
"""The days that `s` plays."""

_DIM = "$foreground 60%"
_LOOKS: dict[Verdict, tuple[Literal["up", "failed", "unchecked"], str]] = {
    "passed": ("up", "$success"),
    "failed": ("failed", "$error"),
    "unknown": ("unchecked", "$warning"),
}
"""The glyph and the colour of each verdict; its word stands beside them."""


class VerdictScreen(Framed[int | None]):
    """The verdicts on a day; answers the second to go to, if the learner chose one."""

    KEYS = VERDICTS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(VERDICTS)]

    def __init__(self, day: Day, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.requirements: Sequence[Judged] = day.requirements
        self._day = day
        self._days = 1
        self._job: Job | None = None
        self._playing: asyncio.Task[None] | None = None
        self._looking: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        yield OptionList(id="verdicts", markup=False)
        yield Bar(id="cue")
        by_id = {row.id: row for row in rows(VERDICTS)}
        yield KeyBar([by_id[name] for name in ("verdict.go", "verdict.days", "app.back")], id="keys")

    def on_mount(self) -> None:
        self.query_one("#verdicts", OptionList).focus()
        self._fill()
        self.lay_out_again()

    async def on_unmount(self) -> None:
        if self._job is not None and self._playing is not None:
            self._job.give_up()
            await self._playing

    # -- five days ------------------------------------------------------------------------------------------------

    def action_five_days(self) -> None:
        if self._playing is None:
            self._job = Job(self._day.design, SEEDS)
            self._playing = asyncio.create_task(self._play(self._job))
            self._looking = self.set_interval(1 / 4, self._show)
            self._show()

    async def _play(self, job: Job) -> None:
        try:
            days = await job.days()
        except GivenUp:
            return
        except Exception as error:  # noqa: BLE001  the verdicts on the day that was played still stand
            self.notify(
                f"The days could not be played: {type(error).__name__}: {error}", severity="error", markup=False
            )
            self._playing = None
            return
        self.requirements, self._days = worst([day.requirements for day in days]), len(days)
        if self.is_attached:
            self._fill()

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_cursor(self, way: str) -> None:
        options = self.query_one("#verdicts", OptionList)
        (options.action_cursor_down if way == "down" else options.action_cursor_up)()

    def action_go(self) -> None:
        self._leave_for(self.query_one("#verdicts", OptionList).highlighted)

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        self._leave_for(message.option_index)

    def _leave_for(self, index: int | None) -> None:
        here = None if index is None else self._day.requirements[index].first_broken_at
        if here is None:
            self.notify("There is no moment to go to: it did not break in a certain second of this day.", markup=False)
        else:
            self.dismiss(int(here))

    def action_back(self) -> None:
        self.dismiss(None)

    # -- what is shown --------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        if self._looking is not None:
            self._looking.stop()
        options = self.query_one("#verdicts", OptionList)
        before = options.highlighted
        options.clear_options()
        options.add_options([Option(told(one, self._glyphs)) for one in self.requirements])
        options.highlighted = before or 0
        self._show()

    def _show(self) -> None:
        verdict = overall([one.verdict for one in self.requirements])
        days = "one day (seed 1)" if self._days == 1 else f"the worst of {self._days} days"
        state = f"being played {self._job.share:.0%}" if self._job is not None and self._days == 1 else days
        self.query_one("#head", Bar).show(partial(head, self._day.design.title, f"{verdict}   {state}"))
        self.query_one("#cue", Bar).show(_worth)
        self.query_one(KeyBar).show_keys({"verdict.days": "" if self._playing else "Five days"}, {})


def told(one: Judged, glyphs: Glyphs) -> Content:
    """One requirement: verdict, what it says, when it broke, and what was measured."""
    sign, colour = _LOOKS[one.verdict]
    when = "" if one.first_broken_at is None else f"   first broken at {clock(one.first_broken_at)}"
    return Content.assemble(
        (f"{getattr(glyphs, sign)} {one.verdict:<7} ", f"bold {colour}"),
        (one.says, "bold"),
        (when, "$warning"),
        (f"\n{one.measured}", _DIM),
    )


def _worth(width: int) -> Content:
    """What the numbers are worth."""
    lines = Content.styled(f"Told by the {TOLD_BY}.", _DIM).wrap(width)
    return Content("\n").join(lines)
