"""`ExerciseScreen`: the task, the learner's file, the verdict on every law, and how it was broken, on the stage.

The file is edited in the learner's own editor. A thread watches it, and each save is judged in a process of its own
(`lbtutor.course.exercises.watching`); the screen only hears of it, and leaving it ends both.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from multiprocessing import resource_tracker
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lbtutor.core.errors import EnvironmentFault, LbtutorError
from lbtutor.course.exercises.judging import Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.placing import place_of
from lbtutor.course.exercises.record import ExerciseRecord
from lbtutor.course.exercises.story import journal_of
from lbtutor.course.exercises.watching import Began, Gone, News, Unnoticed, watch
from lbtutor.course.exercises.workspace import Workspace, shown
from lbtutor.testing.sandbox import NotGradable, Submission
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar, apart
from lbtutor.tui.screens.challenge_frame import Framed
from lbtutor.tui.screens.exercise_keys import EXERCISE, HELP_ON_EXERCISE
from lbtutor.tui.screens.replay import ReplayScreen
from lbtutor.tui.screens.travel import Travel

_DIM = "$foreground 60%"
_SIGNS: dict[str, tuple[Literal["up", "failed", "unchecked"], str]] = {
    "passed": ("up", "$success"),
    "failed": ("failed", "$error"),
    "unknown": ("unchecked", "$warning"),
    "not checked": ("unchecked", _DIM),
}
"""Glyph and colour of each verdict; its word stands beside them."""
_WORDS = {"pass": "passed", "fail": "failed", "unknown": "unknown", "not gradable": "failed", "grader error": "unknown"}


class CounterexampleScreen(ReplayScreen):
    """The story of one broken law; leaving it leads back to the exercise."""

    def action_back(self) -> None:
        self.dismiss(None)


class ExerciseScreen(Framed[None]):
    """One exercise of a workspace."""

    KEYS = EXERCISE
    PAGE = HELP_ON_EXERCISE
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EXERCISE)]

    class Heard(Message):
        """The watching thread has news; an error ends it."""

        def __init__(self, news: News | LbtutorError) -> None:
            super().__init__()
            self.news = news

    def __init__(
        self, exercise: Exercise, workspace: Workspace, record: ExerciseRecord, glyphs: Glyphs, *, calm: bool = False
    ) -> None:
        super().__init__(glyphs)
        self.exercise = exercise
        self.findings: list[Finding] = []
        self.judged: Judgement | None = None
        self._workspace = workspace
        self._record = record
        self._calm = calm
        self._file: Submission | None = None
        self._state = "checking"
        self._hints = record.hints(exercise)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lbtutor-exercise", daemon=True)

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        yield Static(id="task", markup=False)
        with Horizontal(id="main"):
            yield OptionList(id="verdicts", markup=False)
            with VerticalScroll(id="file", can_focus=False):
                yield Static(id="source", markup=False)
        yield Bar(id="cue")
        by_id = {row.id: row for row in rows(EXERCISE)}
        vital = ("exercise.story", "exercise.hint", "exercise.file", "app.help", "app.back")
        yield KeyBar([by_id[name] for name in vital], id="keys")

    def on_mount(self) -> None:
        self.query_one("#verdicts", OptionList).border_title = "Verdicts"
        self.query_one("#file").border_title = shown(self._workspace.path(self.exercise))
        self.query_one("#verdicts", OptionList).focus()
        self._read()
        self._show()
        with contextlib.redirect_stderr(sys.__stderr__):  # Textual's own has no descriptor that a child could have
            resource_tracker.ensure_running()
        self._thread.start()

    async def on_unmount(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    # -- watching -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        try:
            for news in watch(self.exercise, self._workspace, stop=self._stop):
                if self._stop.is_set():
                    return
                self.post_message(self.Heard(news))
        except LbtutorError as error:
            self.post_message(self.Heard(error))
        except Exception as error:  # noqa: BLE001  a bug of ours, which is told and ends the watching only
            self.post_message(self.Heard(EnvironmentFault(f"watching has ended: {type(error).__name__}: {error}")))

    def on_exercise_screen_heard(self, message: Heard) -> None:
        match message.news:
            case Began():
                self._state, self.judged, self.findings = "checking", None, []
                self._read()
            case Finding() as found:
                self.findings.append(found)
            case Judgement() as judged:
                self.judged, self.findings = judged, list(judged.findings)
                self._state = _WORDS[judged.outcome]
                self._record.record_try(self.exercise, judged.outcome, self._workspace.folder, datetime.now(UTC))
            case Gone():
                self._state, self._file = "file is gone", None
            case Unnoticed(because):
                self.notify(f"No notices of saves ({because}): the file is looked at again and again.", markup=False)
            case LbtutorError() as error:
                self._state = "not checked"
                self.notify(str(error), severity="error", timeout=20, markup=False)
        self._show()

    def _read(self) -> None:
        try:
            self._file = self._workspace.read(self.exercise)
        except (NotGradable, LbtutorError):
            self._file = None  # why, the verdict says

    # -- keys -----------------------------------------------------------------------------------------------------

    @property
    def selected(self) -> Finding | None:
        """The law under the cursor."""
        index = self.query_one("#verdicts", OptionList).highlighted
        return self.findings[index] if index is not None and index < len(self.findings) else None

    def action_story(self) -> None:
        found = self.selected
        if found is None or found.verdict != "failed":
            self.notify("Nothing to play: select a law that failed.", markup=False)
            return
        journal = journal_of(self.exercise, found, self.judged.seed if self.judged else 0)
        if journal is None:
            self.notify("There is no stage for this one; what happened stands below.", markup=False)
            return
        from lbtutor.course.found import case_in

        travel = Travel(journal, case_in(journal), ascii_only=self._glyphs.name == "ascii")
        self.app.push_screen(CounterexampleScreen(travel, travel.title, self._glyphs, calm=self._calm))

    def on_option_list_option_selected(self) -> None:
        self.action_story()

    def on_option_list_option_highlighted(self) -> None:
        self._show_cue()
        self._show_file()

    def action_hint(self) -> None:
        if self._hints == len(self.exercise.hints):
            self.notify(f"There are no more. {self._solution_at}", markup=False)
            return
        self._hints += 1
        self._record.record_hint(self.exercise, self._hints, datetime.now(UTC))
        self._show_task()

    @property
    def _solution_at(self) -> str:
        force = "" if self._record.has_passed(self.exercise) else " --force"
        return f"One that passes: lbtutor exercise solution {self.exercise.id}{force}"

    def action_file(self) -> None:
        self.toggle_class("-reading")

    def action_cursor(self, way: str) -> None:
        options = self.query_one("#verdicts", OptionList)
        (options.action_cursor_down if way == "down" else options.action_cursor_up)()

    def action_scroll_file(self, by: int) -> None:
        file = self.query_one("#file")
        file.scroll_relative(y=by * max(file.size.height - 2, 1), animate=False)

    def action_back(self) -> None:
        self._stop.set()
        self.dismiss(None)

    # -- what is shown --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        self.query_one("#head", Bar).show(self._head)
        self.query_one(KeyBar).show_keys({}, {})
        self._show_task()
        self._show_verdicts()
        self._show_file()
        self._show_cue()

    def _head(self, width: int) -> Content:
        left = Content.assemble((" lbtutor ", "bold $primary"), " Exercise ", (f"/ {self.exercise.title}", _DIM))
        sign, colour = _SIGNS.get(self._state, ("unchecked", "$secondary"))
        return apart(left, Content.styled(f"{getattr(self._glyphs, sign)} {self._state} ", f"bold {colour}"), width)

    def _show_task(self) -> None:
        lines = [Content.styled(self.exercise.asks, "bold")]
        if self._hints:
            said = f"Hint {self._hints} of {len(self.exercise.hints)}: {self.exercise.hints[self._hints - 1]}"
            lines.append(Content.styled(said, "$warning"))
        self.query_one("#task", Static).update(Content("\n").join(lines))

    def _show_verdicts(self) -> None:
        options = self.query_one("#verdicts", OptionList)
        before = options.highlighted
        options.clear_options()
        options.add_options([Option(_told(found, self._glyphs)) for found in self.findings])
        failed = [at for at, found in enumerate(self.findings) if found.verdict == "failed"]
        worst = sorted(failed, key=lambda at: self.findings[at].name != self.exercise.fails)
        if self.findings:
            kept = before is not None and before < len(self.findings) and self.judged is None
            options.highlighted = before if kept else next(iter(worst), 0)

    def _show_file(self) -> None:
        if self._file is None:
            self.query_one("#source", Static).update("There is no file to read.")
            return
        marked = self._line()
        self.query_one("#source", Static).update(_numbered(self._file.lines, marked, self._glyphs))
        if marked:
            file = self.query_one("#file")
            self.call_after_refresh(partial(file.scroll_to, y=max(0, marked - 4), animate=False))

    def _line(self) -> int:
        """The line to look at, as the text has it: one that raised, or where what answered begins; 0 for none."""
        found = self.selected if self.selected is not None and self.selected.verdict == "failed" else self.judged
        place = place_of(found, self.exercise, self._file) if found is not None and self._file is not None else None
        return place.line if place is not None and not self._is_passed else 0

    @property
    def _is_passed(self) -> bool:
        return self.judged is not None and self.judged.outcome == "pass"

    def _show_cue(self) -> None:
        self.query_one("#cue", Bar).show(self._cue)
        self.lay_out_again()

    def _cue(self, width: int) -> Content:
        """What was expected and what came, of the law under the cursor; or what to do."""
        found, judged = self.selected, self.judged
        if judged is not None and judged.outcome == "pass":
            run = f"Yours at work: lbtutor exercise run {self.exercise.id}" if self.exercise.lab else ""
            more = f"{judged.hidden} more are tried when it is graded. " if judged.hidden else ""
            return _rows(width, ("passed", f"All {len(judged.findings)} that are shown hold. {more}", "$success"),
                         ("next", run, _DIM))  # fmt: skip
        if found is not None and found.verdict == "failed":
            example = found.counterexample
            told = (example.expected, example.got) if example is not None else ("", "\n".join(found.told))
            return _rows(width, ("expected", told[0], "$success"), ("got", told[1], "$error"),
                         ("next", found.next, _DIM))  # fmt: skip
        if judged is not None and judged.outcome != "fail":
            return _rows(width, ("expected", judged.expected, "$success"), ("got", judged.got, "$error"),
                         ("next", judged.next, _DIM))  # fmt: skip
        says = "Being checked." if self._state == "checking" else "Save your file, and it is checked again."
        return _rows(width, ("", says, _DIM))


def _told(found: Finding, glyphs: Glyphs) -> Content:
    sign, colour = _SIGNS[found.verdict]
    return Content.assemble((f"{getattr(glyphs, sign)} {found.verdict:<8} ", f"bold {colour}"), found.says)


def _rows(width: int, *labelled: tuple[str, str, str]) -> Content:
    lines: list[Content] = []
    for label, text, colour in labelled:
        if text:
            head = Content.styled(f"{label:<10}" if label else "", f"bold {colour}")
            lines += Content.assemble(head, text).wrap(max(width, 1))
    return Content("\n").join(lines)


def _numbered(lines: list[str], marked: int, glyphs: Glyphs) -> Content:
    """The file with its line numbers, one of which is pointed at."""
    told = []
    for number, text in enumerate(lines, 1):
        sign = glyphs.pointer if number == marked else " "
        style = "bold $warning" if number == marked else ""
        told.append(Content.assemble((f"{sign}{number:>3} ", style or _DIM), (text.expandtabs(4), style)))
    return Content("\n").join(told)
