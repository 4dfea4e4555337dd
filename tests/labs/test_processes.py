"""The same work for many at once."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lbtutor.core import EnvironmentFault
from lbtutor.labs.crowd import at_once
from lbtutor.labs.processes import cores

WORK = """
import os, signal

def square(job, tell):
    tell(0.5)
    return job * job, os.getpid()

def backwards(job, tell):  # the first one is ready last
    return sum(range((5 - job) * 500_000)) and job

def refuse(job, tell):
    if job == 7:
        raise ValueError(f"not {job}")
    while True:
        tell(0.5)

def say_who(job, tell):
    print(os.getpid(), flush=True)
    forever(job, tell)

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
def test_what_work_raises_is_raised_here_and_ends_the_others(work: ModuleType) -> None:
    with pytest.raises(ValueError, match="not 7"):
        at_once(work.refuse, [7, 0, 0])


@pytest.mark.slow
def test_a_process_that_was_killed_is_a_fault_of_the_environment(work: ModuleType) -> None:
    with pytest.raises(EnvironmentFault, match="killed"):
        at_once(work.die, [1, 1])


@pytest.mark.slow
def test_those_who_work_do_not_hear_ctrl_c_themselves(work: ModuleType) -> None:
    assert at_once(work.hear, [1, 2]) == [True, True]


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


CROWD = """
from lbtutor.labs.crowd import at_once
from work_at_once import say_who

if __name__ == "__main__":
    at_once(say_who, [1, 1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for somebody else's child")
def test_nobody_works_on_when_the_one_who_waits_is_killed(work: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "crowd.py").write_text(CROWD)
    folder = str(Path(str(work.__file__)).parent)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "crowd.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
    ) as process:
        assert process.stdout is not None
        worker = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    ended, _, _ = select.select([worker], [], [], 30)
    os.close(worker)
    assert ended


INTERRUPTED = """
import faulthandler, sys
from itertools import count
from lbtutor.labs.crowd import at_once
from work_at_once import forever

steps = count()

def interrupt(frame, event, arg):
    if next(steps) == 30:
        raise KeyboardInterrupt
    return interrupt

if __name__ == "__main__":
    faulthandler.dump_traceback_later(20, exit=True)
    print(at_once(forever, [0] + 200 * [1], lambda share: sys.settrace(interrupt)).count(None))
"""


@pytest.mark.slow
def test_an_interruption_in_the_middle_of_a_look_holds_up_nobody(work: ModuleType, tmp_path: Path) -> None:
    """As Ctrl-C comes: between any two steps of Python's, in whatever locks its library takes meanwhile."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "interrupted.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(str(work.__file__)).parent)},
    )
    assert done.stdout in ("200\n", "201\n"), done.stderr


def test_there_is_a_core_to_work_on() -> None:
    assert cores() >= 1
