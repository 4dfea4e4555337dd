"""A small lesson that a test can write to disk, whole or with one thing wrong, and hands to play it with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbtutor.core.events import (
    Arrived,
    Event,
    FaultKind,
    Finished,
    Health,
    HealthChanged,
    OriginChanged,
    Picked,
    Probed,
    Why,
)

LESSON = """\
+++
title = "Small"
section = "Nothing"
minutes = 1
summary = "A lesson for tests."

[words]
turn = "what everybody gets"
+++

## First

```step
id = "first"
kind = "predict"
scene = "pair"
question = "whose"

[task]
says = "Let three requests come."
goals = [{ says = "three requests came", decided = 3 }]
```

Some *text*.

## Second

```step
id = "second"
kind = "task"

[task]
says = "Crash a."
goals = [
  { says = "a crashed", fault = "crash", backend = "web/a" },
  { says = "traffic failed over", failed_over = "web/a", requests = 2 },
]
rehearse = [{ at = "2s", crash = { backend = "web/a" } }]
```

More text.

## Third

```step
id = "third"
kind = "recall"
question = "later"
```

The end.
"""

QUESTIONS = """\
[whose]
ask = "Whose turn is the third?"
then = "Count."

[[whose.choices]]
text = "a's"
right = true
because = "Two make a round."

[[whose.choices]]
text = "b's"
because = "b had the second."
misconception = "X01"

[later]
ask = "And the fifth?"
then = "Count again."
returns_after = "24h"

[[later.choices]]
text = "b's"
because = "That is the sixth."

[[later.choices]]
text = "a's"
right = true
because = "Five is odd."
"""

SCENE = """\
title = "A pair"
lasts = "30s"

[pool.web]
algorithm = "round_robin"
health = { interval = "1s", timeout = "500ms", fall = 2, rise = 2 }

[[pool.web.backends]]
name = "a"

[[pool.web.backends]]
name = "b"

[[traffic]]
to = "front"
rate = 2
arrivals = "steady"
"""

MISCONCEPTIONS = """\
[X01]
belief = "Turns may be skipped."
truth = "They are not."
"""

WriteLesson = Callable[..., Path]


@pytest.fixture
def write_lesson(tmp_path: Path) -> WriteLesson:
    """Write the small lesson, with `(file, old, new)` changes, and answer its folder."""

    def write(*changes: tuple[str, str, str], name: str = "01-small") -> Path:
        folder = tmp_path / "lessons" / name
        files = {"lesson.md": LESSON, "questions.toml": QUESTIONS, "scenes/pair.toml": SCENE}
        for file, old, new in changes:
            assert old in files[file], f"{file} holds no {old!r}"
            files[file] = files[file].replace(old, new)
        (folder / "scenes").mkdir(parents=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder.parent / "misconceptions.toml").write_text(MISCONCEPTIONS, encoding="utf-8")
        return folder

    return write


class Clock:
    """A clock that moves a second at each look, so that no two things happen at once."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Trace:
    """Makes events of pool `web`, in order, numbering requests from 1."""

    def __init__(self) -> None:
        self.at = 0.0
        self.requests = 0

    def arrived(self) -> Event:
        self.requests += 1
        self.at += 1
        return Arrived(self.at, self.requests, "127.0.1.1", "GET", "", "/", "front")

    def picked(self, backend: str, request: int | None = None, attempt: int = 1) -> Event:
        request = self.requests if request is None else request
        return Picked(self.at, request, attempt, "web", backend, "algorithm", Why("", "lowest", "", ()))

    def finished(self, backend: str, request: int | None = None, *, ok: bool = True, final: bool = True) -> Event:
        request = self.requests if request is None else request
        return Finished(self.at, request, 1, "web", backend, "answered 200", 200 if ok else 502, 0.1, ok, final)

    def request(self, backend: str, *, ok: bool = True) -> list[Event]:
        return [self.arrived(), self.picked(backend), self.finished(backend, ok=ok)]

    def befell(self, backend: str, fault: FaultKind) -> Event:
        return OriginChanged(self.at, "web", backend, fault, 0.0, "hand")

    def probed(self, backend: str, count: int, needed: int, *, ok: bool = False) -> Event:
        return Probed(self.at, "web", backend, ok, "", count, needed, "up" if ok else "down")

    def believed(self, backend: str, now: Health) -> Event:
        return HealthChanged(self.at, "web", backend, "up" if now == "down" else "down", now, "")


@pytest.fixture
def trace() -> Trace:
    return Trace()
