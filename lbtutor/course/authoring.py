"""What must be true of every exercise before a learner sees it, and found out by doing what a learner does.

An exercise that passes as given teaches nothing, one that fails for another reason than it says teaches what is wrong,
and a solution that does not pass is an insult. So each start and each solution is judged for real, in the same way as a
learner's own file, and the rest (hints, names, what a start may import) is read. What a learner is told first about the
start is looked at too: it is about the gap, it names a line, and its story is short.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.by_laws import LONG
from lbtutor.course.exercises.judging import Depth, Finding, judge
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.manifest import exercise as exercise_of
from lbtutor.course.exercises.manifest import exercises as all_exercises
from lbtutor.course.exercises.placing import place_of
from lbtutor.labs.library import lesson_folders
from lbtutor.labs.processes import in_processes
from lbtutor.labs.scenario import scenario_names
from lbtutor.testing.components import laws_of
from lbtutor.testing.sandbox import Submission, read_submission
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

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.name)
        self.finding = finding


def _start_faults(exercise: Exercise, seed: int | None) -> Iterator[str]:
    """What a learner is told first, who checks the start as it is given: for the reason that is meant, and enough."""
    is_by_laws = exercise.kind in ("implement", "fault")
    start = read_submission(exercise.start)

    def look(finding: Finding) -> None:
        if is_by_laws and finding.verdict == "failed" and finding.told:
            raise _SentBack(finding)

    try:
        given = judge(exercise, start, Depth(seed=seed, told=look))
    except _SentBack as sent_back:
        yield from _feedback_faults(exercise, sent_back.finding, start)
        return
    if given.outcome != "fail":
        yield f"its start is not sent back: {given.outcome} {given.cause}".strip()
        return
    failed = [finding for finding in given.findings if finding.verdict == "failed"]
    meant = [finding for finding in failed if finding.name == exercise.fails]
    first = meant if exercise.kind == "law" else failed[:1]  # wrong ones are told in any order
    if not meant or first != meant[:1]:
        names = ", ".join(finding.name for finding in failed) or given.cause
        yield f"its start is sent back for {names}, and not for {exercise.fails}"
        return
    yield from _lacking({"expected": given.expected, "got": given.got, "cause": given.cause, "next": given.next})


def _feedback_faults(exercise: Exercise, told_first: Finding, start: Submission) -> Iterator[str]:
    if told_first.name != exercise.fails:
        yield f"its start is sent back for {told_first.name}, and not for {exercise.fails}"
        return
    example = told_first.counterexample
    if example is None:
        yield "its start is sent back without a story"
        return
    told = {"expected": example.expected, "got": example.got, "law": told_first.says, "next": told_first.next}
    yield from _lacking(told)
    yield from _faults(
        (place_of(told_first, exercise, start) is None, "what is said of its start names no line in it"),
        (len(example.program.ops) > LONG, f"the story of its start takes {len(example.program.ops)} operations"),
    )


def _lacking(told: Mapping[str, str]) -> Iterator[str]:
    yield from (f"what is said of its start lacks: {label}" for label, text in told.items() if not text.strip())
    if told["expected"] == told["got"]:
        yield "what is said of its start expects what it got"


# --- all of it


def everything(progress: Callable[[float], None], *, seed: int | None = None) -> list[tuple[str, list[str] | None]]:
    """Look at all exercises and lessons, on every core: the name of each, and its faults; None if it came to none.

    `progress` hears what share is done. Raises `ConfigError` for a manifest that cannot be read.
    """
    jobs = [("exercise", one.id, seed) for one in all_exercises()]
    jobs += [("lesson", folder.name, seed) for folder in lesson_folders()]
    found = in_processes(_examined, jobs, progress)
    return [(f"{kind} {name}", faults) for (kind, name, _), faults in zip(jobs, found, strict=True)]


def _examined(job: tuple[str, str, int | None], tell: Callable[[float], None]) -> list[str]:
    kind, name, seed = job
    tell(0.0)
    return amiss_with_lesson(name) if kind == "lesson" else amiss_with(exercise_of(name), seed=seed)
