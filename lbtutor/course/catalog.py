"""The catalogue: which lessons there are, and each by its id.

Listing reads the head of each lesson file and nothing more, so that a start costs little. A lesson in an author's own
folder (`LBTUTOR_LESSONS`) takes the place of a shipped one with the same id, so that a change can be tried.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from lbtutor.core import ConfigError
from lbtutor.course.lesson import Lesson
from lbtutor.course.loader import load, read_head
from lbtutor.labs.library import lesson_folders
from lbtutor.labs.reading import suggest


class Entry(Struct, frozen=True):
    """One line of the catalogue; the words are those of `Lesson`."""

    id: str
    number: int
    title: str
    section: str
    summary: str
    minutes: int
    folder: Path


def lessons() -> tuple[Entry, ...]:
    """Every lesson in the order of the course; raises `ConfigError` for a head that cannot be read."""
    found = {entry.id: entry for entry in map(_entry, lesson_folders())}
    return tuple(sorted(found.values(), key=lambda entry: (entry.number, entry.id)))


def load_lesson(name: str) -> Lesson:
    """The lesson with that id; raises `ConfigError` with the nearest id, or with all that is wrong in its files."""
    folders = {entry.id: entry.folder for entry in lessons()}
    if name not in folders:
        raise ConfigError(f"there is no lesson `{name}`; {suggest(name, folders)}")
    return load(folders[name])


def _entry(folder: Path) -> Entry:
    number, name, head = read_head(folder)
    return Entry(name, number, head.title, head.section, head.summary, head.minutes, folder)
