"""What must be true of every exercise before a learner sees it, and found out by doing what a learner does.

An exercise that passes as given teaches nothing, one that fails for another reason than it says teaches what is wrong,
and a solution that does not pass is an insult. So each start and each solution is judged for real, in the same way as a
learner's own file, and the rest (hints, names, what a start may import) is read.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.judging import Depth, Finding, judge
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.manifest import exercises as all_exercises
from lbtutor.labs.library import lesson_folders
from lbtutor.labs.scenario import scenario_names
from lbtutor.testing.components import laws_of
from lbtutor.testing.sandbox import read_submission
from lbtutor.testing.sandbox.faults import NotGradable

FORBIDDEN = (
    "TODO",
    "FIXME",
    "XXX",
    "obviously",
    "trivial",
    "trivially",
    "simply",
    "easy",
    "easily",
    "just use",
    "lorem",
)
"""Words of work undone, and words that make whoever is stuck feel small."""

GAP = "the gap"
"""Marks the one gap of a start, but where finding it is the exercise."""

_WITH_MARK = ("implement", "law", "break")
_FORBIDDEN = re.compile(rf"\b({'|'.join(FORBIDDEN)})\b", re.IGNORECASE)
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def amiss_with(exercise: Exercise, *, seed: int | None = None) -> list[str]:
    """Every fault of one exercise, in sentences; an empty list when it may be given to a learner."""
    read = [*_manifest_faults(exercise), *_file_faults(exercise)]
    return read or list(_judged_faults(exercise, seed))


def amiss_with_lesson(folder_name: str) -> list[str]:
    """The complaints of the lesson in that folder."""
    from lbtutor.course.loader import examine

    folder = next(folder for folder in lesson_folders() if folder.name == folder_name)
    return list(examine(folder).complaints)


# --- what is read


def _manifest_faults(exercise: Exercise) -> Iterator[str]:
    listed = [one.id for one in all_exercises()]
    before = listed[: listed.index(exercise.id)] if exercise.id in listed else listed
    yield from _faults(
        (not _ID.fullmatch(exercise.id), "its id is written in small letters, figures and single hyphens"),
        (not exercise.asks.endswith(".") or ". " in exercise.asks, "it asks in one sentence"),
        (not exercise.hints[0].rstrip().endswith("?"), "its first hint is a question"),
        (not all(hint.strip() for hint in exercise.hints), "each of its three hints says something"),
        (not 1 <= exercise.level <= 5, "its level is 1 to 5"),
        (exercise.points < 1, "it is worth a point at least"),
        (not exercise.fails, "`fails` names what its start is sent back for"),
        (bool(exercise.lab) and exercise.lab not in scenario_names(), f"there is no lab {exercise.lab!r}"),
    )
    yield from (f"it needs {name}, which does not come before it" for name in exercise.needs if name not in before)
    if exercise.kind in ("implement", "fault"):
        laws = {law.name for law in laws_of(exercise.component)}
        named = {exercise.fails, *exercise.hidden}
        yield from (f"{exercise.component} has no law {name}" for name in sorted(named - laws - {""}))
        yield from _faults((not exercise.cls, "`cls` names the class that is judged"))


def _file_faults(exercise: Exercise) -> Iterator[str]:
    texts = {"manifest": " ".join((exercise.title, exercise.asks, *exercise.hints))}
    for name, path in (("start", exercise.start), ("solution", exercise.solution)):
        try:
            texts[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield f"{path.name} cannot be read: {error}"
            return
    for name, text in texts.items():
        yield from (f"{name}: the word {found[0]!r}" for found in _FORBIDDEN.finditer(text))
    gaps = texts["start"].count(GAP)
    wanted = int(exercise.kind in _WITH_MARK)
    yield from _faults(
        (gaps != wanted, f"its start marks {gaps} gaps, not {wanted}"),
        (GAP in texts["solution"], "its solution still marks a gap"),
        (texts["start"] == texts["solution"], "its solution is its start"),
    )
    if exercise.start.suffix == ".py":
        yield from _foreign_imports(texts["start"])


def _foreign_imports(text: str) -> Iterator[str]:
    """A start has the standard library and itself: no solution, and nothing of ours, is within its reach."""
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                yield f"its start imports {name}"


def _faults(*rules: tuple[bool, str]) -> Iterator[str]:
    yield from (says for is_broken, says in rules if is_broken)


# --- what is judged


def _judged_faults(exercise: Exercise, seed: int | None) -> Iterator[str]:
    try:
        yield from _start_faults(exercise, seed)
        solved = judge(exercise, read_submission(exercise.solution), Depth(seed=seed, graded=True))
    except (ConfigError, NotGradable) as error:
        yield str(error)
        return
    if solved.outcome != "pass":
        yield f"its solution does not pass: {solved.outcome}, {solved.cause} (got {solved.got}; seed {solved.seed})"


class _SentBack(Exception):
    """The start failed for what it is meant to fail for; nothing else needs to be found out about it."""


def _start_faults(exercise: Exercise, seed: int | None) -> Iterator[str]:
    def look(finding: Finding) -> None:
        if finding.verdict == "failed" and finding.name == exercise.fails and finding.told:
            raise _SentBack

    try:
        given = judge(exercise, read_submission(exercise.start), Depth(seed=seed, told=look))
    except _SentBack:
        return
    failed = [finding.name for finding in given.findings if finding.verdict == "failed"]
    if given.outcome == "fail":
        yield f"its start is sent back for {', '.join(failed) or given.cause}, and not for {exercise.fails}"
    else:
        yield f"its start is not sent back: {given.outcome} {given.cause}".strip()


def everything(tell: Callable[[str, list[str]], None], *, seed: int | None = None) -> bool:
    """Look at all exercises and lessons; `tell` hears the name and the faults of each. True when there is none.

    Raises `ConfigError` for a manifest that cannot be read.
    """
    sound = True
    for exercise in all_exercises():
        faults = amiss_with(exercise, seed=seed)
        tell(f"exercise {exercise.id}", faults)
        sound = sound and not faults
    for folder in lesson_folders():
        faults = amiss_with_lesson(folder.name)
        tell(f"lesson {folder.name}", faults)
        sound = sound and not faults
    return sound
