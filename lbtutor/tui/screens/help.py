"""Help: every key, and what the signs on the stage mean. Both come from the tables that the screen itself uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import GROUPS, Key

_SIGNS = (
    ("request", "a request on its way to a server"),
    ("reply", "an answer on its way back"),
    ("failed", "a request that failed"),
    ("probe", "a health check on its way"),
    ("probe_passed", "a health check that passed"),
    ("probe_failed", "a health check that failed"),
    ("up", "a server that is believed to be up"),
    ("failing", "up, but the last checks failed: the count stands beside it"),
    ("down", "a server that is believed to be down: it gets no requests"),
    ("draining", "a server that gets no new requests and ends those it has"),
    ("unchecked", "a server that has not been checked yet"),
    ("full", "one request at work, or waiting, at a server"),
)
_RULES = (
    "Time passes only while the stage is in view: reading the text on a narrow screen, or this page, costs nothing.",
    "Letters a to d answer the open question and do nothing else; capital letters change the pool.",
    "Progress is saved at every answer and every step.",
)


class Page(NamedTuple):
    """What a page of help is made of; a sign is named as `Glyphs` names it. `back` is where Escape leads."""

    groups: Mapping[str, tuple[Key, ...]]
    signs: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    back: str


LESSON = Page(GROUPS, _SIGNS, _RULES, "lesson")
"""Help on the lesson screen."""


class HelpScreen(Screen[None]):
    """All keys, all signs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "back", show=False, id="help.back"),
        Binding("j", "scroll(1)", "down", show=False, id="help.down"),
        Binding("k", "scroll(-1)", "up", show=False, id="help.up"),
    ]

    def __init__(self, glyphs: Glyphs, page: Page | None = None) -> None:
        """Without a `page`, that of the lesson screen."""
        super().__init__()
        self._glyphs = glyphs
        self._page = LESSON if page is None else page

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as help_:
            help_.border_title = "Help"
            help_.border_subtitle = f"Escape: back to the {self._page.back}"
            yield Static(help_text(self._glyphs, self._page))

    def action_scroll(self, by: int) -> None:
        self.query_one("#help").scroll_relative(y=by, animate=False)


def help_text(glyphs: Glyphs, page: Page = LESSON) -> Content:
    """The whole page."""
    lines: list[Content] = []
    for title, keys in page.groups.items():
        lines += [_head(title), *(_line(key.shown, key.says) for key in keys), Content("")]
    lines += [_head("The signs"), *(_line(getattr(glyphs, sign), says) for sign, says in page.signs), Content("")]
    lines += [_head("The rules"), *(Content(f"  {rule}") for rule in page.rules)]
    return Content("\n").join(lines)


def _head(title: str) -> Content:
    return Content.styled(title, "bold $primary")


def _line(left: str, says: str) -> Content:
    return Content.assemble((f"  {left:<7}", "bold"), says)
