"""`DesignsScreen`: the designs to choose from, and what each is about.

The learner's own come first, then the chapter's solution, then the six that fail in an instructive way. The one that
passes is not shown before a design of the learner's own has passed, or they asked for it (`challenge show --reveal`).
"""

from __future__ import annotations

import textwrap
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lbtutor.core import ConfigError
from lbtutor.course.challenge.design import HIDDEN, SERVICES, Design, design_names, load_design
from lbtutor.course.challenge.own import OwnFile, own_copy, own_designs
from lbtutor.course.challenge.record import ChallengeRecord
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import bindings, rows
from lbtutor.tui.screens.bars import Bar, KeyBar
from lbtutor.tui.screens.challenge_day import DayScreen
from lbtutor.tui.screens.challenge_edit import EditScreen
from lbtutor.tui.screens.challenge_frame import ChallengeScreen, head
from lbtutor.tui.screens.challenge_keys import DESIGNS, HELP_ON_DESIGNS

_DIM = "$foreground 60%"
_CHAPTER = "chapter"
_TITLE = 29
"""Columns that a title has in the list."""

_TASK = """\
Black Friday: 1 000 000 requests a second at the peak, four services, 1 % failures, carts, WebSockets. Choose a \
design, say to yourself what will break first, and run its day. To write your own, press e: it begins as a copy."""


class Entry(NamedTuple):
    """One line of the list: a file, and the design in it, or what is wrong with it."""

    name: str
    path: Path
    own: bool
    design: Design | None
    error: str


def entries() -> list[Entry]:
    """Every design that the learner may see, in the order of the list."""
    shown = {name: path for name, path in design_names().items() if name != HIDDEN or ChallengeRecord().is_open}
    shipped = sorted(shown, key=lambda name: (name != _CHAPTER, name))
    own = [_entry(name, path, own=True) for name, path in own_designs().items()]
    return own + [_entry(name, shown[name], own=False) for name in shipped]


def _entry(name: str, path: Path, *, own: bool) -> Entry:
    try:
        return Entry(name, path, own, load_design(path), "")
    except ConfigError as error:
        return Entry(name, path, own, None, str(error).replace(str(path), path.name))


class DesignsScreen(ChallengeScreen):
    """The list on the left, what is said of the selected design on the right."""

    KEYS = DESIGNS
    PAGE = HELP_ON_DESIGNS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(DESIGNS)]

    def __init__(self, glyphs: Glyphs, *, calm: bool = False) -> None:
        super().__init__(glyphs)
        self.entries: list[Entry] = []
        self._calm = calm

    def compose(self) -> ComposeResult:
        yield Bar(id="head")
        yield Static(_TASK, id="task", markup=False)
        with Horizontal():
            designs = OptionList(id="designs", markup=False)
            designs.border_title = "Designs"
            yield designs
            with VerticalScroll(id="about", can_focus=False):
                yield Static(id="told", markup=False)
        by_id = {row.id: row for row in rows(DESIGNS)}
        yield KeyBar(
            [by_id[name] for name in ("design.run", "design.edit", "design.audit", "app.help", "app.back")], id="keys"
        )

    def on_mount(self) -> None:
        self.query_one("#head", Bar).show(partial(head, "your design, one day", ""))
        self.query_one(KeyBar).show_keys({}, {})
        self._fill(_CHAPTER)

    def on_screen_resume(self) -> None:
        if self.entries:
            self._fill(None if self.selected is None else self.selected.name)

    def _fill(self, select: str | None) -> None:
        """List what there is now, and select that one."""
        self.entries = entries()
        designs = self.query_one("#designs", OptionList)
        designs.clear_options()
        designs.add_options([Option(_line(each), id=each.name) for each in self.entries])
        names = [each.name for each in self.entries]
        designs.highlighted = names.index(select) if select in names else 0
        designs.focus()

    @property
    def selected(self) -> Entry | None:
        """The entry under the cursor."""
        index = self.query_one("#designs", OptionList).highlighted
        return None if index is None or index >= len(self.entries) else self.entries[index]

    def on_option_list_option_highlighted(self) -> None:
        if self.selected is not None:
            about = self.query_one("#about")
            about.border_title = self.selected.name
            about.scroll_home(animate=False)
            self.query_one("#told", Static).update(about_design(self.selected))

    def on_option_list_option_selected(self) -> None:
        self.action_run()

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_run(self) -> None:
        chosen = self.selected
        if chosen is None:
            return
        if chosen.design is None:
            self.notify("This is not a design yet: e opens it, and says where.", severity="warning", markup=False)
            return
        own = chosen.name if chosen.own else ""
        edit = partial(self._edit, chosen)
        self.app.push_screen(DayScreen(chosen.design, self._glyphs, calm=self._calm, edit=edit, own=own))

    def action_edit(self) -> None:
        if self.selected is not None:
            self._edit(self.selected)

    def _edit(self, chosen: Entry) -> None:
        try:
            path = chosen.path if chosen.own else own_copy(chosen.path)
            editor = EditScreen(OwnFile(path), self._glyphs, calm=self._calm)
        except ConfigError as error:
            self.notify(str(error), severity="error", timeout=20, markup=False)
            return
        self._fill(path.stem)
        self.app.push_screen(editor)

    def action_audit(self) -> None:
        from lbtutor.tui.screens.challenge_audit import AuditScreen

        try:
            self.app.push_screen(AuditScreen(self._glyphs, calm=self._calm))
        except ConfigError as error:
            self.notify(str(error), severity="error", timeout=20, markup=False)

    def action_cursor(self, way: str) -> None:
        designs = self.query_one("#designs", OptionList)
        (designs.action_cursor_down if way == "down" else designs.action_cursor_up)()

    def action_scroll_text(self, by: int) -> None:
        about = self.query_one("#about")
        about.scroll_relative(y=by * max(about.size.height - 2, 1), animate=False)

    def action_back(self) -> None:
        self.app.exit()


def _line(entry: Entry) -> Content:
    """The design's title (two lines would be too many), and its name."""
    title = "not a design yet" if entry.design is None else entry.design.title
    mark = ("yours: ", "bold $primary") if entry.own else ("", "")
    shown = Content.assemble(mark, (title, "$warning" if entry.error else "bold")).truncate(_TITLE, ellipsis=True)
    return Content.assemble(shown, (f"\n  {entry.name}", _DIM))


def about_design(entry: Entry) -> Content:
    """What is said of a design: its story, and its numbers; or what is wrong with its file."""
    if entry.design is None:
        return Content.assemble(("Not a design yet\n\n", "bold $warning"), entry.error, f"\n\n{entry.path}")
    design = entry.design
    story = " ".join(textwrap.dedent(design.story).split())
    where = f"\n\n{entry.path}" if entry.own else ""
    return Content.assemble(
        (f"{design.title}\n", "bold"), f"{story}\n\n" if story else "\n", "\n".join(_numbers(design)), (where, _DIM)
    )


def _numbers(design: Design) -> list[str]:
    dns = "checked" if design.dns.check is not None else "never checked"
    capacity = f"{design.balancers.capacity:,}".replace(",", " ")
    lines = [f"balancers  {design.balancers.count} of {capacity} a second", f"names      kept {design.dns.ttl}, {dns}"]
    for name in SERVICES:
        pool = design.pool[name]
        room = "" if pool.scale is None else f" to {pool.scale.max}"
        sticky = ", sticky" if pool.sticky is not None else ""
        lines.append(f"{name:<9}  {pool.instances}{room}, {pool.algorithm.replace('_', ' ')}{sticky}")
    return lines
