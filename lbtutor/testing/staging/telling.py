"""What several families tell in the same words: a request comes, goes to a server or to nobody, and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lbtutor.core.events import Arrived, Candidate, ContractBroken, Event, Finished, Joined, Picked, Rejected, Why
from lbtutor.core.messages import Outcome

POOL = "pool"

ENDS = 0.4
"""Part of a moment after which a request that is not to stay has its answer: it is home before the next moment."""

SETTLES = 0.8
"""Part of a moment after which the code's answer is seen: what it was told is there by then."""

LONGEST = 40
"""So much of a client's name is shown."""

WELL = Outcome.answered(200)
REFUSED = Outcome.failed("refused")
SILENCE = "it gave no answer"


def joined(names: Iterable[str], at: float = 0.0) -> Iterator[Event]:
    """Each of these becomes a member, once."""
    for name in dict.fromkeys(names):
        yield Joined(at, POOL, name, 1.0, "up")


def arrived(
    at: float, request: int, client: str = "a client", method: str = "GET", host: str = "", path: str = "/"
) -> Event:
    """A request comes."""
    return Arrived(at, request, client[:LONGEST], method, host, path, "front")


def chosen(at: float, request: int, backend: str, candidates: Sequence[Candidate], affinity: str = "") -> Event:
    """The code under test chose that server; it does not say why."""
    return Picked(at, request, 1, POOL, backend, "algorithm", Why("", "lowest", "", tuple(candidates)), affinity)


def sent(at: float, request: int, backend: str, because: str, attempt: int = 1) -> Event:
    """A request goes to a server that the code under test did not choose, or not in this moment."""
    why = Why("", "lowest", "", (Candidate(backend, None, None),))
    return Picked(at, request, attempt, POOL, backend, "retry" if attempt > 1 else "sticky", why, because)


def ended(
    at: float, request: int, backend: str, outcome: Outcome, because: str = "", *, attempt: int = 1, final: bool = True
) -> Event:
    """A try of a request ends."""
    says, status, ok = outcome.says, outcome.status, outcome.ok
    return Finished(at, request, attempt, POOL, backend, says, status, 0.0, ok=ok, final=final, because=because)


def nobody(
    at: float, request: int, because: str, candidates: Sequence[Candidate] = (), *, status: int = 503
) -> Iterator[Event]:
    """A request goes nowhere."""
    yield Rejected(at, request, status, because, POOL, tuple(candidates))


def broke(at: float, request: int, because: str, candidates: Sequence[Candidate] = ()) -> Iterator[Event]:
    """A request goes nowhere, since the answer is none that may be given."""
    yield ContractBroken(at, request, POOL, "the code", because)
    yield from nobody(at, request, "the balancer is broken", candidates, status=500)
