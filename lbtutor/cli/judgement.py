"""How a judgement is told: what was expected and what came, one cause, one next action, the place, and the story.

The first thing that fails is told as soon as it is found, the rest when everything is judged. Nobody is told that all
holds while some of it is left for the grader.
"""

from __future__ import annotations

from collections.abc import Callable
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.text import say

if TYPE_CHECKING:
    from lbtutor.course.exercises.judging import Finding, Judgement
    from lbtutor.course.exercises.manifest import Exercise
    from lbtutor.testing.sandbox import Submission

VERDICT = {"pass": "passed", "fail": "failed", "unknown": "unknown", "not gradable": "failed", "grader error": "fault"}
"""In the words of the house."""

_MARKS = {"passed": "✓", "failed": "✕", "unknown": "?", "fault": "!", "not checked": "·"}
_NOUNS = {
    "implement": ("law", "holds", "hold"),
    "fault": ("law", "holds", "hold"),
    "law": ("balancer", "is judged rightly", "are judged rightly"),
    "break": ("bound", "is met", "are met"),
    "audit": ("answer", "is right", "are right"),
}
_TOLD_IN_ROWS = ("break", "audit")
"""Kinds whose story is the rows themselves: what was measured, or answered, and why that is wrong."""
_LABEL = 10
_PLACES = ("at", "from")
"""Labels of a line of the learner's file, which is told as it stands there."""


class Telling:
    """Tells one judgement: findings as they come, then what came of it all. `begin` is called before the first word.

    With `brief`, for a small screen, a judgement that fails lists only what else does not hold.
    """

    def __init__(
        self,
        exercise: Exercise,
        file: Submission | None,
        begin: Callable[[], None] = lambda: None,
        *,
        brief: bool = False,
    ) -> None:
        self._brief = brief
        self._exercise = exercise
        self._file = file
        self._begin = begin
        self._told: str | None = None

    def finding(self, found: Finding) -> None:
        """Tell the first that fails, if it says by itself what was expected."""
        example = found.counterexample
        if self._told is not None or found.verdict != "failed" or example is None:
            return
        self._begin()
        self._told = found.name
        where = place(found, self._exercise, self._file)
        rows = [("expected", example.expected), ("got", example.got), where]
        rows += [("because", example.because), ("the law", found.says), ("next", found.next)]
        self._tell(rows, found.told)
        if example.repeats:
            say(f"  Not every time: {example.repeats}. There is chance in the code that is not its `rng`.")
            say()

    def end(self, judged: Judgement) -> None:
        """Tell what came of it, and the laws with their verdicts."""
        if self._told is None:
            self._begin()
        if judged.outcome != "pass" and self._told is None:
            self._tell_whole(judged)
        listed = self._listed(judged)
        for found in listed:
            first, *rest = wrap(found.says, told_width() - 4) or [found.name]
            say(f"  {_MARKS[found.verdict]} {first}")
            for line in rest:
                say(f"    {line}")
        if any(found.verdict == "unknown" for found in listed):
            say("  (? = too little was seen to say)")
        if listed:
            say()
        say(f"{_MARKS[VERDICT[judged.outcome]]} {VERDICT[judged.outcome]}   {summary(judged, self._exercise)}")

    def _listed(self, judged: Judgement) -> list[Finding]:
        if not self._brief or judged.outcome == "pass":
            return list(judged.findings)
        return [found for found in judged.findings if found.verdict == "failed" and found.name != self._told]

    def _tell_whole(self, judged: Judgement) -> None:
        worst = next((found for found in judged.findings if found.verdict == "failed"), None)
        where = place(worst or judged, self._exercise, self._file)
        cause = judged.cause if judged.cause != judged.got else ""
        rows = [("expected", judged.expected), ("got", judged.got), where, ("cause", cause), ("next", judged.next)]
        story = worst.told if worst is not None and self._exercise.kind not in _TOLD_IN_ROWS else ()
        self._tell(rows, story)

    def _tell(self, rows: list[tuple[str, str]], story: tuple[str, ...]) -> None:
        for label, text in rows:
            lines = wrap(text, told_width() - _LABEL - 2) if label not in _PLACES else [text]
            for number, line in enumerate(filter(None, lines)):
                say(f"  {label if not number else '':<{_LABEL}}{line}")
        say()
        for line in story:
            for part in _folded(line, told_width() - 4):
                say(f"    {part}")
        if story:
            say()


def in_short(judged: Judgement, exercise: Exercise) -> str:
    """The same in one line, for a log."""
    verdict = VERDICT[judged.outcome]
    if verdict == "passed":
        return f"{_MARKS[verdict]} {verdict} {exercise.id}: {summary(judged, exercise)}"
    cause = f": {judged.cause}" if judged.cause != judged.got else "."
    found = f"expected {judged.expected}, got {judged.got}{cause}"
    return f"{_MARKS[verdict]} {verdict} {exercise.id}: {found} {judged.next}"


def summary(judged: Judgement, exercise: Exercise) -> str:
    """How many of what hold, of those that are shown, and how many are left for the grader."""
    noun, singular, plural = _NOUNS[exercise.kind]
    shown, held = len(judged.findings), sum(found.verdict == "passed" for found in judged.findings)
    if not shown:
        return f"{exercise.gives} could not be judged."
    many = f"{noun}s" if shown > 1 else noun
    among = f"{many} shown" if judged.hidden else many
    if held == shown and judged.outcome == "pass":
        said = f"All {shown} {among} {plural}" if shown > 1 else f"The one {among} {singular}"
    else:
        said = f"{held} of {shown} {among} {singular if 1 in (held, shown) else plural}"
    more = f"; {judged.hidden} more {'is' if judged.hidden == 1 else 'are'} tried when it is graded"
    return f"{said}{more if judged.hidden else ''}."


def place(found: Finding | Judgement, exercise: Exercise, file: Submission | None) -> tuple[str, str]:
    """Where to look in the learner's file, with the text of the line: `at` that line, or `from` what begins there."""
    from lbtutor.course.exercises.placing import place_of

    known = None if file is None else place_of(found, exercise, file)
    if file is None or known is None:
        return "at", ""
    return known.how, f"{exercise.gives}:{known.line}   {file.line(known.line).strip()}"


def exit_of_outcome(judged: Judgement) -> Exit:
    """The exit code: a fault of ours is nobody's failure."""
    return OF_VERDICT.get(VERDICT[judged.outcome], Exit.FAULT)


def document(judged: Judgement, exercise: Exercise, path: str) -> dict[str, Any]:
    """The document of `exercise check --json`."""
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(judged)
    return {
        "exercise": told.pop("exercise"),
        "file": path,
        "verdict": VERDICT[judged.outcome],
        "says": summary(judged, exercise),
        **told,
        "seconds": round(judged.seconds, 3),
    }


def _folded(line: str, width: int) -> list[str]:
    """A line of a story, in as many as it takes; those that go on stand a little further in."""
    within = len(line) - len(line.lstrip()) + 4
    return wrap(line, width, subsequent_indent=" " * within) or [""]


def told_width() -> int:
    """How wide a text may be: as the terminal, within what is easily read."""
    return max(40, min(96, get_terminal_size().columns))
