"""Where the machines of a lab keep their sessions: in their own memory, in a file that all share, or in Redis.

    machine ── visit ──▶ store ── then(Visit) ──▶ machine

The words and rules are those of `lbtutor.core.sessions`. A store that is a file or a server is asked on a thread of its
own, one question after the other, so that the event loop never waits for a disk or for somebody else's server; memory
answers at once. A store that cannot answer says None, and the machine says 500, as real ones do.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from lbtutor.core.errors import ConfigError, EnvironmentFault
from lbtutor.core.sessions import Memory, Visit
from lbtutor.core.workload import MachineConfig

LIFETIME = 1800
"""Wall seconds that Redis keeps a session nobody asks for, so that a run leaves nothing behind for long."""

PATIENCE = 2.0
"""Wall seconds to wait for Redis."""

_BUSY = 5.0
"""Wall seconds to wait for the file while somebody else writes (SQLite `busy_timeout`)."""

Then = Callable[[Visit | None], None]


class Store(Protocol):
    """Knows visitors again."""

    def visit(self, shown: str, fresh: str, then: Then) -> None:
        """Count the visit of somebody who shows `shown`; if that is unknown, begin `fresh`. None: it cannot say."""

    def crash(self) -> None:
        """The machine that asks has crashed."""


class OwnMemory:
    """A machine's own memory: it dies with the machine."""

    def __init__(self) -> None:
        self._memory = Memory()

    def __repr__(self) -> str:
        return f"<OwnMemory {self._memory!r}>"

    def visit(self, shown: str, fresh: str, then: Then) -> None:
        then(self._memory.visit(shown, fresh))

    def crash(self) -> None:
        self._memory.forget()


class Book(Protocol):
    """Sessions that are kept outside; asked on the store's thread, and may raise anything."""

    def visit(self, shown: str, fresh: str) -> Visit:
        """As `lbtutor.core.sessions.Memory.visit`."""

    def close(self) -> None:
        """Let go of it."""


class Shared:
    """A store that all machines ask, and that none of them takes along."""

    def __init__(self, loop: asyncio.AbstractEventLoop, book: Book) -> None:
        self._loop = loop
        self._book = book
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._closed = False

    def __repr__(self) -> str:
        return f"<Shared {self._book!r}>"

    def visit(self, shown: str, fresh: str, then: Then) -> None:
        def pass_on(asked: Future[Visit]) -> None:
            if not self._closed:
                visit = None if asked.exception() is not None else asked.result()
                self._loop.call_soon_threadsafe(then, visit)

        if not self._closed:
            self._thread.submit(self._book.visit, shown, fresh).add_done_callback(pass_on)

    def crash(self) -> None:
        """It is not the machine's own."""

    def close(self) -> None:
        """Ask no more, and let go of what is outside."""
        self._closed = True
        self._thread.submit(self._book.close)
        self._thread.shutdown()


class Sqlite:
    """Sessions in a file of their own, which is gone at the end."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="lbtutor-sessions-")
        path = Path(self._folder.name) / "sessions.sqlite"
        self._db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # nobody needs them after a power failure
        self._db.execute("CREATE TABLE sessions (name TEXT PRIMARY KEY, visits INTEGER NOT NULL) WITHOUT ROWID")

    def __repr__(self) -> str:
        return f"<Sqlite {self._folder.name}>"

    def visit(self, shown: str, fresh: str) -> Visit:
        if shown:
            count = "UPDATE sessions SET visits = visits + 1 WHERE name = ? RETURNING visits"
            for (visits,) in self._db.execute(count, (shown,)).fetchall():
                return Visit(shown, visits)
        self._db.execute("INSERT OR REPLACE INTO sessions VALUES (?, 1)", (fresh,))
        return Visit(fresh, 1, shown)

    def close(self) -> None:
        self._db.close()
        self._folder.cleanup()


class Redis:
    """Sessions in a Redis server, under a prefix of their own, so that one run does not know another's visitors.

    Raises `EnvironmentFault` when the client library or the server is not there, `ConfigError` for an address that is
    none.
    """

    def __init__(self, address: str) -> None:
        try:
            import redis
        except ImportError:
            raise EnvironmentFault(
                f"sessions = {address!r} needs the redis extra: `pip install 'lbtutor[redis]'`; "
                '`sessions = "sqlite"` needs nothing'
            ) from None
        self._prefix = f"lbtutor:{secrets.token_hex(4)}:"
        try:
            self._redis: Any = redis.Redis.from_url(address, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE)
            self._redis.ping()
        except ValueError as error:
            raise ConfigError(f"sessions = {address!r}: {error}") from None
        except redis.RedisError as error:
            self._redis.close()
            raise EnvironmentFault(
                f"no Redis answers at {address} ({str(error).rstrip('.')}): start one with `redis-server`, "
                'or write `sessions = "sqlite"`'
            ) from None

    def __repr__(self) -> str:
        return f"<Redis {self._prefix}>"

    def visit(self, shown: str, fresh: str) -> Visit:
        key = self._prefix + shown
        if shown and self._redis.expire(key, LIFETIME):
            return Visit(shown, int(self._redis.incr(key)))
        self._redis.set(self._prefix + fresh, 1, ex=LIFETIME)
        return Visit(fresh, 1, shown)

    def close(self) -> None:
        for key in self._redis.scan_iter(match=self._prefix + "*"):
            self._redis.delete(key)
        self._redis.close()


class Stores:
    """All stores of a lab, each opened when the first machine needs it. Raises `EnvironmentFault`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._shared: dict[str, Shared] = {}

    def __repr__(self) -> str:
        return f"<Stores {list(self._shared.values())}>"

    def of(self, machine: MachineConfig) -> Store | None:
        """Where that machine keeps its sessions; None when it keeps none."""
        where = machine.sessions
        if not where:
            return None
        if where == "memory":
            return OwnMemory()
        if where not in self._shared:
            self._shared[where] = Shared(self._loop, Sqlite() if where == "sqlite" else Redis(where))
        return self._shared[where]

    def close(self) -> None:
        """Close them all; their threads have ended then."""
        for store in self._shared.values():
            store.close()
        self._shared.clear()
