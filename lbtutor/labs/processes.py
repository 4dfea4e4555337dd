"""`in_processes`: a crowd of jobs (see `crowd`) done by processes of this machine, one a core.

They never hear of Ctrl-C themselves: the one who waits does, and raises a flag that they look at whenever they tell how
far they are. And they do not outlive it: when it is killed, so are they.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context, parent_process
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from lbtutor.core import EnvironmentFault
from lbtutor.labs.crowd import Job, Result, Tell, stoppable

_LOOK_EVERY = 0.1
"""Wall seconds between two looks at how far everybody is."""

_ANEW = get_context("spawn")
"""Processes that begin anew: a fork would copy whatever threads and locks its parent happens to have."""

_shares: Any = None
_stopped: Any = None


def cores() -> int:
    """How many processes this one may keep busy."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(work: Callable[[Job, Tell], Result], jobs: Sequence[Job], tell: Tell) -> list[Result | None]:
    """`crowd.at_once` on this machine; raises `EnvironmentFault` when one of the processes was killed."""
    shares, stopped = _ANEW.Array("d", len(jobs), lock=False), _ANEW.Value("b", 0, lock=False)
    futures: list[Future[Result | None]] = []
    ended, over = count(1), SimpleQueue[None]()

    def note(future: Future[Result | None]) -> None:
        if next(ended) == len(jobs) or _failed(future):
            over.put(None)

    with ProcessPoolExecutor(min(len(jobs), cores()), _ANEW, _begin, (shares, stopped)) as pool:
        try:
            with uninterrupted():
                futures += [pool.submit(_do, work, index, job) for index, job in enumerate(jobs)]
                for future in futures:
                    future.add_done_callback(note)
            while not _has_news(over):
                tell(sum(shares) / len(jobs))
        except KeyboardInterrupt:
            pass  # what is done is what there is
        finally:
            stopped.value = 1
            pool.shutdown(cancel_futures=True)
    return [_result(future) for future in futures]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Processes that are started here never hear of Ctrl-C: they inherit that it is blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(shares: Any, stopped: Any) -> None:  # noqa: ANN401  ctypes arrays have no type of their own
    global _shares, _stopped
    _shares, _stopped = shares, stopped
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process waits for work for ever, even when nobody is left to give it any."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(work: Callable[[Job, Tell], Result], index: int, job: Job) -> Result | None:
    def tell(share: float) -> None:
        _shares[index] = share
        if _stopped.value:
            raise KeyboardInterrupt

    result = stoppable(work, job, tell)
    _shares[index] = 1.0
    return result


def _has_news(news: SimpleQueue[None]) -> bool:
    """Wait for some, for a while. Ctrl-C may come at any moment here: in `concurrent.futures.wait` it would leave locks
    of futures taken, for which the pool would then wait for ever."""
    try:
        news.get(timeout=_LOOK_EVERY)
    except Empty:
        return False
    return True


def _failed(future: Future[Any]) -> bool:
    return not future.cancelled() and future.exception() is not None


def _result(future: Future[Result | None]) -> Result | None:
    try:
        return None if future.cancelled() else future.result()
    except BrokenProcessPool:
        raise EnvironmentFault("a process was killed before its work was done (out of memory?)") from None
