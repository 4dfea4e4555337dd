"""The numbers of a design are judged by what they follow from: arithmetic, or a run.

The exercise's folder has `questions.toml`; the learner's file gives each question's name a number. What is right is
never written down as such: it is worked out when it is judged, from the design's other numbers or from a simulated run
of a scenario in the same folder.

    [[question]]
    name    = "dead_for"
    says    = "seconds for which a crashed instance may go on getting requests"
    follows = "run / 10"                                       # numbers, + - * / **, brackets, and `run`
    run     = { stage = "stage.toml", measure = "requests.failed" }
    within  = 0.05                                             # of the right number
    because = "The probe fails three times, 30 s apart."       # told with a wrong answer; it names no result
"""

from __future__ import annotations

import ast
import operator
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core import ConfigError
from lbtutor.course.exercises.judging import Depth, Finding, Judgement, data_of
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.labs.reading import read_toml, suggest
from lbtutor.labs.run import run_lab
from lbtutor.labs.scenario import load_scenario
from lbtutor.testing.sandbox import Submission


class Measured(Struct, frozen=True, forbid_unknown_fields=True):
    """A number out of a simulated run: `measure` is its path in the document of `lab run --json`."""

    stage: str
    measure: str


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """One number of the design. `within` is the share of the right number by which an answer may miss it."""

    name: str
    says: str
    follows: str
    because: str
    run: Measured | None = None
    within: float = 0.01


class _Questions(Struct, frozen=True, forbid_unknown_fields=True):
    question: tuple[Question, ...]


def judge(exercise: Exercise, file: Submission, depth: Depth) -> Judgement:
    """Compare each answer with what it follows from."""
    began = time.perf_counter()
    try:
        asked = questions(exercise.folder)
        answers = _answers(exercise, file, asked)
    except ConfigError as error:
        return Judgement(
            exercise.id, "not gradable", expected="a number for every name", got=str(error), cause=str(error),
            next=f"Mend that in {exercise.gives}, and check again.",
        )  # fmt: skip
    findings = []
    for question in asked:
        findings.append(_finding(question, answers[question.name], right(exercise.folder, question), file))
        if depth.told is not None:
            depth.told(findings[-1])
    judged = Judgement(exercise.id, "pass", tuple(findings), seconds=time.perf_counter() - began)
    wrong = next((number for number, finding in enumerate(findings) if finding.verdict == "failed"), None)
    if wrong is None:
        return judged
    question, line = asked[wrong], findings[wrong].line
    return replace(
        judged, outcome="fail", expected=f"for {question.name}, what follows from the plan: {question.says}",
        got=f"{answers[question.name]:.10g}", cause=question.because,
        next=f"Work out {question.name} again, in line {line} of {exercise.gives}.",
    )  # fmt: skip


@cache
def questions(folder: Path) -> tuple[Question, ...]:
    """The questions of the exercise in that folder. Raises `ConfigError`."""
    path = folder / "questions.toml"
    return read_toml(path.read_text(encoding="utf-8"), str(path), _Questions).question


@cache
def right(folder: Path, question: Question) -> float:
    """The right number: worked out, from a run if it takes one."""
    known = {} if question.run is None else {"run": _measured(folder, question.run)}
    return worked_out(question.follows, known)


def worked_out(formula: str, known: Mapping[str, float]) -> float:
    """The value of a formula of numbers, known names, + - * / ** and brackets. Raises `ConfigError` for any other."""
    return _value(ast.parse(formula, mode="eval").body, known)


def _value(node: ast.expr, known: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.BinOp(left=left, op=op, right=right_side) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, known), _value(right_side, known))
    raise ConfigError(f"{ast.unparse(node)!r} is no sum of numbers")


_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def _measured(folder: Path, wanted: Measured) -> float:
    value: Any = run_lab(load_scenario(folder / wanted.stage), "sim", explained=False).as_dict()
    for key in wanted.measure.split("."):
        value = value[key]
    return float(value)


def _answers(exercise: Exercise, file: Submission, asked: tuple[Question, ...]) -> dict[str, float]:
    answers = read_toml(data_of(exercise, file), exercise.gives, dict[str, float])
    names = [question.name for question in asked]
    for name in answers:
        if name not in names:
            raise ConfigError(f"{exercise.gives}: nobody asks for {name}; {suggest(name, names)}")
    for name in names:
        if name not in answers:
            raise ConfigError(f"{exercise.gives}: there is no number for {name}")
    return answers


def _finding(question: Question, answer: float, is_right: float, file: Submission) -> Finding:
    holds = abs(answer - is_right) <= question.within * abs(is_right)
    told = () if holds else (f"you say {answer:.10g}", question.because)
    says = f"{question.name}: {question.says}"
    return Finding(question.name, says, "passed" if holds else "failed", told, _line(question.name, file))


def _line(name: str, file: Submission) -> int:
    """The line in which the answer stands."""
    return next((number for number, text in enumerate(file.lines, 1) if text.split("=")[0].strip() == name), 0)
