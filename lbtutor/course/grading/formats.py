"""The same records for a spreadsheet, for Gradescope, and for programs.

What learners wrote is in none of them as they wrote it: control characters are taken out, and a cell of a spreadsheet
never begins like a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from lbtutor import __version__
from lbtutor.course.grading.record import FORMAT, Mark, Record, Suite
from lbtutor.course.grading.run import Graded

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def document(graded: Graded) -> dict[str, Any]:
    """Everything, as the records have it. Private: it holds the seed."""
    return {
        "schema": FORMAT,
        "tool_version": __version__,
        "interrupted": graded.interrupted,
        "learners": [
            {**msgspec.to_builtins(record), "score": record.score, "max_score": record.max_score}
            for record in graded.records
        ],
        "identical": [msgspec.to_builtins(same) for same in graded.same],
    }


def spreadsheet(graded: Graded) -> str:
    """CSV (RFC 4180): a row for each learner; points in all, then points and verdict of each exercise."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    marks = graded.records[0].marks if graded.records else ()
    heads = [head for mark in marks for head in (mark.exercise, f"{mark.exercise} verdict")]
    rows.writerow(["learner", "score", "max_score", *heads])
    for record in graded.records:
        cells = [cell for mark in record.marks for cell in (_points(mark), mark.verdict)]
        rows.writerow(map(_cell, [record.learner, record.score, record.max_score, *cells]))
    return out.getvalue()


def _points(mark: Mark) -> float | str:
    return "" if mark.verdict == "grader_error" else mark.score


def _cell(value: float | str) -> str:
    text = clean(f"{value:g}" if isinstance(value, float) else value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def gradescope(record: Record) -> dict[str, Any]:
    """`results.json` (gradescope-autograders.readthedocs.io, specs): a test for each law, or for a whole exercise.

    Numbers are numbers, `status` is always there, and what hidden laws found is `hidden`. The seed stays here.
    """
    return {
        "score": record.score,
        "execution_time": round(sum(mark.seconds for mark in record.marks), 3),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"tool_version": record.tool_version, "max_score": record.max_score},
        "tests": [test for number, mark in enumerate(record.marks, 1) for test in _tests(number, mark)],
    }


def _tests(number: int, mark: Mark) -> Iterator[dict[str, Any]]:
    if mark.is_whole or not mark.suites:
        yield {
            "number": str(number),
            "name": clean(mark.title or mark.exercise),
            "score": mark.score,
            "max_score": mark.max_score,
            "status": "passed" if mark.verdict == "pass" else "failed",
            "output": clean("\n".join(_whole(mark))),
            "tags": [mark.verdict],
            "visibility": "visible",
        }
        return
    for part, suite in enumerate(mark.suites, 1):
        yield {
            "number": f"{number}.{part}",
            "name": clean(f"{mark.title or mark.exercise}: {suite.says}"),
            "score": suite.score,
            "max_score": suite.max_score,
            "status": "passed" if suite.verdict == "passed" else "failed",
            "output": clean("\n".join(told(suite))),
            "tags": [mark.exercise],
            "visibility": "hidden" if suite.hidden else "visible",
        }


def _whole(mark: Mark) -> list[str]:
    said = [f"expected: {mark.expected}", f"got: {mark.got}"] if mark.got else []
    return [*said, *([mark.cause] if mark.cause else []), *mark.remarks]


def told(suite: Suite) -> list[str]:
    """What a law found, for the one who wrote the file."""
    if suite.failure is None:
        return [f"held in {suite.examples} examples"] if suite.examples else []
    failure = suite.failure
    said = [f"expected: {failure.expected}", f"got: {failure.got}"] if failure.got else []
    because = [f"because {failure.because}"] if failure.because else []
    shaky = [f"not repeatable: it fails {failure.repeats} times"] if failure.repeats else []
    return [*said, *because, *shaky, *([""] if said and failure.story else []), *failure.story]


def clean(text: str) -> str:
    """Without what a terminal or a browser could take for a command: only what can be printed, and line ends."""
    return "".join(c if c.isprintable() or c == "\n" else " " if c == "\t" else "�" for c in text)
