"""Storms: load, and at the same time everything that can befall servers, clients and the balancer.

A storm is data, a seeded list of acts; origins (`origins`) and clients (`crowd`) keep books of their own, which are
compared with the trace (`books`). Origins and clients are callbacks on one event loop on the test's own thread; the
balancer runs on its own thread or in a process of its own. A storm comes in two sizes: the small one is in the ordinary
suite, the full one is asked for with `-m benchmark`, and both print their figures (`-s`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import uvloop

from lbtutor.live.run import LiveRun


class Holdings(NamedTuple):
    """What this process holds: file descriptors by what they are, and memory in bytes."""

    descriptors: Counter[str]
    resident: int


@contextmanager
def running(run: LiveRun) -> Iterator[LiveRun]:
    """Start a run, and stop it whatever happens; what went wrong inside it is raised."""
    run.start()
    try:
        yield run
    finally:
        run.stop()


def _holdings(process: int | Literal["self"] = "self") -> Holdings:
    gc.collect()
    descriptors: Counter[str] = Counter()
    folder = Path(f"/proc/{process}/fd")
    for entry in list(folder.iterdir()):
        with suppress(FileNotFoundError):  # the one through which the folder is read
            descriptors[re.sub(r"[^a-z]+\d.*", "", str(entry.readlink()))] += 1
    return Holdings(
        descriptors, int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    )


@pytest.fixture
def holdings() -> Callable[..., Holdings]:
    """What a process holds, this one or another."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    return _holdings


@pytest.fixture
def play() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on a loop of its own, as fast as the balancer's."""

    def run(story: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(story)

    return run
