"""The bars around the stage: each is a function from what is to be shown, and a width, to lines of text.

`Bar` is the one widget that shows them. It is told four times a second and paints only what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from lbtutor.course.lesson import GoalState
from lbtutor.tui.glyphs import Glyphs
from lbtutor.tui.keymap import VITAL, Key, rows
from lbtutor.tui.screens.cue import Cue

_KEY = "bold $primary"
_DIM = "$foreground 60%"
_TONES = {"ask": "$primary", "plain": "$secondary", "right": "$success", "wrong": "$warning", "broken": "$error"}
_BETWEEN = "   "

_FEW_LINES = 2

_ROOMY = 100
"""Columns from which on the head bar has room for more than words."""


class Bar(Static):
    """Shows what a function of the width makes, and makes it anew when the width changes."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._make: Callable[[int], Content] = Content.blank
        self._shown = Content("")

    def show(self, make: Callable[[int], Content]) -> None:
        """Show what `make(width)` answers."""
        self._make = make
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self.size.width:
            return
        content = self._make(self.size.width)
        if not content.is_same(self._shown):
            grew = content.plain.count("\n") != self._shown.plain.count("\n") or self.styles.is_auto_height
            self._shown = content
            self.update(content, layout=grew)


class Place(NamedTuple):
    """Where the learner is, and how the clock stands."""

    lesson: str
    title: str
    step: int
    steps: int
    speed: float
    clock: str


def head_line(place: Place, glyphs: Glyphs, width: int) -> Content:
    """The program, the lesson, the step, the clock."""
    left = Content.assemble((" lbtutor ", _KEY), f" {place.lesson} ", (f"/ {place.title}", _DIM))
    roomy = width >= _ROOMY
    right = Content.assemble(
        (f"step {place.step} of {place.steps}", _DIM),
        (" " + glyphs.full * place.step if roomy else "", "$primary"),
        (glyphs.empty * (place.steps - place.step) if roomy else "", _DIM),
        f"  {place.speed:g}{glyphs.times}  ",
        (f"{place.clock} ", "bold"),
    )
    return apart(left, right, width)


def caption_line(says: str, numbers: str, width: int) -> Content:
    """What just happened in words, and the numbers where no charts fit; a long sentence takes their place."""
    told = Content.styled(f" {says}", "italic")
    shown = Content.styled(f"{numbers} ", _DIM)
    return apart(told, shown if told.cell_length + shown.cell_length < width else Content(""), width)


class KeyBar(Bar):
    """The keys that matter most, as many as fit; each can be clicked."""

    def __init__(self, vital: Iterable[Key] | None = None, *, id: str | None = None) -> None:  # noqa: A002
        """`vital` are the rows to show, from the most important one on; without it, those of the lesson screen."""
        super().__init__(id=id)
        by_id = {row.id: row for row in rows()}
        self._vital = tuple(by_id[row_id] for row_id in VITAL) if vital is None else tuple(vital)
        self._ends: list[tuple[int, str]] = []

    def show_keys(self, labels: Mapping[str, str], shown: Mapping[str, str]) -> None:
        """`labels` and `shown` replace the word and the key of a row, by its id; an empty word leaves the row out."""
        self.show(lambda width: self._line(labels, shown, width))

    def _line(self, labels: Mapping[str, str], shown: Mapping[str, str], width: int) -> Content:
        line = Content("")
        self._ends = []
        for row in self._vital:
            label = labels.get(row.id, row.label)
            item = Content.assemble(" ", (shown.get(row.id, row.shown), _KEY), f" {label} ")
            if label and line.cell_length + item.cell_length <= width:
                line += item
                self._ends.append((line.cell_length, "" if row.each else row.action))
        return line

    async def on_click(self, event: Click) -> None:
        action = next((action for end, action in self._ends if event.x < end), "")
        if action:
            await self.screen.run_action(action)


def cue_lines(cue: Cue, width: int) -> Content:
    """What to do now: the question with its choices, on one line where they fit, or the goals, and how to go on."""
    head = Content.styled(cue.head, f"bold {_TONES[cue.tone]}")
    lines = (Content.assemble(head, f"  {cue.says}") if cue.says else head).wrap(width)
    lines += _choices(cue, width)
    lines += [_goal(goal) for goal in cue.goals]
    then = Content(_BETWEEN).join(_way(way) for way in cue.then)
    if cue.then and lines[-1].cell_length + len(_BETWEEN) + then.cell_length <= width:
        lines[-1] = apart(lines[-1], then, width)
    elif cue.then:
        lines.append(then)
    return Content("\n").join(lines)


def _choices(cue: Cue, width: int) -> list[Content]:
    """In one line or two where they fit, else each in a line of its own."""
    choices = [Content.assemble((choice.key, _KEY), f" {choice.text}") for choice in cue.choices]
    flowing: list[Content] = []
    for choice in choices:
        joined = Content(_BETWEEN).join((*flowing[-1:], choice))
        if flowing and joined.cell_length <= width:
            flowing[-1] = joined
        else:
            flowing.append(choice)
    return flowing if len(flowing) <= _FEW_LINES else choices


def _way(way: str) -> Content:
    """ "n: next step", with the key as keys are shown."""
    key, colon, does = way.partition(": ")
    return Content.assemble((key, _KEY), (f" {does}", _DIM)) if colon else Content.styled(way, _DIM)


def _goal(goal: GoalState) -> Content:
    mark = ("[x] ", "bold $success") if goal.done else ("[ ] ", "$primary")
    return Content.assemble(mark, goal.says, (f"  {goal.detail}" if goal.detail else "", _DIM))


def apart(left: Content, right: Content, width: int) -> Content:
    """Left and right at the two ends of a line; the left gives way."""
    room = width - right.cell_length - 1
    if room <= 0:
        return left.truncate(max(width, 0), ellipsis=True)
    return Content.assemble(left.truncate(room, ellipsis=True, pad=True), " ", right)
