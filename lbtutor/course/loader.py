"""From a folder to a `Lesson`, with errors that an author can act on.

    lessons/03-round-robin/
      lesson.md          a head, then one section a step (see `steps`)
      questions.toml     the questions that the steps ask (see `questions`)
      scenes/*.toml      scenario files, by name

`examine(folder)` reads everything and answers the lesson (None when it cannot be used) with all that is wrong in it,
each complaint with file, line and what would be accepted. `load(folder)` is for those who only want the lesson.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from lbtutor.core import ConfigError
from lbtutor.course.lesson import Lesson, Misconception, Question
from lbtutor.course.manuscript import Section, read_text, take_apart, toml_at
from lbtutor.course.prose import COLUMN, plain
from lbtutor.course.questions import read_misconceptions, read_questions
from lbtutor.course.steps import StepReader
from lbtutor.labs.library import library_folder
from lbtutor.labs.reading import read_toml
from lbtutor.labs.scenario import Scenario, load_scenario

MOST_ROWS = 30
"""Rows of a step's text beside the stage before it must be scrolled."""

_FOLDER = re.compile(r"(\d+)-([a-z0-9]+(?:-[a-z0-9]+)*)")


class HeadSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """The head of lesson.md, key for key; see `Lesson`."""

    title: str
    section: str
    minutes: int
    summary: str
    words: dict[str, str] = field(default_factory=dict)


class Examined(Struct, frozen=True):
    """What came of reading a folder: the lesson, unless there are `complaints`; `warnings` hinder nobody."""

    lesson: Lesson | None
    complaints: tuple[str, ...]
    warnings: tuple[str, ...]


def load(folder: Path) -> Lesson:
    """The lesson in this folder; raises one `ConfigError` with a line for each thing that is wrong."""
    examined = examine(folder)
    if examined.lesson is None:
        raise ConfigError("\n".join(examined.complaints))
    return examined.lesson


def examine(folder: Path) -> Examined:
    """Read and check everything in the folder; raises nothing for what an author wrote."""
    complaints: list[str] = []
    warnings: list[str] = []
    try:
        lesson = _read_lesson(folder, complaints, warnings)
    except ConfigError as error:
        complaints.append(str(error))
        return Examined(None, tuple(complaints), tuple(warnings))
    return Examined(None if complaints else lesson, tuple(complaints), tuple(warnings))


def read_head(folder: Path) -> tuple[int, str, HeadSpec]:
    """Number, id and head of a lesson, understanding no more of it; raises `ConfigError`."""
    named = _FOLDER.fullmatch(folder.name)
    if named is None:
        raise ConfigError(f"{folder}: a lesson's folder is named by its number and id, such as 03-round-robin")
    text, source = read_text(folder / "lesson.md")
    return int(named[1]), named[2], read_toml(toml_at(take_apart(text, source).head, 2), source, HeadSpec)


def misconceptions_for(folder: Path) -> dict[str, Misconception]:
    """The shipped catalogue, and the one beside this lesson when it lies elsewhere; raises `ConfigError`."""
    shipped = read_misconceptions(library_folder("lessons") / "misconceptions.toml")
    return {**shipped, **read_misconceptions(folder.parent / "misconceptions.toml")}


def _read_lesson(folder: Path, complaints: list[str], warnings: list[str]) -> Lesson:
    number, name, head = read_head(folder)
    text, source = read_text(folder / "lesson.md")
    manuscript = take_apart(text, source)
    scenes = dict(_read_scenes(folder / "scenes", complaints))
    questions = _read_questions(folder, complaints)
    if manuscript.stray is not None:
        complaints.append(f"{source}:{manuscript.stray}: this text belongs to no step; a step begins with `## Title`")
    if not manuscript.sections:
        complaints.append(f"{source}: there is no step; a step begins with `## Title`")
    reader = StepReader(source, scenes, questions)
    for section in manuscript.sections:
        reader.read(section)
        warnings += _too_long(section, source)
    complaints += reader.complaints
    warnings += (
        f"{folder / 'questions.toml'}: no step asks `{asked}`" for asked in questions if asked not in reader.asked
    )
    return Lesson(
        name,
        number,
        head.title,
        head.section,
        head.summary,
        head.minutes,
        head.words,
        tuple(reader.steps),
        scenes,
        folder,
    )


def _read_scenes(folder: Path, complaints: list[str]) -> Iterator[tuple[str, Scenario]]:
    for path in sorted(folder.glob("*.toml")):
        try:
            yield path.stem, load_scenario(path)
        except ConfigError as error:
            complaints.append(str(error))


def _read_questions(folder: Path, complaints: list[str]) -> dict[str, Question]:
    path = folder / "questions.toml"
    if not path.is_file():
        return {}
    try:
        questions, wrong = read_questions(*read_text(path), misconceptions_for(folder))
    except ConfigError as error:
        complaints.append(str(error))
        return {}
    complaints += wrong
    return questions


def _too_long(section: Section, source: str) -> Iterator[str]:
    """Text that does not fit beside the stage on an 80x24 terminal."""
    rows = plain(section.text, COLUMN)
    if len(rows) > MOST_ROWS:
        yield (
            f"{source}:{section.line}: the text of {section.title!r} takes {len(rows)} rows of {COLUMN} columns; "
            f"what is beyond {MOST_ROWS} must be scrolled"
        )
    for row in rows:
        if len(row) > COLUMN:
            yield f"{source}:{section.line}: wider than {COLUMN} columns, so it will be cut: {row.strip()!r}"
