"""Where to look in the learner's own file, for every way in which something can be amiss.

A line that raised is known. An answer that is wrong comes from no line in particular: then the honest place is where
what answered begins, a method, a function, or the table that the load is in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from lbtutor.course.exercises.judging import Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.report import Counterexample
from lbtutor.testing.sandbox import Submission


class Place(NamedTuple):
    """A line of the learner's file, from 1, and what is there: the very line, or where what answered begins."""

    how: Literal["at", "from"]
    line: int


def place_of(found: Finding | Judgement, exercise: Exercise, file: Submission) -> Place | None:
    """The line to look at; None where none has to do with it."""
    if found.line:
        return Place("at", found.line)
    line = _answering(found, exercise, file)
    return Place("from", line) if line else None


def _answering(found: Finding | Judgement, exercise: Exercise, file: Submission) -> int:
    match exercise.kind:
        case "implement" | "fault":
            example = found.counterexample if isinstance(found, Finding) else None
            return _method_line(example, exercise, file) if example is not None else 0
        case "law":
            function = exercise.settings.get("function", "holds")
            return next((node.lineno for node in _tree(file).body if _is_function(node, function)), 0)
        case "break":
            tables = (number for number, text in enumerate(file.lines, 1) if text.strip() == "[[traffic]]")
            return next(tables, 0)
        case _:
            return 0


def _method_line(example: Counterexample, exercise: Exercise, file: Submission) -> int:
    """The method that gave the answer; if it is not known which did, the class."""
    classes = {node.name: node for node in _tree(file).body if isinstance(node, ast.ClassDef)}
    if (asked := classes.get(exercise.cls)) is None:
        return 0
    lines = {node.name: node.lineno for node in asked.body if isinstance(node, ast.FunctionDef)}
    public = [name for name in lines if not name.startswith("_")]
    named = [*_asked(example), *(public if len(public) == 1 else ())]
    return next((lines[name] for name in named if name in lines), asked.lineno)


def _asked(example: Counterexample) -> Iterator[str]:
    """What was asked at the break, the likeliest first: what answered so, what was asked last, what the story says."""
    asked = [(found[1], call) for call in example.calls if (found := re.search(r"\.(\w+)\(", call.code))]
    yield from (name for name, call in reversed(asked) if str(call.answer) == example.got)
    yield from (name for name, _ in asked[-1:])
    ops = example.program.ops
    if 0 <= example.op < len(ops):
        yield str(ops[example.op][0])


def _tree(file: Submission) -> ast.Module:
    try:
        return ast.parse(file.data)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _is_function(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name
