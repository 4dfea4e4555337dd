"""The record of progress: plain data that a person can read, edit, commit and merge.

    {
      "format": 1,
      "lessons": {
        "round-robin": {
          "answers": {
            "request-seven": [{"at": "2026-01-02T10:00:00.000+00:00", "choice": "srv-3", "right": true}]
          },
          "steps": {"turns": "2026-01-02T10:01:00.000+00:00"}
        }
      },
      "resume": {"at": "2026-01-02T10:01:00.000+00:00", "lesson": "round-robin", "step": "even"},
      "exercises": {
        "least-connections": {
          "started": "2026-01-02T11:00:00.000+00:00",
          "tried": {"at": "2026-01-02T11:09:00.000+00:00", "outcome": "pass"},
          "passed": "2026-01-02T11:09:00.000+00:00",
          "hints": {"1": "2026-01-02T11:05:00.000+00:00"}
        }
      },
      "work": {"at": "2026-01-02T11:09:00.000+00:00", "exercise": "least-connections", "folder": "/home/me/exercises"}
    }

Nothing in it is counted up. Answers are a set that grows, a step has the time when it was last done, what can be done
only once (to pass, to see a hint) has the time when it first was, and a reset is a time up to which nothing counts; but
what was passed stays passed. So two copies are merged by uniting them, in any order, as often as one likes: put one
behind the other in one file (`cat`), or let git merge them, conflict marks and all. What a record holds beyond this is
kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lbtutor.core import ConfigError, Seconds

FORMAT = 1

Table = dict[str, Any]

_Time = Annotated[datetime, Meta(tz=True)]


class _Answer(Struct):
    at: _Time
    choice: str
    right: bool
    misconception: str | None = None
    returns_after: str | None = None

    def __post_init__(self) -> None:
        if self.returns_after is not None:
            Seconds.parse(self.returns_after)


class _Lesson(Struct):
    answers: dict[str, list[_Answer]] = {}
    steps: dict[str, _Time] = {}
    finished: _Time | None = None
    reset: _Time | None = None


class _Place(Struct):
    at: _Time
    lesson: str
    step: str


class _Try(Struct):
    at: _Time
    outcome: str


class _Exercise(Struct):
    started: _Time | None = None
    tried: _Try | None = None
    passed: _Time | None = None
    hints: dict[str, _Time] = {}
    revealed: _Time | None = None
    reset: _Time | None = None


class _Work(Struct):
    at: _Time
    exercise: str
    folder: str


class _Record(Struct):
    """The shape; keys beyond these are allowed, and kept."""

    lessons: dict[str, _Lesson] = {}
    resume: _Place | None = None
    exercises: dict[str, _Exercise] = {}
    work: _Work | None = None


class NewerFormat(Exception):
    """The record was written by a newer lbtutor, in a format that this one does not know."""


def read_record(content: bytes) -> Table:
    """The record in a file's content; raises `ConfigError` when it is not one, `NewerFormat` when it is too new.

    Several records in one file, one after the other or as git leaves two that it could not merge, are one record.
    """
    try:
        told = [raw for side in _sides(content.decode("utf-8")) for raw in _documents(side)]
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}") from None
    return reduce(united, map(_checked, told))


def _checked(raw: Any) -> Table:  # noqa: ANN401  whatever JSON had
    if not isinstance(raw, dict) or type(raw.get("format")) is not int:
        raise ConfigError("not a record of progress: it names no format")
    if raw["format"] > FORMAT:
        raise NewerFormat(f"format {raw['format']}")
    try:
        msgspec.convert(raw, _Record)
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a record of progress: {error}") from None
    return raw


def _sides(text: str) -> list[str]:
    """The text; or ours and theirs, where git has left both between its marks."""
    if not any(line.startswith("<<<<<<< ") for line in text.splitlines()):
        return [text]
    sides: tuple[list[str], list[str]] = ([], [])
    of: tuple[int, ...] = (0, 1)
    for line in text.splitlines():
        mark = line[:7]
        if mark not in _OF_MARK:
            for side in of:
                sides[side].append(line)
        else:
            of = _OF_MARK[mark]
    return ["\n".join(side) for side in sides]


_OF_MARK: dict[str, tuple[int, ...]] = {"<<<<<<<": (0,), "|||||||": (), "=======": (1,), ">>>>>>>": (0, 1)}
"""Whose lines follow a mark of git: ours, nobody's (what both began with), theirs, everybody's."""


def _documents(text: str) -> Iterator[Any]:
    """One JSON document after the other, at least one. Raises `ValueError`."""
    reader, at = json.JSONDecoder(), 0
    text = text.strip()
    while not at or at < len(text):
        document, at = reader.raw_decode(text, at)
        yield document
        at += len(text[at:]) - len(text[at:].lstrip())


def united(mine: Table, theirs: Table) -> Table:
    """Both records in one. Only for keys that are not ours does the order matter: theirs win."""
    both: Table = {**mine, **theirs, "format": FORMAT, "lessons": _united_by_name("lessons", mine, theirs)}
    both["resume"] = _latest([record.get("resume") for record in (mine, theirs)])
    if "exercises" in both:
        both["exercises"] = _united_by_name("exercises", mine, theirs)
    if "work" in both:
        both["work"] = _latest([record.get("work") for record in (mine, theirs)])
    return both


def counts(at: str, worked_on: Table) -> bool:
    """Whether something of that time is later than the reset of the lesson or exercise."""
    return not worked_on.get("reset") or when(at) > when(worked_on["reset"])


def stamp(now: datetime) -> str:
    """A time as records write it: UTC, to the millisecond."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds")


def when(text: str) -> datetime:
    """The time that `stamp` wrote, or a hand."""
    return datetime.fromisoformat(text)


def _united_by_name(kind: str, mine: Table, theirs: Table) -> Table:
    ours, others = mine.get(kind, {}), theirs.get(kind, {})
    return {name: _UNITED[kind](ours.get(name, {}), others.get(name, {})) for name in {**ours, **others}}


def _latest(notes: Sequence[Table | None]) -> Table | None:
    """The latest of some notes with an `at`; of two that are equally late, the same one in any order."""
    return max(filter(None, notes), key=lambda note: (when(note["at"]), json.dumps(note, sort_keys=True)), default=None)


def _united_lesson(mine: Table, theirs: Table) -> Table:
    both = {**mine, **theirs}
    if resets := [lesson["reset"] for lesson in (mine, theirs) if lesson.get("reset")]:
        both["reset"] = max(resets, key=when)
    finished = [at for lesson in (mine, theirs) if (at := lesson.get("finished")) and counts(at, both)]
    both["finished"] = max(finished, key=when, default=None)
    steps = [(step, at) for lesson in (mine, theirs) for step, at in lesson.get("steps", {}).items()]
    both["steps"] = {step: at for step, at in sorted(steps, key=lambda done: when(done[1])) if counts(at, both)}
    both["answers"] = {
        question: answers
        for question in {**mine.get("answers", {}), **theirs.get("answers", {})}
        if (answers := _united_answers(question, mine, theirs, both))
    }
    return {key: value for key, value in both.items() if value not in (None, {})}


def _united_answers(question: str, mine: Table, theirs: Table, both: Table) -> list[Table]:
    """Every answer once, oldest first, without those that a reset wiped away."""
    told = [answer for lesson in (mine, theirs) for answer in lesson.get("answers", {}).get(question, [])]
    once = {json.dumps(answer, sort_keys=True): answer for answer in told if counts(answer["at"], both)}
    return [answer for _, answer in sorted(once.items(), key=lambda told: (when(told[1]["at"]), told[0]))]


def _united_exercise(mine: Table, theirs: Table) -> Table:
    both = {**mine, **theirs}
    for once, choose in (("started", min), ("passed", min), ("revealed", min), ("reset", max)):
        times = [at for exercise in (mine, theirs) if (at := exercise.get(once))]
        both[once] = choose(times, key=when, default=None)
    tried = _latest([exercise.get("tried") for exercise in (mine, theirs)])
    both["tried"] = tried if tried and counts(tried["at"], both) else None
    hints = [(hint, at) for exercise in (mine, theirs) for hint, at in exercise.get("hints", {}).items()]
    first_seen = sorted(hints, key=lambda seen: when(seen[1]), reverse=True)
    both["hints"] = {hint: at for hint, at in first_seen if counts(at, both)}
    return {key: value for key, value in both.items() if value not in (None, {})}


_UNITED = {"lessons": _united_lesson, "exercises": _united_exercise}
