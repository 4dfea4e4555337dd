"""The keys of a replay, as one table, and its page of help."""

from __future__ import annotations

from lbtutor.tui.keymap import Key
from lbtutor.tui.screens.help import LESSON, Page

REPLAY: dict[str, tuple[Key, ...]] = {
    "The story": (
        Key(
            "step.next", "n,right,down,j,full_stop", "n", "step(1)", "go on to the next line (also right, down)", "Next"
        ),
        Key("step.back", "p,left,up,k,comma", "p", "step(-1)", "go back to the line before (also left, up)", "Back"),
        Key("clock.pause", "space", "space", "pause", "play it from here; again: stop", "Play"),
        Key("clock.faster", "plus,equals_sign", "+", "faster", "double the speed, up to 4 times"),
        Key("clock.slower", "minus,underscore", "-", "slower", "halve the speed, down to a quarter"),
        Key("clock.again", "r,home", "r", "again", "back to the beginning", "Again"),
        Key("clock.end", "G,end", "G", "end", "to the end", "End"),
    ),
    "The view": (Key("view.why", "w", "w", "why", "show how the last server was chosen", "Why"),),
    "The program": (
        Key("app.help", "question_mark", "?", "help", "show the keys and what the signs mean", "Help"),
        Key("app.picture", "ctrl+s", "ctrl+s", "picture", "save a picture of the screen (SVG)"),
        Key("app.back", "q,escape", "q", "back", "leave", "Quit"),
    ),
}

_RULES = (
    "Everything that moves here was recorded: it happens again in just this way, forwards and back.",
    "A click on a line goes there.",
)

HELP_ON_REPLAY = Page(REPLAY, LESSON.signs, _RULES, "replay")
