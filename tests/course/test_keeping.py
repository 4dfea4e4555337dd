"""Keeping a small file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lbtutor.course.keeping import replace_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for text in ("one", "two"):
        replace_whole(tmp_path / "file", text)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("file", "two")]


def test_one_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: Path) -> None:
        raise OSError("no")

    replace_whole(tmp_path / "file", "one")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        replace_whole(tmp_path / "file", "two")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("file", "one")]
