"""Every key of the lesson screen, as one table. (Those of the challenge: `screens.challenge_keys`.)

The bindings, the bar of keys at the bottom, the help and the command palette all read this table, so a key cannot be
in one of them and not in another. `id` is what a user's own key map would name; it never changes.

Small letters answer, capitals change the pool: `a` to `d` mean an answer and nothing else, so `D` (drain) cannot be
pressed by someone who meant the fourth answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from textual.binding import Binding


class Key(NamedTuple):
    """One row: what a key does.

    `keys` are Textual's names for the keys, `shown` is how a person writes them; `says` finishes the sentence "this key
    will ...", `label` is the one or two words on the key bar. With `each`, the row stands for a family: one binding for
    each of these characters, put where `keys`, `id` and `action` have a `*`.
    """

    id: str
    keys: str
    shown: str
    action: str
    says: str
    label: str = ""
    each: str = ""


GROUPS: dict[str, tuple[Key, ...]] = {
    "The clock": (
        Key("clock.pause", "space", "space", "pause", "stop the clock and all traffic; again: go on", "Pause"),
        Key("clock.step", "full_stop,right", ".", "single_step", "go on to the next event, then stop", "Step"),
        Key("clock.faster", "plus,equals_sign", "+", "faster", "double the speed, up to 4 times"),
        Key("clock.slower", "minus,underscore", "-", "slower", "halve the speed, down to a quarter"),
        Key("clock.again", "r", "r", "again", "run the scene again from its start", "Again"),
    ),
    "The servers": (
        Key("server.*", "*", "1-9", "crash(*)", "crash that server; one that is not well: heal it", each="123456789"),
        Key("server.up", "up", "up", "select(-1)", "select the server above"),
        Key("server.down", "down", "down", "select(1)", "select the server below"),
        Key("server.slow", "s", "s", "slow", "make the selected server four times slower, or normal again"),
        Key("server.drain", "D", "D", "drain", "drain the selected server: no new requests; again: let it back"),
    ),
    "The lesson": (
        Key("answer.*", "*", "a-d", "answer('*')", "answer the open question", each="abcd"),
        Key("lesson.next", "n", "n", "next", "go to the next step", "Next"),
        Key("lesson.previous", "p", "p", "previous", "go back one step"),
        Key("lesson.skip", "N", "N", "skip", "go on without doing this step; it stays open"),
        Key("lesson.scroll_down", "pagedown,j", "j", "scroll_text(1)", "scroll the text down (also Page Down)"),
        Key("lesson.scroll_up", "pageup,k", "k", "scroll_text(-1)", "scroll the text up (also Page Up)"),
    ),
    "The view": (
        Key("view.events", "e", "e", "events", "list what happened, each event with its reason", "Events"),
        Key("view.why", "w", "w", "why", "stop, and show how the last server was chosen", "Why"),
        Key("view.text", "l", "l", "text", "swap text and stage where both do not fit", "Text"),
        Key("view.zoom", "z", "z", "zoom", "give the stage the whole width; again: back", "Zoom"),
    ),
    "The program": (
        Key("app.help", "question_mark", "?", "help", "show the keys and what the signs mean", "Help"),
        Key("app.lessons", "h", "h", "lessons", "list the lessons"),
        Key("app.picture", "ctrl+s", "ctrl+s", "picture", "save a picture of the screen (SVG)"),
        Key("app.back", "q,escape", "q", "back", "close what is open, else leave; nothing is lost", "Quit"),
    ),
}
"""The table, in the order in which help tells it."""

VITAL = (
    "answer.*",
    "clock.pause",
    "clock.step",
    "clock.again",
    "lesson.next",
    "server.*",
    "view.text",
    "app.help",
    "view.why",
    "view.events",
    "app.back",
)
"""The keys of the key bar; a narrow bar leaves out from the end."""


def rows(groups: Mapping[str, tuple[Key, ...]] = GROUPS) -> Iterable[Key]:
    """All rows of the table."""
    for group in groups.values():
        yield from group


def bindings(groups: Mapping[str, tuple[Key, ...]] = GROUPS) -> list[Binding]:
    """The table as Textual bindings, each with its id."""
    return [
        Binding(
            row.keys.replace("*", one),
            row.action.replace("*", one),
            row.says,
            show=False,
            key_display=one or row.shown,
            id=row.id.replace("*", one),
        )
        for row in rows(groups)
        for one in (row.each or ("",))
    ]
