"""Markdown becomes text that reads well aloud."""

from __future__ import annotations

import pytest

from lbtutor.course.prose import plain


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("A *host* and **two waiters** stand __there__.", "A host and two waiters stand there."),
        ("The key `fall` is 3.", 'The key "fall" is 3.'),
        ("2*3*4 stays, and so does snake_case_name.", "2*3*4 stays, and so does snake_case_name."),
        ("See [the page](https://example.org/a).", "See the page (https://example.org/a)."),
        ("### A heading", "A heading"),
        ("> said\n> somebody", "  said somebody"),
    ],
)
def test_marks_are_dropped_and_their_meaning_kept(markdown: str, text: str) -> None:
    assert plain(markdown) == [text]


def test_paragraphs_are_filled_to_the_width() -> None:
    assert plain("one two\nthree four five", 14) == ["one two three", "four five"]


def test_list_items_hang_under_their_mark_without_gaps() -> None:
    assert plain("Now:\n\n- one two three\n- four\n10. five six seven", 11) == [
        "Now:",
        "",
        "- one two",
        "  three",
        "- four",
        "10. five",
        "    six",
        "    seven",
    ]


def test_code_keeps_its_lines_and_marks() -> None:
    assert plain("Before\n```\n *a*  b\n\n# c\n```\nafter", 5) == [
        "Before",
        "",
        "     *a*  b",
        "    ",
        "    # c",
        "",
        "after",
    ]


def test_a_quote_and_the_paragraph_before_it_are_two_things() -> None:
    assert plain("He\n> spoke") == ["He", "", "  spoke"]


def test_a_word_longer_than_the_width_is_not_torn() -> None:
    assert plain("a https://example.org/long b", 10) == ["a", "https://example.org/long", "b"]
