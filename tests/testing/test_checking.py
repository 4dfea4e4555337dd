"""`check` on a class that is here, and the error that tells its story."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from typing import Any

import pytest

from lbtutor.core.errors import ConfigError
from lbtutor.testing import assert_holds, check
from lbtutor.testing.sandbox import BackendView, RequestView
from lbtutor.testing.sandbox.held import Held


def chooser(best: Any) -> type:
    """A class that closes over what it is given."""

    class Choosing:
        def pick(self, request: Any, backends: Any) -> Any:
            return best(backends, key=lambda backend: backend.in_flight / backend.weight)

    return Choosing


def test_a_local_class_with_a_closure_is_checked_where_it_is() -> None:
    assert check(chooser(min), "least_connections", seed=1).verdict == "passed"
    assert check(chooser(max), "least_connections", seed=1).verdict == "failed"


def test_what_does_not_hold_raises_the_story() -> None:
    with pytest.raises(AssertionError) as raised:
        assert_holds(chooser(max), "least_connections", seed=1)
    told = str(raised.value)
    assert "test_checking.py:Choosing as least_connections" in told
    assert "expected  " in told
    assert "got       " in told
    assert "request A" in told
    assert "seed=1" in told


def test_what_holds_raises_nothing_and_answers_its_report() -> None:
    assert assert_holds(chooser(min), "least_connections", seed=1).verdict == "passed"


def test_a_class_that_is_nothing_of_the_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="not recognised"):
        check(dict, "least_connections")


class Remembering:
    """Its class holds a list, and its constructor's default is another: both outlive an object."""

    seen: list[str] = []  # noqa: RUF012

    def __init__(self, turns: deque[str] | None = None, known: list[str] = []) -> None:  # noqa: B006
        self.known = known

    def pick(self, request: Any, backends: Any) -> Any:
        self.seen.append(request.client)
        self.known.append(request.client)
        return backends[(len(self.seen) + len(self.known)) % len(backends)]


def test_a_new_example_finds_the_class_as_it_was() -> None:
    pair = (BackendView(1, "a"), BackendView(2, "b"))
    answers = []
    with Held(Remembering) as room:
        for _ in range(2):
            room.fresh()
            handle = room.make("Remembering")
            answers.append([room.pick(handle, RequestView(), pair) for _ in range(3)])
            assert len(Remembering.seen) == 3
    assert answers[0] == answers[1]
    assert Remembering.seen == []


def test_the_public_names_are_all_there_and_cost_nothing_before_they_are_used() -> None:
    script = (
        "import sys, lbtutor.testing as kit\n"
        "assert not {'hypothesis', 'msgspec', 'lbtutor.core'} & set(sys.modules), 'too much'\n"
        "for name in kit.__all__: getattr(kit, name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
