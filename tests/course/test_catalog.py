"""Which lessons there are, shipped and an author's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbtutor.core import ConfigError
from lbtutor.course.catalog import lessons, load_lesson


def test_the_round_robin_lesson_ships() -> None:
    entry = next(entry for entry in lessons() if entry.id == "round-robin")
    assert (entry.number, entry.title) == (3, "Round robin")


def test_lessons_come_in_the_order_of_their_numbers() -> None:
    numbers = [entry.number for entry in lessons()]
    assert numbers == sorted(numbers)


def test_an_author_adds_a_folder_of_lessons(write_lesson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBTUTOR_LESSONS", str(write_lesson().parent))
    assert [entry.id for entry in lessons()][:1] == ["small"]
    assert load_lesson("small").title == "Small"
    assert load_lesson("round-robin").title == "Round robin"


def test_an_authors_lesson_takes_the_place_of_a_shipped_one(write_lesson: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = write_lesson(name="09-round-robin")
    monkeypatch.setenv("LBTUTOR_LESSONS", str(folder.parent))
    assert load_lesson("round-robin").folder == folder
    assert [entry.id for entry in lessons()].count("round-robin") == 1


def test_an_unknown_lesson_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"no lesson `round-robbin`; did you mean `round-robin`\?"):
        load_lesson("round-robbin")
