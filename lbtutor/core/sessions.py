"""Sessions: how a machine knows its visitors again, and what becomes of them when it does not.

A visitor without a session gets one, in a cookie; after that, every visit is counted. Where the count is kept decides
everything:

    memory     each machine has its own: a visitor who is sent elsewhere, or comes after a crash, is a stranger
    sqlite     one for all machines of the lab, in a file: whoever answers knows the visitor
    redis://   the same, on a server of its own

A visitor who shows a session that the machine does not know has **lost** it. He gets a new one under a new name; to
take the name that he shows would let others choose it for him (OWASP: session fixation).

The names are drawn from a seed, so that both shells hand out the same ones. A real server draws them from the system's
own chance, 128 bits of it, so that nobody can guess one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.events import SessionLost, SessionStarted

SESSION_COOKIE = "sid"


class Visit(Struct, frozen=True):
    """One visit: of which session, the how-many-th, and the session that was shown in vain, if any."""

    session: str
    visits: int
    lost: str = ""


class Memory:
    """Sessions and their visits, in memory."""

    def __init__(self) -> None:
        self._visits: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Memory of {len(self._visits)} sessions>"

    def visit(self, shown: str, fresh: str) -> Visit:
        """Count a visit by somebody who shows the session `shown`, or nothing; if that is unknown, begin `fresh`."""
        visits = self._visits.get(shown, 0) if shown else 0
        session = shown if visits else fresh
        self._visits[session] = visits + 1
        return Visit(session, visits + 1, "" if visits else shown)

    def forget(self) -> None:
        """Everything is lost."""
        self._visits.clear()


class Names:
    """The names of the sessions that a machine begins."""

    def __init__(self, seed: int, pool: str, machine: str) -> None:
        self._rng = Random(f"{seed}/sessions/{pool}/{machine}")

    def next(self) -> str:
        """A name for the session that might begin now: eight hexadecimal digits, drawn once for each visit."""
        return f"{self._rng.getrandbits(32):08x}"


def check_store(where: str) -> None:
    """Raises `ConfigError` unless sessions can be kept there."""
    if where not in ("", "memory", "sqlite") and not where.startswith("redis://"):
        raise ConfigError(f'`sessions` is "memory", "sqlite" or "redis://host:port/number", not {where!r}')


def session_cookie(session: str) -> str:
    """The Set-Cookie field that tells a visitor his session."""
    return f"{SESSION_COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"


def told_of(visit: Visit, at: float, pool: str, machine: str, client: str) -> Iterator[SessionLost | SessionStarted]:
    """What there is to tell of a client's visit to a machine: nothing, when it knew him."""
    if visit.lost:
        yield SessionLost(at, pool, machine, visit.lost, client)
    if visit.visits == 1:
        yield SessionStarted(at, pool, machine, visit.session, client)
