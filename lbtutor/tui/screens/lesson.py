"""`LessonScreen`: what keys do while a lesson is open.

Each action asks the session or the theatre to do one thing, and says in the line under the stage what came of it. A key
that can do nothing now says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType

from lbtutor.core import LbtutorError
from lbtutor.tui.keymap import bindings
from lbtutor.tui.screens.record import RecordView
from lbtutor.tui.screens.view import LessonView
from lbtutor.tui.screens.watched import WatchedRun

_SLOW_WHICH = "Slow which server? Press its number."


class LessonScreen(LessonView):
    """One lesson being learnt."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]

    # -- keys: the clock ------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        if self._cannot_run() or self._came_to_stage():
            return
        self.theatre.stop_by_hand(stopped=not self.theatre.stopped_by_hand)
        self._show_bars()

    def action_single_step(self) -> None:
        if self._cannot_run():
            return
        self._to_stage()
        self.captions.hush()
        self.theatre.single_step()
        self._show_bars()

    def action_faster(self) -> None:
        self.say(f"Speed {self.theatre.change_speed(1):g}{self._glyphs.times}")

    def action_slower(self) -> None:
        self.say(f"Speed {self.theatre.change_speed(-1):g}{self._glyphs.times}")

    def action_again(self) -> None:
        if self.session.scene is None:
            self.say("There is no scene to run in this step.")
            return
        self._to_stage()
        self._begin()
        self._arrange()
        self.say("The scene starts again.")

    def _cannot_run(self) -> bool:
        """Whether the clock may not run, which is then said."""
        run = self.theatre.run
        if self.session.stage is None:
            why = "There is no scene in this step: n goes on."
        elif self.reviews.current is not None:
            why = "First the question from another day; n leaves it for later."
        elif self.session.held is not None:
            why = self.session.held
        elif run is None:
            why = "The scene is being set up." if self._trouble is None else "There is no run: r tries again."
        elif run.over:
            why = "The scene is over. r runs it again."
        else:
            return False
        self.say(why)
        return True

    # -- keys: the servers ----------------------------------------------------------------------------------------

    def action_crash(self, number: int) -> None:
        slow = self.captions.text == _SLOW_WHICH  # the number is the answer for as long as the question stands there
        labels = self.stage.backends()
        if self._cannot_run():
            return
        if number > len(labels):
            self.say(f"There is no server {number}.")
        elif slow:
            self._do(WatchedRun.toggle_slow, labels[number - 1])
        else:
            self._do(WatchedRun.toggle_crash, labels[number - 1])

    def action_slow(self) -> None:
        if self.stage.selected is None:
            self.say(_SLOW_WHICH)
        else:
            self._do(WatchedRun.toggle_slow, self.stage.selected)

    def action_drain(self) -> None:
        if self.stage.selected is None:
            self.say("Drain which server? Select one with the arrow keys first.")
        else:
            self._do(WatchedRun.toggle_drain, self.stage.selected)

    def _do(self, what: Callable[[WatchedRun, str], str], label: str) -> None:
        if self._cannot_run() or self.theatre.run is None:
            return
        self._to_stage()
        try:
            self.say(what(self.theatre.run, label))
        except LbtutorError as error:  # the backend has left the pool, say
            self.say(str(error))

    def action_select(self, by: int) -> None:
        labels = self.stage.backends()
        if labels:
            at = labels.index(self.stage.selected) + by if self.stage.selected in labels else (by - 1) // 2
            self.stage.selected = labels[at % len(labels)]
            self._to_stage()

    # -- keys: the lesson -----------------------------------------------------------------------------------------

    def action_answer(self, key: str) -> None:
        if self.reviews.open:
            answered = self.reviews.answer(key)
        else:
            answered = self._answer_step(key)
        if answered:
            self.captions.clear()
            self._arrange()

    def _answer_step(self, key: str) -> bool:
        question = self.session.step.question
        if self.reviews.current is not None or question is None:
            self.say("No question is open." + (" D drains the selected server." if key == "d" else ""))
        elif question.choice(key) is None:
            self.say(f"There is no answer {key}.")
        elif self.session.step.kind == "predict" and self.session.answered is not None:
            self.say("A prediction stands once it is made.")
        else:
            self.session.answer(key)
            self._to_stage()
            return True
        return False

    async def action_next(self) -> None:
        if self.reviews.current is not None:
            self.reviews.go_on()
            self._arrange()
        elif self.session.gate is not None:
            self.say(self.session.gate)
        else:
            before = self.session.index
            self.session.next()
            await self._entered(before)

    async def action_skip(self) -> None:
        before = self.session.index
        self.session.skip()
        await self._entered(before)

    async def action_previous(self) -> None:
        before = self.session.index
        self.session.previous()
        await self._entered(before)

    async def _entered(self, before: int) -> None:
        if self.session.index != before:
            await self._enter()
        else:
            self._arrange()

    def action_scroll_text(self, by: int) -> None:
        text = self.query_one("#text")
        text.scroll_relative(y=by * max(text.size.height - 2, 1), animate=False)

    # -- keys: the view -------------------------------------------------------------------------------------------

    def _to_stage(self) -> None:
        self._reading = False
        if self.narrow and self._panel == "events":
            self._panel = ""
        self._arrange()

    def _came_to_stage(self) -> bool:
        """Turn to the stage if it was out of view; the same key then does not stop it."""
        if self.stage_in_view:
            return False
        self._to_stage()
        self.theatre.stop_by_hand(stopped=False)
        return True

    def action_text(self) -> None:
        if not self.narrow:
            self.say("Text and stage both fit here. z gives the stage the whole width.")
            return
        self._reading, self._panel = self.stage_in_view, ""
        self._arrange()

    def action_zoom(self) -> None:
        self._zoomed, self._reading = not self._zoomed, False
        self._arrange()

    def action_events(self) -> None:
        self._open("events")
        if self._panel == "events":
            self.events.focus()

    def action_why(self) -> None:
        if self._panel != "why" and self.theatre.run is not None and not self.theatre.run.over:
            self.theatre.stop_by_hand(stopped=True)
        self._reading = False
        self._open("why")
        self.query_one("#why", RecordView).show(self.theatre.run.last_pick if self.theatre.run else None)

    def _open(self, panel: str) -> None:
        """Open a panel in place of the other, or close it."""
        self._panel = "" if self._panel == panel else panel
        self.set_focus(None)
        self._arrange()

    # -- keys: the program ----------------------------------------------------------------------------------------

    def action_help(self) -> None:
        from lbtutor.tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(self._glyphs))

    def action_lessons(self) -> None:
        from lbtutor.tui.screens.home import HomeScreen

        self.app.push_screen(HomeScreen(self.session.progress, self.session.lesson.id))

    def action_picture(self) -> None:
        name = f"lbtutor-{self.session.lesson.id}-{self.session.step.id}.svg"
        if self.app.is_web:
            self.app.deliver_screenshot(filename=name)
            return
        try:
            self.say(f"Saved as {self.app.save_screenshot(name, path='.')}.")
        except OSError as error:
            self.say(f"The picture could not be saved as {name}: {error.strerror}.")

    def action_back(self) -> None:
        """Close what is open; with nothing open, leave."""
        if self._panel:
            self._open(self._panel)
        elif self._zoomed:
            self.action_zoom()
        else:
            self.app.exit()
