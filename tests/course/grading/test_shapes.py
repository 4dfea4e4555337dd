"""Shapes: what two files have in common when names, comments and layout do not count, and for which that is told."""

from __future__ import annotations

import pytest

from lbtutor.course.grading.shapes import shape_of
from lbtutor.testing.sandbox import Submission

FILE = b"""class Turns:
    def __init__(self):
        self.place = 0
    def pick(self, request, backends):
        chosen = backends[self.place % len(backends)]
        self.place += 1
        return chosen
"""
COPIED = b'''# all my own work
class Turns :
  """Everybody has a turn."""

  def __init__(me):
    me.n = 0

  def pick(me, request, servers):
    answer = servers[me.n % len(servers)]  # whose turn?
    me.n += 1
    return answer
'''


def shape(data: bytes, *ours: bytes) -> str:
    return shape_of(Submission("turns.py", data), ours)


def test_names_comments_and_layout_do_not_count() -> None:
    assert shape(FILE) == shape(COPIED) == shape(FILE.replace(b"\n", b"\r\n")) != ""


@pytest.mark.parametrize("change", [(b"+= 1", b"+= 2"), (b"% len", b"- len"), (b"return chosen", b"return backends")])
def test_what_is_done_counts(change: tuple[bytes, bytes]) -> None:
    assert shape(FILE) != shape(FILE.replace(*change)) != ""


def test_which_name_stands_where_counts() -> None:
    assert shape(FILE) != shape(FILE.replace(b"backends[self.place", b"request[self.place"))


def test_a_file_that_says_little_of_its_own_has_no_shape() -> None:
    assert shape(FILE, FILE) == ""
    assert shape(FILE.replace(b"+= 1", b"+= 2"), FILE) == ""
    assert shape(b"class Turns: pass\n") == ""


@pytest.mark.parametrize("data", [b"class (", b"'''", b"\0" * 100, b"# coding: nothing\n" + FILE, FILE + b"#" * 70_000])
def test_what_cannot_be_read_has_no_shape(data: bytes) -> None:
    assert shape(data, FILE) == ""


def test_only_python_has_a_shape() -> None:
    assert shape_of(Submission("turns.toml", FILE)) == ""
