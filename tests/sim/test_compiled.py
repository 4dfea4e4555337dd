"""Where machine code is kept, and what becomes of that of older versions."""

from __future__ import annotations

import os
from pathlib import Path

from lbtutor.sim.kernel.compiled import tidy

DAY = 86_400
NOW = 1_000 * DAY


def made(folder: Path, name: str, days_ago: float, *files: str) -> Path:
    """A folder of machine code that was last used so long ago."""
    inside = folder / name / "kernel_1"
    inside.mkdir(parents=True)
    for file in files or ("engine.advance-1.py311.nbi", "engine.advance-1.py311.1.nbc"):
        (inside / file).write_bytes(b"code")
    os.utime(folder / name, (NOW - days_ago * DAY, NOW - days_ago * DAY))
    return folder / name


def left(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_versions_long_unused_go_and_the_three_used_last_stay(tmp_path: Path) -> None:
    for number, days in enumerate((0, 7, 9, 30, 8)):
        made(tmp_path, f"{number:016x}", days)
    tidy(tmp_path)
    assert left(tmp_path) == {f"{number:016x}" for number in (0, 1, 4)}


def test_whoever_works_with_many_versions_today_keeps_them(tmp_path: Path) -> None:
    for number in range(6):
        made(tmp_path, f"{number:016x}", number / 10)
    tidy(tmp_path)
    assert len(left(tmp_path)) == 6


def test_nothing_that_is_not_ours_is_touched(tmp_path: Path) -> None:
    for number in range(3):
        made(tmp_path, f"{number:016x}", 0)
    foreign = made(tmp_path, "not-a-digest", 99)
    mixed = made(tmp_path, "a" * 16, 99, "engine.advance-1.py311.nbi", "notes.txt")
    elsewhere = made(tmp_path / "elsewhere", "b" * 16, 99)
    (tmp_path / ("b" * 16)).symlink_to(elsewhere)
    linked = made(tmp_path, "c" * 16, 99)
    (linked / "kernel_1" / "more.nbi").symlink_to(elsewhere / "kernel_1" / "engine.advance-1.py311.nbi")
    (tmp_path / ("d" * 16)).write_text("a file")
    os.utime(mixed, (NOW - 99 * DAY, NOW - 99 * DAY))
    tidy(tmp_path)
    assert len(list(foreign.rglob("*.nb?"))) == 2
    assert [one.name for one in mixed.rglob("*.*")] == ["notes.txt"]
    assert len(list(elsewhere.rglob("*.nb?"))) == 2
    assert [one.name for one in linked.rglob("*.nbi")] == ["more.nbi"]
    assert {"b" * 16, "d" * 16} <= left(tmp_path)


def test_an_empty_cache_is_tidy(tmp_path: Path) -> None:
    tidy(tmp_path)
    assert left(tmp_path) == set()
