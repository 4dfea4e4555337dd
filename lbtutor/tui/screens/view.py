"""`LessonView`: what the lesson screen shows. Text on the left, the stage on the right, what to do now at the bottom.

It holds no logic of its own: `LessonSession` knows the lesson, `Theatre` the run and its clock, `cue` decides what is
asked of the learner. Three things bring it up to date: the learner enters a step, the picture has got further, the
window or a toggle changes. What keys do is the business of `lesson.LessonScreen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, get_args

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Markdown

from lbtutor.course.session import LessonSession
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.screens.bars import Bar, KeyBar, Place, caption_line, cue_lines, head_line
from lbtutor.tui.screens.captions import Captions
from lbtutor.tui.screens.cue import Cue, Tone, broken, of_step
from lbtutor.tui.screens.log import EventList, LogPanel
from lbtutor.tui.screens.record import RecordView
from lbtutor.tui.screens.reviews import Reviews
from lbtutor.tui.screens.theatre import Theatre
from lbtutor.tui.widgets.stage import Stage

if TYPE_CHECKING:
    from lbtutor.course.review import Returning

NARROW = 100
"""Below so many columns, text and stage take turns."""


class LessonView(Screen[None]):
    """One lesson, and where the learner is in it."""

    AUTO_FOCUS = ""

    def __init__(
        self, session: LessonSession, glyphs: Glyphs, *, calm: bool = False, returning: Sequence[Returning] = ()
    ) -> None:
        super().__init__()
        self.session = session
        self.reviews = Reviews(session.progress, returning)
        self.theatre = Theatre(glyphs, calm=calm, id="theatre")
        self.events = EventList(id="events")
        self._glyphs = glyphs
        self._played: tuple[str, str | None] | None = None
        self._trouble: str | None = None
        self._reading = True
        self._zoomed = False
        self._panel = ""
        self._noticed = 0
        self.captions = Captions()

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        with Horizontal(id="main"):
            with VerticalScroll(id="text", can_focus=False) as text:
                text.border_title = "Lesson"
                yield Markdown(self._prose, id="prose", open_links=False)
            with Vertical(id="right"):
                yield self.theatre
                yield RecordView(self._glyphs, id="why")
        yield LogPanel(self.events, self._glyphs, id="log")
        yield Bar(id="caption")
        yield Bar(id="cue")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.captions.say(self.session.held or "", monotonic())
        self._arrange()
        self.call_after_refresh(self._put_on_stage)

    # -- parts ----------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        """The picture."""
        return self.theatre.stage

    @property
    def cue(self) -> Cue:
        """What the learner is asked to do now."""
        if self._trouble is not None:
            return broken(self._trouble)
        faults = {} if self.theatre.run is None else self.theatre.run.faults
        return self.reviews.cue or self._with_way_to_stage(of_step(self.session, self.stage.backends(), faults))

    def _with_way_to_stage(self, told: Cue) -> Cue:
        if self.stage_in_view or self.session.stage is None or self.session.held is not None:
            return told
        return told._replace(then=("space: to the stage", *told.then))

    @property
    def narrow(self) -> bool:
        """Whether text and stage have to take turns."""
        return self.app.size.width < NARROW

    @property
    def stage_in_view(self) -> bool:
        """Whether the learner sees the stage."""
        return not (self.narrow and (self._reading or self._panel == "events"))

    @property
    def _prose(self) -> str:
        return f"## {self.session.step.title}\n\n{self.session.step.text}"

    # -- a step, and its run --------------------------------------------------------------------------------------

    async def _enter(self) -> None:
        """Show the step that the session is at."""
        self._reading, self._trouble = True, None
        if self.narrow:
            self._panel = ""
        await self.query_one("#prose", Markdown).update(self._prose)
        self.query_one("#text").scroll_home(animate=False)
        self._put_on_stage()
        self.captions.say(self.session.held or "", monotonic())
        self._arrange()

    def _put_on_stage(self) -> None:
        """Begin the run that this step wants, unless it is the one that is on."""
        is_over = self.theatre.run is not None and self.theatre.run.over
        if self.session.stage != self._played or is_over or self._trouble is not None:
            self._begin()

    def _begin(self) -> None:
        self._played, self._trouble = self.session.stage, None
        self.events.clear()
        if self.session.scene is not None:
            self.theatre.begin(self.session.begin_run())
            self.stage.border_title = self._stage_title()

    def _stage_title(self) -> str:
        scene, (_, algorithm) = self.session.scene, self.session.stage or ("", None)
        assert scene is not None
        pools = list(scene.pool.values())
        named = algorithm or pools[0].algorithm
        words = (named if isinstance(named, str) else named["name"]).replace("_", " ")
        return f"Stage · {words} · {sum(len(pool.backends) for pool in pools)} servers"

    def _arrange(self) -> None:
        """Let widths, toggles and the state of the lesson decide what is seen, and whether time passes."""
        self.set_class(self._reading, "-reading")
        self.set_class(self._zoomed, "-zoomed")
        for panel in ("events", "why"):
            self.set_class(self._panel == panel, f"-{panel}")
        predicting = self.session.held is not None
        self.stage.next_hint = not predicting
        self.theatre.hold(predicting or self.reviews.current is not None)
        self.theatre.be_seen(self.stage_in_view and self.is_active)
        self._show_bars()
        self._pass_on_notices()

    def _pass_on_notices(self) -> None:
        """Show what `Progress` has to say: a file set aside, a disk that is full."""
        notices = self.session.progress.notices
        for notice in notices[self._noticed :]:
            self.notify(notice, severity="warning", timeout=20, markup=False)
        self._noticed = len(notices)

    def on_resize(self) -> None:
        self._arrange()

    def on_screen_resume(self) -> None:
        self._arrange()

    def on_screen_suspend(self) -> None:
        self._arrange()

    def on_theatre_failed(self, message: Theatre.Failed) -> None:
        self._trouble = message.says
        self._arrange()

    def on_theatre_seen(self, message: Theatre.Seen) -> None:
        """The picture has got further: goals, sentences and bars follow it."""
        if message.run is not self.theatre.run:
            return
        goals_before = self.session.goals
        for event in message.events:
            self.session.watch(event)
        lines = message.run.tell(message.events)
        self.events.extend(lines)
        if self.session.held is None:
            self.captions.follow(lines, monotonic(), moving=not message.run.paused)
        if self._panel == "why":
            self.query_one("#why", RecordView).show(message.run.last_pick)
        if self.session.goals != goals_before:
            self._arrange()
        self._show_bars()

    def on_event_list_chosen(self, message: EventList.Chosen) -> None:
        """A sentence may be longer than its list is wide; the line under the stage has room for it."""
        if message.by_hand:
            self.say(message.line.says)

    # -- bars -----------------------------------------------------------------------------------------------------

    def say(self, sentence: str) -> None:
        """Answer the learner in the line under the stage."""
        self.captions.say(sentence, monotonic())
        self._show_bars()

    def _show_bars(self) -> None:
        session, theatre = self.session, self.theatre
        step, steps = session.index + 1, len(session.steps)
        title = f"{session.lesson.number} {session.lesson.title}"
        place = Place(title, session.step.title, step, steps, theatre.speed, self.clock_word)
        numbers = theatre.numbers() if not theatre.charts_in_view else ""
        self.query_one("#head", Bar).show(partial(head_line, place, self._glyphs))
        self.query_one("#caption", Bar).show(partial(caption_line, self.captions.text, numbers))
        told = self.cue
        bar = self.query_one("#cue", Bar)
        for tone in get_args(Tone):
            bar.set_class(tone == told.tone, f"-{tone}")
        bar.show(partial(cue_lines, told))
        self.query_one(KeyBar).show_keys(self._labels(), self._shown_keys())

    @property
    def clock_word(self) -> str:
        """How the clock stands, in a word, and whether the terminal keeps up."""
        run = self.theatre.run
        if run is None:
            return "no scene" if self.session.stage is None or self._trouble else "setting up"
        if run.over:
            return "scene over"
        if self.session.held is not None:
            return "held"
        if run.paused:
            return "paused"
        return f"running, slow line: {self.theatre.frame_rate} frames/s" if self.theatre.slowed else "running"

    def _labels(self) -> dict[str, str]:
        run = self.theatre.run
        can_run = run is not None and self.session.held is None and not run.over
        return {
            "clock.pause": "" if run is None or not can_run else "Go on" if run.paused else "Pause",
            "clock.step": "Step" if can_run else "",
            "clock.again": "Again" if run is not None and run.over else "",
            "answer.*": "Answer" if self.cue.choices else "",
            "lesson.next": "Next" if self._may_go_on else "",
            "server.*": "Crash/heal" if can_run else "",
            "view.text": "" if not self.narrow else "Text" if self.stage_in_view else "Stage",
        }

    @property
    def _may_go_on(self) -> bool:
        at_the_end = self.session.index + 1 == len(self.session.steps) and self.session.step not in self.session.left
        return self.reviews.current is not None or (self.session.gate is None and not at_the_end)

    def _shown_keys(self) -> dict[str, str]:
        scene = self.session.scene
        servers = 0 if scene is None else sum(len(pool.backends) for pool in scene.pool.values())
        letters = [choice.key for choice in self.cue.choices]
        return {"server.*": f"1-{min(servers, 9)}", "answer.*": f"{letters[0]}-{letters[-1]}" if letters else ""}
