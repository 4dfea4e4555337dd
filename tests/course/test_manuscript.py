"""Taking a lesson file apart: what belongs to which step, and on which line."""

from __future__ import annotations

import pytest

from lbtutor.core import ConfigError
from lbtutor.course.manuscript import take_apart, toml_at

HEAD = "+++\ntitle = 1\n+++\n"


def test_a_step_is_a_heading_a_block_and_text() -> None:
    manuscript = take_apart(HEAD + "\n## One\n\n```step\nid = 1\n```\n\nText.\n\nMore.\n\n## Two\n", "x.md")
    one, two = manuscript.sections
    assert (one.title, one.line, one.block, one.block_line, one.text) == ("One", 5, "id = 1", 8, "Text.\n\nMore.")
    assert (two.title, two.block) == ("Two", None)
    assert (manuscript.head, manuscript.stray) == ("title = 1", None)


def test_a_heading_inside_a_fence_is_code() -> None:
    body = "## One\n```step\nid = 1\n```\n````\n```\n## not a step\n````\n~~~\n## nor this\n~~~\n"
    (one,) = take_apart(HEAD + body, "x.md").sections
    assert "## not a step" in one.text
    assert "## nor this" in one.text


def test_a_heading_of_the_third_level_is_text() -> None:
    (one,) = take_apart(HEAD + "## One\n```step\n```\n### Aside\n", "x.md").sections
    assert one.text == "### Aside"


def test_a_block_of_another_kind_is_no_step_block() -> None:
    (one,) = take_apart(HEAD + "## One\n```toml\nid = 1\n```\n", "x.md").sections
    assert one.block is None


def test_lines_may_end_as_they_do_on_windows() -> None:
    (one,) = take_apart((HEAD + "## One\n```step\nid = 1\n```\nText.\n").replace("\n", "\r\n"), "x.md").sections
    assert (one.block, one.text) == ("id = 1", "Text.")


def test_a_block_keeps_the_line_numbers_of_its_file() -> None:
    assert toml_at("id = 1", 4).splitlines()[3] == "id = 1"


@pytest.mark.parametrize("fence", ["```", "~~~"])
def test_a_fence_that_is_not_closed_is_told_by_the_line_where_it_begins(fence: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.md:5: the block that begins here is never closed"):
        take_apart(HEAD + f"## One\n{fence}\ncode\n", "x.md")
