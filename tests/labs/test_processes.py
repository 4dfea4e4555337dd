"""The same work for many at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from lbtutor.core import EnvironmentFault
from lbtutor.labs.processes import at_once, cores

WORK = """
import os, signal

def square(job, tell):
    tell(0.5)
    return job * job, os.getpid()

def backwards(job, tell):  # the first one is ready last
    return sum(range((5 - job) * 500_000)) and job

def refuse(job, tell):
    raise ValueError(f"not {job}")

def die(job, tell):
    os.kill(os.getpid(), signal.SIGKILL)

def hear(job, tell):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())

def forever(job, tell):
    if job == 0:
        tell(1.0)
        return "done"
    while True:
        tell(0.5)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module that other processes can import: they look where this one looks."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "work_at_once.py").write_text(WORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import work_at_once  # type: ignore[import-not-found]

        yield work_at_once
        del sys.modules["work_at_once"]


@pytest.mark.slow
def test_what_comes_back_is_in_the_order_of_the_jobs_whoever_is_ready_first(work: ModuleType) -> None:
    assert at_once(work.backwards, range(5)) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_work_is_done_elsewhere_in_no_more_processes_than_there_are_cores(work: ModuleType) -> None:
    shares: list[float] = []
    done = at_once(work.square, range(8), shares.append)
    assert [result[0] for result in done if result] == [number * number for number in range(8)]
    processes = {result[1] for result in done if result}
    assert os.getpid() not in processes
    assert len(processes) <= cores()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.slow
def test_what_work_raises_is_raised_here(work: ModuleType) -> None:
    with pytest.raises(ValueError, match="not 7"):
        at_once(work.refuse, [7])


@pytest.mark.slow
def test_a_process_that_was_killed_is_a_fault_of_the_environment(work: ModuleType) -> None:
    with pytest.raises(EnvironmentFault, match="killed"):
        at_once(work.die, [1])


@pytest.mark.slow
def test_those_who_work_do_not_hear_ctrl_c_themselves(work: ModuleType) -> None:
    assert at_once(work.hear, [1]) == [True]


@pytest.mark.slow
def test_an_interruption_keeps_what_is_done_and_stops_what_is_not(work: ModuleType) -> None:
    looks = 0

    def interrupt(share: float) -> None:
        nonlocal looks
        looks += 0.375 <= share < 1  # the first one has been ready since the look before, the second is under way
        if looks == 2:
            looks += 1
            raise KeyboardInterrupt

    done = at_once(work.forever, [0, 1, 1, 1], interrupt)
    assert done[0] == "done"
    assert done[1:] == [None, None, None]


def test_there_is_a_core_to_work_on() -> None:
    assert cores() >= 1
