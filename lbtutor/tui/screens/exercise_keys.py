"""The keys of the exercises' screens, as tables, and their pages of help."""

from __future__ import annotations

from lbtutor.tui.keymap import Key
from lbtutor.tui.screens.help import Page

_HELP = Key("app.help", "question_mark", "?", "help", "show the keys and what the signs mean", "Help")
_PICTURE = Key("app.picture", "ctrl+s", "ctrl+s", "picture", "save a picture of the screen (SVG)")

EXERCISES: dict[str, tuple[Key, ...]] = {
    "The exercises": (
        Key("exercise.open", "enter", "Enter", "open", "open the selected exercise", "Open"),
        Key("exercise.down", "j", "j", "cursor('down')", "select the next one (also the arrow keys)"),
        Key("exercise.up", "k", "k", "cursor('up')", "select the one before"),
    ),
    "The program": (_HELP, _PICTURE, Key("app.back", "q,escape", "q", "back", "leave; all is saved", "Back")),
}

EXERCISE: dict[str, tuple[Key, ...]] = {
    "The exercise": (
        Key("exercise.story", "enter,s", "s", "story", "play how the selected law was broken, on the stage", "Story"),
        Key("exercise.hint", "h", "h", "hint", "show the next of three hints; the first is a question", "Hint"),
        Key("exercise.file", "l", "l", "file", "swap verdicts and file where both do not fit", "File"),
        Key("exercise.down", "j", "j", "cursor('down')", "select the next law (also the arrow keys)"),
        Key("exercise.up", "k", "k", "cursor('up')", "select the one before"),
        Key("file.down", "pagedown", "PgDn", "scroll_file(1)", "scroll the file down"),
        Key("file.up", "pageup", "PgUp", "scroll_file(-1)", "scroll it up"),
    ),
    "The program": (
        _HELP,
        _PICTURE,
        Key("app.back", "q,escape", "q", "back", "back; a check under way is given up", "Back"),
    ),
}

_SIGNS = (
    ("up", "a law that holds, or an exercise that you have passed"),
    ("failed", "a law that is broken, or an exercise that did not pass yet"),
    ("unchecked", "too little was seen to say"),
    ("pointer", "the line of your file to look at"),
)
_RULES = (
    "Edit your file in your own editor: whenever it is saved, it is checked again by itself.",
    "Your file runs in a process of its own; whatever it does, this program goes on.",
)

HELP_ON_EXERCISES = Page(EXERCISES, _SIGNS, _RULES, "exercises")
HELP_ON_EXERCISE = Page(EXERCISE, _SIGNS, _RULES, "exercise")
