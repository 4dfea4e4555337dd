"""`on_cluster`: a crowd of jobs (see `crowd`) done by the workers of a Dask scheduler that somebody named.

The workers need this very version of lbtutor, and whatever extras the jobs want. Nothing of theirs is ended: whoever is
at work when Ctrl-C comes is told so, and stops at that job the next time that it says how far it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from lbtutor import __version__
from lbtutor.core import EnvironmentFault
from lbtutor.labs.crowd import Job, Result, Tell, stoppable

if TYPE_CHECKING:
    from distributed import Client, Future

_PATIENCE = 10.0
"""Wall seconds that a scheduler has to answer, and to have a worker."""

_LOOK_EVERY = 0.1
_TOLD_EVERY = 0.5
"""Wall seconds between two looks at how far everybody is, and between two times that a worker says so."""

_stopped: set[str] = set()
"""On a worker: the crowds that are to stop."""


def on_cluster(
    address: str, work: Callable[[Job, Tell], Result], jobs: Sequence[Job], tell: Tell
) -> list[Result | None]:
    """`crowd.at_once` on a cluster.

    Raises `EnvironmentFault` when the extra is missing, when no scheduler answers there, when it has no worker or one
    of another version, and when it or its workers are lost.
    """
    with _client(address) as client:
        _look_at_workers(client, address)
        crowd, told = f"lbtutor-{client.id}", [0.0] * len(jobs)
        client.subscribe_topic(crowd, lambda event: told.__setitem__(*event[1]))
        futures = [client.submit(_do, work, at, job, crowd, key=f"{crowd}-{at}") for at, job in enumerate(jobs)]
        interrupted = True
        try:
            while _under_way(futures):
                tell(_share(futures, told))
            interrupted = False
        except KeyboardInterrupt:
            pass  # what is done is what there is
        finally:
            _stop(client, crowd, futures)
        return _results(futures, address, interrupted=interrupted)


@contextmanager
def _client(address: str) -> Iterator[Client]:
    if find_spec("distributed") is None:
        raise EnvironmentFault("--dask needs the library that speaks to it: pip install 'lbtutor[cluster]'")
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is told once, here
    try:
        _knock(address)
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"no Dask scheduler answers at {address}: {_first_line(error)}") from None
    try:
        yield client
    finally:
        client.close(timeout=1)


def _knock(address: str) -> None:
    """Raises at once where nobody listens, and soon where it is no scheduler: a client would keep on knocking."""
    from distributed import rpc
    from distributed.comm.addressing import get_address_host_port

    async def who() -> None:
        async with rpc(address) as there:
            await there.identity()

    socket.create_connection(get_address_host_port(address, strict=True), timeout=_PATIENCE).close()
    try:
        asyncio.run(asyncio.wait_for(who(), _PATIENCE))
    except TimeoutError:
        raise OSError("what listens there speaks something else") from None


def _look_at_workers(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError:
        raise EnvironmentFault(f"the Dask scheduler at {address} has no workers: start some first") from None
    try:
        versions = set(client.run(_version).values())
    except ImportError:
        raise EnvironmentFault(f"the workers of {address} have no lbtutor: install {__version__} there") from None
    if versions != {__version__}:
        there = ", ".join(sorted(versions))
        raise EnvironmentFault(f"the workers of {address} have lbtutor {there}, and this is {__version__}")


def _version() -> str:
    return __version__


def _under_way(futures: Sequence[Future[Any]]) -> bool:
    """Waits a little; False as soon as all are done, or one will never be."""
    if {future.status for future in futures} - {"pending", "finished"}:
        return False
    sleep(_LOOK_EVERY)
    return any(future.status == "pending" for future in futures)


def _share(futures: Sequence[Future[Any]], told: Sequence[float]) -> float:
    """How much of all is done. A job counts whole only once its result is there: an interruption keeps just those."""
    done = (
        1.0 if future.status == "finished" else min(share, 0.99) for future, share in zip(futures, told, strict=True)
    )
    return sum(done) / len(futures)


def _stop(client: Client, crowd: str, futures: Sequence[Future[Any]]) -> None:
    pending = [future for future in futures if future.status == "pending"]
    if pending:
        with suppress(OSError):  # nobody can be told any more
            client.cancel(pending)
            client.run(_stop_here, crowd)


def _stop_here(crowd: str) -> None:
    _stopped.add(crowd)


def _do(work: Callable[[Job, Tell], Result], index: int, job: Job, crowd: str) -> Result | None:
    """On a worker, in a thread of its own."""
    from distributed import get_worker

    worker, next_at = get_worker(), monotonic()

    def tell(share: float) -> None:
        nonlocal next_at
        if crowd in _stopped:
            raise KeyboardInterrupt
        if monotonic() >= next_at:
            next_at = monotonic() + _TOLD_EVERY
            worker.log_event(crowd, [index, share])

    return stoppable(work, job, tell)


def _results(futures: Sequence[Future[Any]], address: str, *, interrupted: bool) -> list[Any]:
    """What is done, in order; None for what an interruption left undone."""
    from distributed import KilledWorker

    done = [future for future in futures if future.status != "pending"]
    try:
        found = {future.key: future.result() for future in done if not (interrupted and future.cancelled())}
    except (CancelledError, OSError):
        raise EnvironmentFault(f"the Dask scheduler at {address} was lost before all was done") from None
    except KilledWorker as error:
        raise EnvironmentFault(f"a worker of {address} was killed, again and again: {_first_line(error)}") from None
    return [found.get(future.key) for future in futures]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
