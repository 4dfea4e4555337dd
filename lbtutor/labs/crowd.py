"""A crowd of jobs, answered in order, whoever does them.

    done = at_once(work, jobs, tell)                              # processes of this machine, one a core
    done = at_once(work, jobs, tell, dask="tcp://10.0.0.5:8786")  # the workers of a Dask scheduler that somebody named

What comes back is what a loop would have given, in the same order: no job knows of the others, and neither who is ready
first nor where it was done matters. An interruption (Ctrl-C) goes to the one who waits; those who work are told to stop
the next time they say how far they are. What was done until then is kept, in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Tell = Callable[[float], None]
"""To be called with the share that is done (0 to 1); raises `KeyboardInterrupt` when that is to be all."""


def at_once(
    work: Callable[[Job, Tell], Result], jobs: Sequence[Job], tell: Tell | None = None, *, dask: str | None = None
) -> list[Result | None]:
    """`[work(job, …) for job in jobs]`, several at once; None for what an interruption left undone.

    `work` is a function of a module, jobs and results can be pickled. `tell` hears the share that is done of all of it,
    every so often. A single job needs nobody else and is done here, unless `dask` names a scheduler.

    What `work` raises is raised here, and ends the others. Raises `EnvironmentFault` when a process was killed, when
    the scheduler cannot be used, or when the extra that speaks to it is missing.
    """
    heard = tell or _nobody_hears
    done = _done(work, list(jobs), heard, dask)
    heard(1.0)
    return done


def _done(work: Callable[[Job, Tell], Result], jobs: list[Job], tell: Tell, dask: str | None) -> list[Result | None]:
    if dask is not None:
        from lbtutor.labs.cluster import on_cluster

        return on_cluster(dask, work, jobs, tell)
    if len(jobs) < 2:
        return [stoppable(work, job, tell) for job in jobs]
    from lbtutor.labs.processes import in_processes

    return in_processes(work, jobs, tell)


def stoppable(work: Callable[[Job, Tell], Result], job: Job, tell: Tell) -> Result | None:
    """`work(job, tell)`; None when it was interrupted."""
    try:
        return work(job, tell)
    except KeyboardInterrupt:
        return None


def _nobody_hears(share: float) -> None:
    pass
