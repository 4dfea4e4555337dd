"""Probes: health checks as the balancer asks for them.

Each probe is a connection of its own. One on a kept connection would not notice that a machine refuses new ones, and a
busy connection would have to be waited for (HAProxy, NGINX and the ALB open a new one too). An answer below 400 within
the timeout passes (HAProxy `httpchk`: 2xx and 3xx). Where nothing is to be asked (`tcp`), a connection that opens
passes, and is closed at once. A backend that is told who comes (`send_proxy`) hears that a probe speaks for nobody, and
would hang up otherwise (HAProxy does so too, unless the check has a port of its own).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from ssl import SSLError
from typing import Any, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from lbtutor.core.backend import Backend
from lbtutor.core.messages import Probe, ProbeResult
from lbtutor.core.units import say_duration
from lbtutor.live.addresses import cause_of
from lbtutor.live.clock import Alarm
from lbtutor.live.secured import connect
from lbtutor.live.shell import Shell
from lbtutor.live.tls import trouble_of
from lbtutor.live.upstream import Expect, Locate

Announce = Callable[[Backend], bytes]
"""What a connection to a backend begins with, if it is not a client's."""


class Prober:
    """Sends the probes that the balancer asks for, when they are due; its clock also ends ejections."""

    def __init__(self, shell: Shell, locate: Locate, expect: Expect, announce: Announce) -> None:
        self.announce = announce
        self.attempts: set[Attempt] = set()
        self.expect = expect
        self.locate = locate
        self.shell = shell
        self._alarm = Alarm(shell.clock, self._tick)
        self._stopped = False
        self._closed = False
        shell.look_again = self.await_next

    def __repr__(self) -> str:
        return f"<Prober under_way={len(self.attempts)}>"

    def await_next(self) -> None:
        """Wait for what is next; to be told when the balancer may have changed its mind."""
        if self._closed:
            return
        balancer = self.shell.balancer
        deadline = balancer.next_alarm if self._stopped else balancer.next_deadline()
        if deadline is None or deadline == inf:
            self._alarm.clear()
        else:
            self._alarm.set(deadline)

    def stop(self) -> None:
        """Send no more; what else the balancer waits for, such as the end of a back-off, still comes."""
        self._stopped = True
        self._alarm.clear()
        self.await_next()

    def close(self) -> None:
        """Forget those under way, and wait for nothing."""
        self._stopped = self._closed = True
        self._alarm.cancel()
        for attempt in list(self.attempts):
            attempt.close()

    def _tick(self) -> None:
        for probe in self.shell.attend() if self._stopped else self.shell.tick():
            self.attempts.add(Attempt(self, probe))
        self.await_next()

    async def connect(self, attempt: Attempt, backend: Backend) -> None:
        """Open a connection to `backend`; raises `OSError` or `UnicodeError` when there is none."""
        ahead = self.announce(backend)
        await connect(self.shell.loop, lambda: attempt, self.locate(backend), self.expect(backend), ahead)

    def done(self, attempt: Attempt, probe: Probe, result: ProbeResult) -> None:
        """That one has its result."""
        self.attempts.discard(attempt)
        self.shell.probed(probe.backend, result)
        self.await_next()


class Attempt(asyncio.Protocol):
    """One probe: connect, ask, and look at the status."""

    def __init__(self, prober: Prober, probe: Probe) -> None:
        self._prober = prober
        self._probe = probe
        self._over = False
        self._parser: Any = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        shell = prober.shell
        self._timer = shell.clock.call_later(probe.timeout, self._time_out)
        self._task = shell.loop.create_task(self._connect())

    def __repr__(self) -> str:
        return f"<Attempt at {self._probe.pool}/{self._probe.backend.name}>"

    def close(self) -> None:
        """The result does not matter any more."""
        self._over = True
        self._timer.cancel()
        self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        try:
            await self._prober.connect(self, self._probe.backend)
        except SSLError as error:
            self._result(ok=False, detail=trouble_of(error))
        except OSError as error:
            self._result(ok=False, detail=cause_of(error))
        except UnicodeError:
            self._result(ok=False, detail="no such host name")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        opened = self._transport = cast(asyncio.Transport, transport)
        if self._over:
            opened.abort()
        elif self._probe.mode == "tcp":
            self._result(ok=True, detail="connected")
        else:
            self._ask(opened)

    def _ask(self, transport: asyncio.Transport) -> None:
        host = self._prober.locate(self._probe.backend)
        head = (
            f"GET {self._probe.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lbtutor-probe\r\nConnection: close\r\n\r\n"
        )
        transport.write(head.encode("latin-1", "replace"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError:
            raise
        except (HttpParserError, HttpParserUpgrade):
            self._result(ok=False, detail="not HTTP")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._result(ok=status < 400, detail=str(status))

    def connection_lost(self, exc: Exception | None) -> None:
        self._result(ok=False, detail="closed before an answer")

    def _time_out(self) -> None:
        self._result(ok=False, detail=f"no answer in {say_duration(self._probe.timeout)}")

    def _result(self, *, ok: bool, detail: str) -> None:
        """The first result counts; what the connection does after that does not."""
        if not self._over:
            self.close()
            self._prober.done(self, self._probe, ProbeResult(ok, detail))
