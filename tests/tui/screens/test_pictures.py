"""Whole screens as text, compared with those that somebody has looked at and accepted.

After a change that is meant: `LBTUTOR_ACCEPT=1 pytest tests/tui/screens/test_pictures.py`, and look at the difference.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from lbtutor.tui.app import LbtutorApp
from lbtutor.tui.screens.lesson import LessonScreen

pytestmark = pytest.mark.slow

PICTURES = Path(__file__).parent / "pictures"
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])

Keys = Pilot[None]
Play = Callable[..., LbtutorApp]
Until = Callable[[Keys, Callable[[], object]], Awaitable[None]]


def drawn(app: LbtutorApp) -> str:
    lines = ["".join(segment.text for segment in line).rstrip() for line in app.screen._compositor.render_strips()]
    return "\n".join(lines) + "\n"


def file_of(app: LbtutorApp, name: str) -> Path:
    return PICTURES / f"{name}-{app.size.width}x{app.size.height}.txt"


def accept(app: LbtutorApp, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    file_of(app, name).write_text(drawn(app), encoding="utf-8")


@SIZES
@pytest.mark.parametrize(
    ("name", "keys"), [("predict", ()), ("stage", ("l",)), ("why", ("w",)), ("help", ("question_mark",))]
)
def test_it_looks_as_accepted(
    play: Play, until: Until, size: tuple[int, int], name: str, keys: tuple[str, ...]
) -> None:
    async def script(pilot: Keys, screen: LessonScreen) -> None:
        app = pilot.app
        assert isinstance(app, LbtutorApp)
        await until(pilot, lambda: len(screen.stage.backends()) == 4)
        await pilot.press(*keys)
        if os.environ.get("LBTUTOR_ACCEPT"):
            await pilot.pause(1.0)
            accept(app, name)
        await until(pilot, lambda: drawn(app) == file_of(app, name).read_text(encoding="utf-8"))

    play(script, size)
