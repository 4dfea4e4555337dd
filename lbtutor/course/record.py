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
      "resume": {"at": "2026-01-02T10:01:00.000+00:00", "lesson": "round-robin", "step": "even"}
    }

Nothing in it is counted up. Answers are a set that grows, a step has the time when it was last done, and a reset is a
time up to which nothing counts. So two copies are merged by uniting them, in any order, as often as one likes. What a
record holds beyond this is kept as it is.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
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


class _Record(Struct):
    """The shape; keys beyond these are allowed, and kept."""

    lessons: dict[str, _Lesson] = {}
    resume: _Place | None = None


class NewerFormat(Exception):
    """The record was written by a newer lbtutor, in a format that this one does not know."""


def read_record(content: bytes) -> Table:
    """The record in a file's content; raises `ConfigError` when it is not one, `NewerFormat` when it is too new."""
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}") from None
    if not isinstance(raw, dict) or type(raw.get("format")) is not int:
        raise ConfigError("not a record of progress: it names no format")
    if raw["format"] > FORMAT:
        raise NewerFormat(f"format {raw['format']}")
    try:
        msgspec.convert(raw, _Record)
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a record of progress: {error}") from None
    return raw


def united(mine: Table, theirs: Table) -> Table:
    """Both records in one. Only for keys that are not ours does the order matter: theirs win."""
    lessons = [record.get("lessons", {}) for record in (mine, theirs)]
    both: Table = {
        **mine,
        **theirs,
        "format": FORMAT,
        "lessons": {
            name: _united_lesson(*(of_one.get(name, {}) for of_one in lessons)) for name in {**lessons[0], **lessons[1]}
        },
    }
    places = [place for record in (mine, theirs) if (place := record.get("resume"))]
    both["resume"] = max(places, key=lambda place: (when(place["at"]), place["lesson"], place["step"]), default=None)
    return both


def counts(at: str, lesson: Table) -> bool:
    """Whether something of that time is later than the lesson's reset."""
    return not lesson.get("reset") or when(at) > when(lesson["reset"])


def stamp(now: datetime) -> str:
    """A time as records write it: UTC, to the millisecond."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds")


def when(text: str) -> datetime:
    """The time that `stamp` wrote, or a hand."""
    return datetime.fromisoformat(text)


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
