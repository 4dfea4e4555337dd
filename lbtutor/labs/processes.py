"""`at_once`: the same work for many, in as many processes as there are cores.

What comes back is what a loop would have given, in the same order: each piece of work knows nothing of the others, and
who is ready first does not matter. An interruption (Ctrl-C) goes to the one who waits; those who work are told to stop
by a flag that they look at whenever they tell how far they are, and what was done until then is kept.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from lbtutor.core import EnvironmentFault

Job = TypeVar("Job")
Result = TypeVar("Result")
Tell = Callable[[float], None]
"""To be called with the share that is done (0 to 1); raises `KeyboardInterrupt` when that is to be all."""

_LOOK_EVERY = 0.1
"""Wall seconds between two looks at how far everybody is."""

_ANEW = get_context("spawn")
"""Processes that begin anew: a fork would copy whatever threads and locks its parent happens to have."""

_shares: Any = None
_stopped: Any = None


def cores() -> int:
    """How many processes this one may keep busy."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once(work: Callable[[Job, Tell], Result], jobs: Sequence[Job], tell: Tell | None = None) -> list[Result | None]:
    """`[work(job, …) for job in jobs]`, several at once; None for what an interruption left undone.

    `work` is a function of a module, and jobs and results can be pickled. `tell` hears the share that is done of all of
    it, every so often. What `work` raises is raised here; `EnvironmentFault` when one of the processes was killed.
    """
    shares, stopped = _ANEW.Array("d", len(jobs), lock=False), _ANEW.Value("b", 0, lock=False)
    processes = min(len(jobs), cores())
    with ProcessPoolExecutor(processes, _ANEW, _share, (shares, stopped)) as pool:
        with _uninterrupted():
            futures = [pool.submit(_do, work, index, job) for index, job in enumerate(jobs)]
        try:
            while wait(futures, _LOOK_EVERY).not_done:
                if tell is not None:
                    tell(sum(shares) / len(jobs))
        except KeyboardInterrupt:
            stopped.value = 1
            pool.shutdown(cancel_futures=True)
    if tell is not None:
        tell(1.0)
    return [_result(future) for future in futures]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started here never hear of Ctrl-C: they inherit that it is blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _share(shares: Any, stopped: Any) -> None:  # noqa: ANN401  ctypes arrays have no type of their own
    global _shares, _stopped
    _shares, _stopped = shares, stopped


def _do(work: Callable[[Job, Tell], Result], index: int, job: Job) -> Result | None:
    def tell(share: float) -> None:
        _shares[index] = share
        if _stopped.value:
            raise KeyboardInterrupt

    try:
        return work(job, tell)
    except KeyboardInterrupt:
        return None


def _result(future: Future[Result | None]) -> Result | None:
    try:
        return None if future.cancelled() else future.result()
    except BrokenProcessPool:
        raise EnvironmentFault("a process was killed before its work was done (out of memory?)") from None
