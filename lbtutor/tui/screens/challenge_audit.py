"""`AuditScreen`: the hunt through the chapter's numbers. The learner predicts; then the days are played that settle it.

Nothing is played before there is a prediction, and a prediction stands once it is made. What was played can be watched.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from lbtutor.course.challenge.audit import Hunt, Item, design_of, load_audit, shown
from lbtutor.course.challenge.audit_told import INTRODUCTION, farewell
from lbtutor.course.challenge.unfold import Day
from lbtutor.course.progress import Progress
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar, cue_lines
from lbtutor.tui.screens.challenge_day import DayScreen
from lbtutor.tui.screens.challenge_frame import ChallengeScreen, head
from lbtutor.tui.screens.challenge_job import GivenUp, Job
from lbtutor.tui.screens.challenge_keys import AUDIT
from lbtutor.tui.screens.cue import Cue, Tone

_DIM = "$foreground 60%"


class AuditScreen(ChallengeScreen):
    """One question at a time; opens at the first that is left."""

    KEYS = AUDIT
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(AUDIT)]

    def __init__(self, glyphs: Glyphs, *, calm: bool = False) -> None:
        """Raises `ConfigError` when the questions cannot be read."""
        super().__init__(glyphs)
        self.hunt = Hunt(load_audit(), Progress.load())
        left = self.hunt.left
        self.index = self.hunt.items.index(left[0]) if left else 0
        self.days: list[Day] = []
        self._calm = calm
        self._trouble = ""
        self._job: Job | None = None
        self._playing: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        with VerticalScroll(id="audit", can_focus=False):
            yield Static(id="told", markup=False)
        yield Bar(id="cue")
        by_id = {row.id: row for row in rows(AUDIT)}
        names = ("answer.*", "audit.next", "audit.watch", "audit.scroll_down", "app.back")
        yield KeyBar([by_id[name] for name in names], id="keys")

    def on_mount(self) -> None:
        self._enter(self.index)
        self.lay_out_again()

    async def on_unmount(self) -> None:
        await self._leave()

    @property
    def item(self) -> Item:
        """The question that is before the learner."""
        return self.hunt.items[self.index]

    # -- the days -------------------------------------------------------------------------------------------------

    def _enter(self, index: int) -> None:
        self.index, self.days, self._trouble = index, [], ""
        self.query_one("#audit").scroll_home(animate=False)
        if self.hunt.answered(self.item) is not None:
            self._playing = asyncio.create_task(self._play(self.item))
        self._show()

    async def _leave(self) -> None:
        if self._job is not None:
            self._job.give_up()
        if self._playing is not None:
            await self._playing
        self._job = self._playing = None

    async def _play(self, item: Item) -> None:
        try:
            for run in item.runs:
                self._job = Job(design_of(run))
                self.days += await self._job.days()
                self._show()
        except GivenUp:
            return
        except Exception as error:  # noqa: BLE001  the other questions go on
            self._trouble = f"The day could not be played: {type(error).__name__}: {error}"
            self._show()

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_answer(self, key: str) -> None:
        if self.hunt.answered(self.item) is not None:
            self.notify("A prediction stands once it is made.", markup=False)
        elif self.item.question.choice(key) is not None:
            self.hunt.answer(self.item, key)
            for notice in self.hunt.progress.notices:
                self.notify(notice, severity="warning", timeout=20, markup=False)
            self._enter(self.index)

    async def action_next(self, by: int) -> None:
        index = self.index + by
        if 0 <= index < len(self.hunt.items):
            await self._leave()
            self._enter(index)

    def action_watch(self) -> None:
        if self.days:
            self.app.push_screen(DayScreen(self.days[0].design, self._glyphs, calm=self._calm))

    def action_scroll_text(self, by: int) -> None:
        text = self.query_one("#audit")
        text.scroll_relative(y=by * max(text.size.height - 2, 1), animate=False)

    def action_back(self) -> None:
        self.dismiss()

    # -- what is shown --------------------------------------------------------------------------------------------

    @property
    def cue(self) -> Cue:
        """The question; or that it is being played; or what the prediction was worth."""
        question, chosen = self.item.question, self.hunt.answered(self.item)
        if self._trouble:
            return Cue("broken", "Trouble", self._trouble)
        if chosen is None:
            return Cue("ask", "Predict", question.ask, question.choices)
        if len(self.days) < len(self.item.runs):
            return Cue("plain", "Noted", f"{chosen.text}. The days that settle it are being played.")
        first, _, says = question.judge(chosen).says.partition(": ")
        on = ("n: next",) if self.index + 1 < len(self.hunt.items) else ()
        return Cue("right" if chosen.right else "wrong", first, says, then=("w: watch", *on))

    def _show(self) -> None:
        if not self.is_attached:
            return
        state = f"question {self.index + 1} of {len(self.hunt.items)}, {len(self.hunt.left)} left"
        self.query_one("#head", Bar).show(partial(head, "the audit", state))
        self.query_one("#told", Static).update(self._told())
        told = self.cue
        bar = self.query_one("#cue", Bar)
        tones: tuple[Tone, ...] = ("ask", "plain", "right", "wrong", "broken")
        for tone in tones:
            bar.set_class(tone == told.tone, f"-{tone}")
        bar.show(partial(cue_lines, told))
        letters = [choice.key for choice in self.item.question.choices]
        asked = bool(told.choices)
        labels = {"answer.*": "Predict" if asked else "", "audit.watch": "Watch" if self.days else ""}
        self.query_one(KeyBar).show_keys(labels, {"answer.*": f"{letters[0]}-{letters[-1]}"})

    def _told(self) -> Content:
        """What the chapter says, and what the days showed."""
        item = self.item
        parts = [Content.styled(INTRODUCTION, _DIM), Content("")] if self.index == 0 else []
        parts += [Content.styled(item.title, "bold $primary"), Content(f"The chapter: {item.chapter}")]
        if self.hunt.answered(item) is not None:
            parts += [Content(""), Content.assemble("You were asked: ", (item.question.ask, "italic"))]
        for run, day in zip(item.runs, self.days, strict=False):
            parts += [Content(""), Content.styled(f"{run.says}:", "bold")]
            parts += [Content.assemble((f"  {self._glyphs.out} ", "$primary"), one.says) for one in shown(day, run)]
        if not self.hunt.left and self.index + 1 == len(self.hunt.items):
            parts += [Content(""), Content.styled(farewell(self.hunt), _DIM)]
        return Content("\n").join(parts)
