"""`EditScreen`: a design of the learner's own as text, with what is wrong in it said below while they type.

Whatever stands in the editor is saved half a second after the last key, right or wrong, and at every way out; so
nothing is lost, whatever happens to the program. Errors are those of `challenge run`: line, key, what was expected, and
the chapter's step that decides it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer
from textual.widgets import TextArea

from lbtutor.core import ConfigError
from lbtutor.course.challenge.design import Design, read_design
from lbtutor.course.challenge.own import OwnFile
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar, cue_lines
from lbtutor.tui.screens.challenge_day import DayScreen
from lbtutor.tui.screens.challenge_frame import ChallengeScreen, head
from lbtutor.tui.screens.challenge_keys import EDITOR, HELP_ON_EDITOR
from lbtutor.tui.screens.cue import Cue

_QUIET = 0.5
"""Seconds without a key after which the text is saved and read."""

_LINE = re.compile(r":(\d+): |\(at line (\d+), column \d+\)")


class EditScreen(ChallengeScreen):
    """One design's text. Raises `ConfigError` when its file cannot be read."""

    KEYS = EDITOR
    PAGE = HELP_ON_EDITOR
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EDITOR)]

    def __init__(self, file: OwnFile, glyphs: Glyphs, *, calm: bool = False) -> None:
        super().__init__(glyphs)
        self.design: Design | None = None
        self.error = ""
        self._file = file
        self._text = file.read()
        self._saved = True
        self._calm = calm
        self._quiet: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        source = TextArea(self._text, id="source", show_line_numbers=True, soft_wrap=False)
        source.border_title = self._file.path.name
        source.cursor_blink = False
        yield source
        yield Bar(id="cue")
        by_id = {row.id: row for row in rows(EDITOR)}
        yield KeyBar([by_id[name] for name in ("editor.run", "editor.error", "editor.help", "app.back")], id="keys")

    def on_mount(self) -> None:
        self.query_one("#source", TextArea).focus()
        self._read()
        self.lay_out_again()

    def on_unmount(self) -> None:
        self.save()

    # -- what is written ------------------------------------------------------------------------------------------

    def on_text_area_changed(self, message: TextArea.Changed) -> None:
        if message.text_area.text == self._text:
            return
        self._text, self._saved = message.text_area.text, False
        if self._quiet is not None:
            self._quiet.stop()
        self._quiet = self.set_timer(_QUIET, self._settle)
        self._show()

    def _settle(self) -> None:
        self.save()
        self._read()

    def save(self) -> bool:
        """Write the text to its file, if it has changed; False, with a message, when that cannot be done."""
        if self._saved:
            return True
        try:
            self._file.write(self._text)
        except ConfigError as error:
            self.app.notify(f"Not saved: {error}", severity="error", timeout=20, markup=False)
            return False
        self._saved = True
        if self._file.set_aside is not None:
            aside, self._file.set_aside = self._file.set_aside, None
            self.app.notify(f"The file had been changed by others: that text is in {aside.name}.", markup=False)
        return True

    def _read(self) -> None:
        """Find out what the text means, or what is wrong with it."""
        self.design, self.error = None, ""
        try:
            self.design = read_design(self._text, self._file.path.name)
        except ConfigError as error:
            self.error = str(error)
        self._show()

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_run(self) -> None:
        self._settle()
        if self.design is not None:
            self.app.push_screen(
                DayScreen(self.design, self._glyphs, calm=self._calm, edit=_nothing_more, own=self._file.path.stem)
            )

    def action_to_error(self) -> None:
        self._settle()
        line = line_of(self.error)
        if line is not None:
            source = self.query_one("#source", TextArea)
            source.move_cursor((min(line, source.document.line_count) - 1, 0), center=True)

    def action_back(self) -> None:
        if self.save():
            self.dismiss()

    # -- what is shown --------------------------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        self.query_one("#source", TextArea).focus()

    @property
    def cue(self) -> Cue:
        """What is wrong, or that nothing is."""
        if self.error:
            return Cue(
                "wrong", "Not a design yet", self.error, then=("F3: to that line",) if line_of(self.error) else ()
            )
        if self.design is None:
            return Cue("plain", "Reading", "")
        return Cue("right", "A design", f"{self.design.title}.", then=("F2: run its day",))

    def _show(self) -> None:
        state = "saved" if self._saved else "typing"
        self.query_one("#head", Bar).show(partial(head, f"editing {self._file.path.stem}", state))
        told = self.cue
        bar = self.query_one("#cue", Bar)
        for tone in ("plain", "right", "wrong"):
            bar.set_class(tone == told.tone, f"-{tone}")
        bar.show(partial(cue_lines, told))
        self.query_one(KeyBar).show_keys({"editor.error": "To the error" if line_of(self.error) else ""}, {})


def line_of(error: str) -> int | None:
    """The line that an error names, counted from 1."""
    found = _LINE.search(error)
    return int(found[1] or found[2]) if found else None


def _nothing_more() -> None:
    """The day is closed, and below it lies the editor."""
