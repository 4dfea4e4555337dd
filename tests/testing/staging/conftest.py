"""What the tests of all stagings share: a program, played on a specimen of the zoo, and what the stage shows of it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from lbtutor.core.events import Event
from lbtutor.testing import Program
from lbtutor.testing.checking import opened
from lbtutor.testing.components import component, family
from lbtutor.testing.program import Op
from lbtutor.testing.sandbox import submission
from lbtutor.testing.sandbox.faults import Fault
from lbtutor.testing.zoo import specimens

Played = Callable[..., list[Event]]


@pytest.fixture
def played() -> Played:
    """Of `(component, code, setting, *ops)`: the events, a second a moment; `code` is a specimen or a whole file."""

    def play(of: str, code: str, setting: dict[str, Any], *ops: Op) -> list[Event]:
        found = [one for one in specimens(of) if one.name == code]
        file = found[0].file if found else submission("mine.py", code)
        kind = component(of).family
        with opened(file, of, cls=code if found else "Mine", in_process=True) as held:
            world = family(kind).world(held.room, held.target, setting)
            try:
                for number, op in enumerate(ops):
                    world.do(number, op)
            except Fault:
                pass
        staging = import_module(f"lbtutor.testing.staging.{kind}")
        return sorted(staging.events(Program(setting, ops), world.moments, 1.0, of), key=lambda event: event.at)

    return play
