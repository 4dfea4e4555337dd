"""A small lesson on fast, real traffic, and a way to play it by keys without a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from lbtutor.core import HealthCheck, Seconds, Service, Traffic
from lbtutor.course.goals import Decided, FailedOver, HealthyAgain, Struck
from lbtutor.course.lesson import Choice, Goal, Lesson, Question, Step, Task
from lbtutor.course.progress import Progress
from lbtutor.labs.scenario import BackendSpec, PoolSpec, Scenario
from lbtutor.tui.app import LbtutorApp
from lbtutor.tui.screens.lesson import LessonScreen

_MOST_PUMPS = 3000


def _question(name: str, returns: bool = False) -> Question:
    return Question(
        id=name,
        ask=f"What about {name}?",
        choices=(
            Choice("a", "wrong so", right=False, because="It is not.", misconception="M01"),
            Choice("b", "right so", right=True, because="It is."),
            Choice("c", "wrong as well", right=False, because="Nor this."),
            Choice("d", "neither", right=False, because="One is."),
        ),
        then="Look again.",
        returns_after=Seconds(60) if returns else None,
    )


def _scene(lasts: float = 600) -> Scenario:
    servers = tuple(BackendSpec(f"srv-{n}", service=Service("constant", 0.02)) for n in range(1, 5))
    check = HealthCheck(interval=Seconds(0.2), timeout=Seconds(0.1), rise=2, fall=3)
    return Scenario(
        title="Fast",
        pool={"web": PoolSpec(backends=servers, health=check)},
        traffic=(Traffic(to="front", rate=40, arrivals="steady"),),
        lasts=Seconds(lasts),
    )


STEPS = (
    Step(
        "guess",
        "Guess first",
        "predict",
        "Text of *guess*.",
        scene="fast",
        question=_question("guess"),
        task=Task("Wait for request 3.", (Goal("request 3 has its server", Decided(3)),)),
    ),
    Step("look", "Look", "observe", "Text of look.", question=_question("look", returns=True)),
    Step(
        "crash",
        "Crash it",
        "task",
        "Text of crash.",
        task=Task(
            "Crash srv-2.",
            (
                Goal("srv-2 has crashed", Struck("crash", "web/srv-2")),
                Goal("traffic has failed over", FailedOver("web/srv-2", 8)),
            ),
        ),
    ),
    Step(
        "heal", "Heal it", "task", "Text of heal.", task=Task("Heal srv-2.", (Goal("back", HealthyAgain("web/srv-2")),))
    ),
    Step("short", "A short scene", "run", "Text of short.", scene="short"),
    Step("other", "Another host", "change", "Long text.\n\n" * 40, scene="fast", algorithm="least_connections"),
)


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    """Six steps over two scenes; 40 requests a second, probes every 0.2 s."""
    return Lesson(
        id="small",
        number=1,
        title="Small",
        section="Test",
        summary="A small lesson.",
        minutes=1,
        words={},
        steps=STEPS,
        scenes={"fast": _scene(), "short": _scene(lasts=0.5)},
        folder=tmp_path,
    )


Script = Callable[[Pilot[None], LessonScreen], Awaitable[None]]
Play = Callable[..., LbtutorApp]
Until = Callable[[Pilot[None], Callable[[], object]], Awaitable[None]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for progress; no settings of the person who runs the tests."""
    folder = tmp_path / "state"
    monkeypatch.setenv("LBTUTOR_STATE", str(folder))
    for name in ("LBTUTOR_MOTION", "LBTUTOR_GLYPHS", "TEXTUAL_ANIMATIONS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LBTUTOR_GLYPHS", "unicode")
    return folder


class Hands(Pilot[None]):
    """Presses keys beside real traffic.

    Textual's pilot waits after each key until the process is idle. With traffic on the stage it never is, and each key
    would cost seconds; here a key has done its work when all message queues have been worked off three times: the
    app's (which hands it to the screen), the screen's (which acts), and those of the widgets (which show it).
    """

    async def press(self, *keys: str) -> None:
        for key in keys:
            await super().press(key)
            for _ in range(3):
                await self._wait_for_screen()


async def _give_way(min_sleep: float = 0.0, max_sleep: float = 0.0) -> None:
    await asyncio.sleep(0.001)


@pytest.fixture
def play(lesson: Lesson, state: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run a script against the lesson in a terminal of that size; answers the app, which has ended by then."""
    monkeypatch.setattr("textual.app.wait_for_idle", _give_way)

    def play_(script: Script, size: tuple[int, int] = (120, 40), step: str | None = None) -> LbtutorApp:
        app = LbtutorApp(lesson, Progress.load(), step=step)

        async def go() -> None:
            async with app.run_test(size=size):
                (screen,) = (screen for screen in app.screen_stack if isinstance(screen, LessonScreen))
                await script(Hands(app), screen)

        asyncio.run(go())
        return app

    return play_


@pytest.fixture
def until() -> Until:
    """Let the program work until a condition holds; fails when it never does."""

    async def until_(pilot: Pilot[None], condition: Callable[[], object]) -> None:
        for _ in range(_MOST_PUMPS):
            if condition():
                return
            await pilot.pause(0.01)
        raise AssertionError("what was waited for never came true")

    return until_
