"""`ReplayScreen`: a recorded trace on the stage, with the story beside it, forwards and back.

A counterexample goes line by line, as a learner debugs: each step plays its second, and at the end stands what was
expected and what came. Any other run goes by at its own speed, or event by event. The clock is ours, and only moves
from one line to another; to go back, the stage is told everything anew up to there, which is what makes the past
exactly what it was. With motion switched off a step is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from textwrap import wrap
from time import monotonic
from typing import ClassVar, get_args

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer

from lbtutor.core.events import Judged
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar, apart, cue_lines
from lbtutor.tui.screens.challenge_frame import Framed
from lbtutor.tui.screens.cue import Cue, Tone
from lbtutor.tui.screens.pace import Pace, waiting_writes
from lbtutor.tui.screens.record import RecordView
from lbtutor.tui.screens.replay_keys import HELP_ON_REPLAY, REPLAY
from lbtutor.tui.screens.story import Story
from lbtutor.tui.screens.travel import Travel
from lbtutor.tui.screens.watched import SPEEDS
from lbtutor.tui.widgets.stage import Stage

_VITAL = (
    "step.next", "step.back", "clock.pause", "clock.again", "clock.end", "view.why", "app.help", "app.back",
)  # fmt: skip

_SETTLES = 12
"""Frames after which a picture that stands has caught up with its clock."""

_CAPTION_LINES = 3
"""Rows for the sentence of a step at most."""

_LEG = 0.36
"""Part of a story's moment that a dot takes to a server: to and fro and home again fits into one."""

_LONGEST = 0.25
"""Seconds that may pass in one frame: after a stall time does not leap."""


class ReplayScreen(Framed[None]):
    """One trace, watched again."""

    KEYS = REPLAY
    PAGE = HELP_ON_REPLAY
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(REPLAY)]

    def __init__(self, travel: Travel, title: str, glyphs: Glyphs, *, calm: bool = False) -> None:
        super().__init__(glyphs)
        self.travel = travel
        self.stage = Stage(glyphs=glyphs.name, id="stage")
        self.story = Story(glyphs, timed=travel.case is None, id="events")
        self._title = title
        self._calm = calm
        self._pace = Pace(calm=calm)
        self._until: float | None = None
        self._goal: int | None = None
        self._factor = 1.0
        self._timer: Timer | None = None
        self._rate = 0
        self._last = 0.0

    def compose(self) -> ComposeResult:
        self.stage.reduced_motion = self._calm
        yield Bar(id="head")
        with Horizontal(id="main"):
            self.story.border_title = "Story" if self.travel.case is not None else "Events"
            yield self.story
            with Vertical(id="right"):
                yield self.stage
                yield RecordView(self._glyphs, id="why")
        yield Bar(id="caption")
        yield Bar(id="cue")
        by_id = {row.id: row for row in rows(REPLAY)}
        yield KeyBar([by_id[name] for name in _VITAL], id="keys")

    def on_mount(self) -> None:
        self.stage.border_title = f"Stage · {self.travel.legend or self.travel.title or self._title}"
        self.set_class(not self.travel.on_stage, "-told")
        if self.travel.case is not None:
            self.stage.travel = _LEG * self.travel.beat
        self.story.fill(self.travel.lines)
        self._stand_on(0)

    # -- the clock ------------------------------------------------------------------------------------------------

    @property
    def moving(self) -> bool:
        """Whether time passes."""
        return self._until is not None

    def _stand_on(self, at: int) -> None:
        """Stop on that line, with everything before it as it was."""
        self._until = None
        self.travel.stand_on(at)
        self.stage.reset(self.travel.clients)
        self.stage.take(self.travel.events)
        self._settle()

    def _settle(self) -> None:
        for _ in range(_SETTLES):
            self.stage.advance(self.travel.now)
        self._show()
        self._retime()

    def _move_to(self, until: float, goal: int | None = None) -> None:
        """Let time pass up to then, for the sake of that line."""
        self._until, self._goal, self._last = until, goal, monotonic()
        self._retime()

    def _retime(self) -> None:
        rate = self._pace.rate(still=not self.moving, watched=self.app.app_focus)
        if rate != self._rate:
            self._rate, self._last = rate, monotonic()
            if self._timer is not None:
                self._timer.stop()
            self._timer = self.set_interval(1 / rate, self._frame)

    def _frame(self) -> None:
        now = monotonic()
        passed, self._last = min(now - self._last, _LONGEST), now
        self.go_on(passed * self._factor)

    def go_on(self, seconds: float) -> None:
        """Let so many seconds pass, if the clock runs."""
        if self._until is None:
            return
        before = self.travel.at
        self.travel.pass_to(min(self.travel.now + seconds, self._until))
        if self.travel.now >= self._until:
            self._until = None
            self._settle()
            return
        if self._pace.worth_drawing(waiting_writes(self.app)):
            self.stage.advance(self.travel.now)
        if self.travel.at != before:
            self._show()

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        """One line on or back; while one is still being played, it is brought to its end first."""
        if self.moving and self._goal is not None and by > 0:
            self._stand_on(self._goal)
        at = self.travel.at + by
        if by < 0 or self._calm:
            self._stand_on(at)
        elif at < len(self.travel.lines):
            self._move_to(self.travel.rest(at), at)
            self.go_on(0.0)

    def action_pause(self) -> None:
        if self.moving:
            self._until = None
            self._settle()
        elif self.travel.over:
            self._stand_on(0)
            self._move_to(self.travel.rest(len(self.travel.lines)))
        else:
            self._move_to(self.travel.rest(len(self.travel.lines)))
        self._show()

    def action_again(self) -> None:
        self._stand_on(0)

    def action_end(self) -> None:
        self._stand_on(len(self.travel.lines) - 1)

    def action_faster(self) -> None:
        self._change_speed(1)

    def action_slower(self) -> None:
        self._change_speed(-1)

    def _change_speed(self, by: int) -> None:
        index = SPEEDS.index(self._factor) + by
        self._factor = SPEEDS[min(max(index, 0), len(SPEEDS) - 1)]
        self._show()

    def action_why(self) -> None:
        self.toggle_class("-why")
        self._show()

    def action_back(self) -> None:
        self.app.exit()

    def on_story_wanted(self, message: Story.Wanted) -> None:
        self._stand_on(message.index)

    # -- what is shown --------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._show()
        self.lay_out_again()

    def _show(self) -> None:
        travel = self.travel
        self.story.point(travel.at)
        said = travel.at - 1 if travel.judged is not None else travel.at  # the verdict has the bar below for itself
        says = travel.lines[said].says if travel.lines else "Nothing was recorded."
        self.query_one("#head", Bar).show(self._head)
        self.query_one("#caption", Bar).show(partial(caption_lines, says, self._glyphs))
        self._show_cue()
        if self.has_class("-why"):
            self.query_one("#why", RecordView).show(travel.last_choice)
        self.query_one(KeyBar).show_keys(self._labels(), {})

    def _show_cue(self) -> None:
        told, judged = self.cue, self.travel.judged
        bar = self.query_one("#cue", Bar)
        for tone in get_args(Tone):
            bar.set_class(tone == told.tone, f"-{tone}")
        if judged is None:
            bar.show(partial(cue_lines, told))
        else:
            bar.show(partial(verdict_lines, judged, self._glyphs))

    def _head(self, width: int) -> Content:
        kind = "Counterexample" if self.travel.case is not None else "Replay"
        left = Content.assemble((" lbtutor ", "bold $primary"), f" {kind} ", (f"/ {self._title}", "$foreground 60%"))
        word = "playing" if self.moving else "the end" if self.travel.over else "paused"
        place = f"{self.travel.at + 1} of {len(self.travel.lines)}  {self._factor:g}{self._glyphs.times}  "
        return apart(left, Content.assemble((place, "$foreground 60%"), (f"{word} ", "bold")), width)

    @property
    def cue(self) -> Cue:
        """What there is to do now."""
        if self.travel.judged is not None:
            return Cue("wrong", "The law is broken", self.travel.judged.law)
        if self.travel.case is not None:
            return Cue("plain", "The law", self.travel.case.says, then=("n: next", "p: back", "space: play"))
        if self.travel.over:
            says = "" if self.travel.whole else "The trace was cut here."
            return Cue("plain", "The end", says, then=("r: again", "q: leave"))
        return Cue("plain", self._title, "", then=("space: play", "n: next event", "p: the one before"))

    def _labels(self) -> Mapping[str, str]:
        travel = self.travel
        return {
            "step.next": "" if travel.over else "Next",
            "step.back": "Back" if travel.at else "",
            "clock.pause": "Stop" if self.moving else "Play",
            "clock.end": "" if travel.over else "End",
            "view.why": "Why" if travel.on_stage else "",
        }


def caption_lines(says: str, glyphs: Glyphs, width: int) -> Content:
    """A line of the story in full, as far as there is room for it."""
    lines = wrap(says, max(width - 2, 2), max_lines=_CAPTION_LINES, placeholder=glyphs.dots)
    return Content("\n").join(Content.assemble(" ", (line, "italic")) for line in lines)


def verdict_lines(judged: Judged, glyphs: Glyphs, width: int) -> Content:
    """What was expected, what came, and why that is wrong: a sign, a word and a colour each."""
    rows_ = [
        Content.assemble((f"{glyphs.up} expected  ", "bold $success"), judged.expected),
        Content.assemble((f"{glyphs.failed} got       ", "bold $error"), judged.got),
    ]
    if judged.because:
        rows_.append(Content.assemble(("  because   ", "bold"), judged.because))
    rows_.append(Content.assemble(("  the law   ", "bold"), (judged.law, "$foreground 60%")))
    return Content("\n").join(line for row in rows_ for line in row.wrap(width))
