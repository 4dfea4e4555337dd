"""Noticing that a file was changed, in whatever way an editor or a deployment does that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lbtutor.labs.watch import FileWatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "front.toml"
    path.write_text("one")
    return path


def looks(watch: FileWatch, times: int = 4) -> list[bool]:
    return [watch.changed() for _ in range(times)]


def test_nothing_changed_is_no_change(file: Path) -> None:
    assert looks(FileWatch([file])) == [False] * 4


def test_a_file_that_was_written_is_noticed_once_when_it_has_come_to_rest(file: Path) -> None:
    watch = FileWatch([file])
    file.write_text("two!")
    assert looks(watch) == [False, True, False, False]


def test_a_file_that_is_still_being_written_is_waited_for(file: Path) -> None:
    watch = FileWatch([file])
    seen = []
    for count in range(5):
        file.write_text("x" * (10 + count))
        seen += looks(watch, 1)
    assert seen == [False] * 5
    assert looks(watch, 2) == [True, False]


def test_another_file_renamed_over_it_is_noticed_though_size_and_time_are_the_same(file: Path, tmp_path: Path) -> None:
    watch = FileWatch([file])
    fresh = tmp_path / "fresh"
    fresh.write_text("two")
    about = file.stat()
    os.utime(fresh, ns=(about.st_atime_ns, about.st_mtime_ns))
    fresh.replace(file)
    assert looks(watch, 2) == [False, True]


def test_a_file_that_goes_and_comes_back_is_noticed_both_times(file: Path) -> None:
    watch = FileWatch([file])
    file.unlink()
    assert looks(watch, 3) == [False, True, False]
    file.write_text("back")
    assert looks(watch, 3) == [False, True, False]


def test_what_was_undone_before_it_came_to_rest_is_no_change(file: Path, tmp_path: Path) -> None:
    watch = FileWatch([file])
    aside = tmp_path / "aside"
    file.rename(aside)
    assert not watch.changed()
    aside.rename(file)
    assert looks(watch) == [False] * 4


def test_a_change_between_reading_and_following_is_not_lost(file: Path) -> None:
    watch = FileWatch([file])
    before = watch.look()
    file.write_text("written while it was read")
    watch.follow([file], before)
    assert looks(watch, 2) == [False, True]


def test_files_that_came_with_a_reload_are_watched_from_then_on(file: Path, tmp_path: Path) -> None:
    watch, certificate = FileWatch([file]), tmp_path / "cert.pem"
    certificate.write_text("old")
    watch.follow([file, certificate], watch.look())
    certificate.write_text("new one")
    assert looks(watch, 2) == [False, True]
