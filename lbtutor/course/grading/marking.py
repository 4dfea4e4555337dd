"""Marking: one file and one exercise become a mark.

A pass needs evidence: every finding of the judge held, each law was really tried. Silence is none, and a judge that
falls over is our fault. Points are the exercise's, by the weights of what held; only the verdict asks for all of it.
"""

from __future__ import annotations

import time

from msgspec.structs import replace

from lbtutor.course.exercises.judging import Depth, Finding, Judgement, Outcome, judge
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.workspace import given, solution
from lbtutor.course.grading.looks import looks_like
from lbtutor.course.grading.record import Failure, Mark, Suite, Terms, Verdict, unmarked
from lbtutor.testing.report import Counterexample
from lbtutor.testing.sandbox import Fault, Submission
from lbtutor.testing.sandbox.asking import printable

_VERDICTS: dict[Outcome, Verdict] = {
    "pass": "pass",
    "fail": "fail",
    "unknown": "unknown",
    "not gradable": "not_gradable",
    "grader error": "grader_error",
}
_BY_LAWS = ("implement", "fault")


def mark(exercise: Exercise, file: Submission, terms: Terms, platform: str = "") -> Mark:
    """What this file gets. Raises nothing: what goes wrong here is in the mark."""
    began = time.perf_counter()
    marked = _marked(exercise, file, terms)
    return replace(marked, seconds=round(time.perf_counter() - began, 3), platform=platform)


def _marked(exercise: Exercise, file: Submission, terms: Terms) -> Mark:
    depth = Depth(profile=terms.profile, seed=terms.seed, graded=True, limits=terms.limits)
    try:
        judged = judge(exercise, file, depth)
        found = unmarked(exercise, _verdict(exercise, judged), _cause(judged), terms, file.sha256)
        return replace(
            found,
            score=0.0 if found.verdict in ("grader_error", "not_gradable") else _points(judged.share * exercise.points),
            suites=_suites(exercise, judged),
            is_whole=judged.score is not None,
            expected=judged.expected,
            got=judged.got,
            remarks=_remarks(exercise, file, judged, terms),
        )
    except Fault as fault:  # as soon as it is run
        return unmarked(exercise, "not_gradable", str(fault), terms, file.sha256)
    except Exception as error:  # noqa: BLE001  a bug of ours, which is not the learner's
        cause = f"{type(error).__name__}: {printable(str(error))}"
        return unmarked(exercise, "grader_error", cause, terms, file.sha256)


def _verdict(exercise: Exercise, judged: Judgement) -> Verdict:
    if judged.outcome == "pass" and not _is_proved(exercise, judged):
        return "grader_error"
    return _VERDICTS[judged.outcome]


def _cause(judged: Judgement) -> str:
    """Why, and where in the file when nothing else says so."""
    return f"line {judged.line}: {judged.cause}" if judged.line and not judged.findings else judged.cause


def _is_proved(exercise: Exercise, judged: Judgement) -> bool:
    """Is there evidence for a pass: something was judged, and all of it held after it was tried?"""
    tried = [finding for finding in judged.findings if finding.verdict != "not checked"]
    held = all(finding.verdict == "passed" for finding in tried)
    return bool(tried) and held and (exercise.kind not in _BY_LAWS or all(finding.examples for finding in tried))


def _suites(exercise: Exercise, judged: Judgement) -> tuple[Suite, ...]:
    findings = [finding for finding in judged.findings if finding.verdict != "not checked"]
    whole = sum(finding.weight for finding in findings) or 1.0
    each = exercise.points / whole
    return tuple(_suite(finding, each, hidden=finding.name in exercise.hidden) for finding in findings)


def _suite(finding: Finding, each: float, *, hidden: bool) -> Suite:
    most = finding.weight * each
    return Suite(
        finding.name, finding.says, finding.verdict, finding.examples, finding.weight,
        _points(most if finding.verdict == "passed" else 0.0), _points(most), hidden, _failure(finding),
    )  # fmt: skip


def _failure(finding: Finding) -> Failure | None:
    if finding.verdict == "passed":
        return None
    found = finding.counterexample
    if not isinstance(found, Counterexample):
        return Failure("", "", story=finding.told, line=finding.line)
    return Failure(
        found.expected, found.got, found.because, found.story, found.line, found.repeats,
        {"setting": found.program.setting, "ops": [list(op) for op in found.program.ops]},
    )  # fmt: skip


def _remarks(exercise: Exercise, file: Submission, judged: Judgement, terms: Terms) -> tuple[str, ...]:
    remarks = list(_where_from(exercise, file))
    if judged.outcome == "fail":
        remarks += looks_like(exercise, file, judged, terms)
    return tuple(remarks)


def _where_from(exercise: Exercise, file: Submission) -> list[str]:
    if not exercise.folder.is_dir():
        return []
    if file.data == solution(exercise).encode():
        return ["the same bytes as the solution that ships with lbtutor"]
    return ["as it was given, unchanged"] if file.data == given(exercise).encode() else []


def _points(points: float) -> float:
    return round(points, 6)
