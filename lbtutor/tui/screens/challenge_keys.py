"""The keys of the challenge's screens, as tables: bindings, key bars, help and command palette read them."""

from __future__ import annotations

from lbtutor.tui.keymap import Key
from lbtutor.tui.screens.help import Page

Table = dict[str, tuple[Key, ...]]

_HELP = Key("app.help", "question_mark", "?", "help", "show the keys and what the signs mean", "Help")
_PICTURE = Key("app.picture", "ctrl+s", "ctrl+s", "picture", "save a picture of the screen (SVG)")

DESIGNS: Table = {
    "The designs": (
        Key("design.run", "enter", "Enter", "run", "play the day of the selected design, and watch it", "Run its day"),
        Key("design.edit", "e", "e", "edit", "edit it; of one that ships, a copy of your own is made first", "Edit"),
        Key("design.down", "j", "j", "cursor('down')", "select the next one (also the arrow keys)"),
        Key("design.up", "k", "k", "cursor('up')", "select the one before"),
        Key("design.scroll_down", "pagedown", "PgDn", "scroll_text(1)", "scroll what is said about it down"),
        Key("design.scroll_up", "pageup", "PgUp", "scroll_text(-1)", "scroll it up"),
        Key("design.audit", "a", "a", "audit", "hunt through the chapter's numbers: predict, run, see", "Audit"),
    ),
    "The program": (
        _HELP,
        _PICTURE,
        Key("app.back", "q,escape", "q", "back", "leave; every design is saved", "Quit"),
    ),
}

EDITOR: Table = {
    "The editor": (
        Key("editor.run", "f2", "F2", "run", "save, and play the day of this design", "Run its day"),
        Key("editor.error", "f3", "F3", "to_error", "go to the line that is wrong", "To the error"),
        Key("editor.help", "f1", "F1", "help", "show the keys", "Help"),
        Key("app.back", "escape", "Esc", "back", "save, and go back", "Back"),
    ),
}

DAY: Table = {
    "The clock": (
        Key("clock.pause", "space", "space", "pause", "stop the day; again: go on", "Pause"),
        Key("clock.step", "full_stop,right", ".", "step(1)", "go on to the next thing that happens, and stop", "Step"),
        Key("clock.back", "comma,left", ",", "step(-1)", "go back to the one before, and stop", "Back"),
        Key("clock.faster", "plus,equals_sign", "+", "faster", "double the speed, up to 4 times"),
        Key("clock.slower", "minus,underscore", "-", "slower", "halve the speed, down to a quarter"),
        Key("clock.again", "r", "r", "again", "from the start", "Again"),
        Key("clock.end", "G,end", "G", "end", "to the end of the hour", "End"),
    ),
    "The view": (
        Key("view.verdicts", "v", "v", "verdicts", "read the verdicts; from one, go to where it broke", "Verdicts"),
        Key("view.edit", "e", "e", "edit", "edit this design", "Edit"),
    ),
    "The program": (
        _HELP,
        _PICTURE,
        Key("app.back", "q,escape", "q", "back", "back to where you came from; a day being played is given up", "Back"),
    ),
}

VERDICTS: Table = {
    "The verdicts": (
        Key("verdict.go", "enter", "Enter", "go", "go to the second in which it was first broken", "Go there"),
        Key("verdict.down", "j", "j", "cursor('down')", "the next requirement (also the arrow keys)"),
        Key("verdict.up", "k", "k", "cursor('up')", "the one before"),
        Key("verdict.days", "s", "s", "five_days", "judge it on five different days (seeds 1 to 5)", "Five days"),
    ),
    "The program": (
        _PICTURE,
        Key("app.back", "q,escape,v", "q", "back", "back to the day", "The day"),
    ),
}

AUDIT: Table = {
    "The audit": (
        Key("answer.*", "*", "a-d", "answer('*')", "answer the question; then it is run", "Answer", each="abcd"),
        Key("audit.next", "n", "n", "next(1)", "go to the next question", "Next"),
        Key("audit.previous", "p", "p", "next(-1)", "go back one question"),
        Key("audit.watch", "w", "w", "watch", "watch the day that was run", "Watch"),
        Key("audit.scroll_down", "pagedown,j", "j", "scroll_text(1)", "scroll down (also Page Down)"),
        Key("audit.scroll_up", "pageup,k", "k", "scroll_text(-1)", "scroll up (also Page Up)"),
    ),
    "The program": (
        _PICTURE,
        Key("app.back", "q,escape", "q", "back", "back to the designs; answers are saved", "Designs"),
    ),
}

_SIGNS = (
    ("full", "requests that were served"),
    ("empty", "requests that were offered and not served"),
    ("up", "a balancer that works, or something mended"),
    ("failed", "a machine that broke, or a balancer that is dead"),
    ("ejected", "a requirement that holds no longer, from here on"),
    ("pointer", "the traffic turns: the ramp, the peak, its end"),
    ("unchecked", "something that was changed: a deploy, more or fewer instances"),
)
_RULES = (
    "A day is played in a second or two, by the flow model; then you watch it at your own pace, forwards and back.",
    "Your designs are files in a folder of yours: the editor saves while you type.",
)

HELP_ON_DESIGNS = Page(DESIGNS, _SIGNS, _RULES, "designs")
HELP_ON_EDITOR = Page(EDITOR, (), _RULES, "editor")
HELP_ON_DAY = Page(DAY, _SIGNS, _RULES, "day")
