"""The table of keys: nothing in it is bound twice, and everything in it does something."""

from __future__ import annotations

from collections import Counter

from lbtutor.tui.glyphs import ASCII
from lbtutor.tui.keymap import VITAL, bindings, rows
from lbtutor.tui.screens.help import help_text
from lbtutor.tui.screens.lesson import LessonScreen


def test_no_key_is_bound_twice() -> None:
    keys = Counter(key for binding in bindings() for key in binding.key.split(","))
    assert [key for key, times in keys.items() if times > 1] == []


def test_every_binding_has_an_id_of_its_own() -> None:
    ids = [binding.id for binding in bindings()]
    assert None not in ids
    assert len(set(ids)) == len(ids)


def test_every_key_does_something_on_the_lesson_screen() -> None:
    actions = {binding.action.partition("(")[0] for binding in bindings()}
    assert [action for action in actions if not hasattr(LessonScreen, f"action_{action}")] == []


def test_numbers_and_answers_are_whole_families() -> None:
    by_id = {binding.id: binding for binding in bindings()}
    assert [by_id[f"server.{n}"].action for n in range(1, 10)] == [f"crash({n})" for n in range(1, 10)]
    assert [by_id[f"answer.{letter}"].action for letter in "abcd"] == [f"answer('{letter}')" for letter in "abcd"]


def test_small_letters_that_answer_do_nothing_else() -> None:
    assert {binding.key for binding in bindings() if binding.action.startswith("answer")} == set("abcd")


def test_the_key_bar_shows_rows_of_the_table() -> None:
    assert set(VITAL) <= {row.id for row in rows()}


def test_help_tells_every_row() -> None:
    text = help_text(ASCII).plain
    for row in rows():
        assert f"{row.shown:<7}{row.says}" in text


def test_nothing_needs_a_key_that_terminals_and_browsers_keep_for_themselves() -> None:
    keys = {key for binding in bindings() for key in binding.key.split(",")}
    assert not keys & {"ctrl+c", "ctrl+w", "ctrl+t", "ctrl+n", "ctrl+p", "ctrl+q", "f5", "f10", "f11", "ctrl+enter"}
