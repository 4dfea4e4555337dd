"""`NameServer`: which balancer a client goes to, when there are several.

A name has a record for each balancer. Who asks is given one, in turn, and keeps it for the TTL, whether or not somebody
is still there: nobody tells a client that its answer has grown old. Where the records are health-checked, that of a
dead balancer is no longer given out once the check has noticed; while none is left, all are.
"""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.events import Event, Relisted, Resolved
from lbtutor.core.workload import Dns
from lbtutor.sim.crowd import noticed_after
from lbtutor.sim.loop import Loop, Order
from lbtutor.trace.words import counted


class NameServer:
    """The name server and its clients' memories: `find` says where a client goes now."""

    def __init__(self, dns: Dns, names: tuple[str, ...], loop: Loop, tell: Callable[[Event], None]) -> None:
        self._dns = dns
        self._names = names
        self._loop = loop
        self._tell = tell
        self._listed = list(names)
        self._turn = 0
        self._known: dict[str, tuple[str, float]] = {}
        self._alive = dict.fromkeys(names, True)
        self._changes = dict.fromkeys(names, 0)

    def __repr__(self) -> str:
        return f"<NameServer listed={self._listed}>"

    def find(self, client: str) -> str:
        """The balancer that this client believes in, after asking for it if it must."""
        balancer, until = self._known.get(client, ("", 0.0))
        return balancer if self._loop.now < until else self._ask(client)

    def changed(self, balancer: str, *, alive: bool) -> None:
        """A balancer died or came back, and nobody has told the name server; its check will notice, if it has one."""
        self._alive[balancer] = alive
        self._changes[balancer] += 1
        check = self._dns.check
        if check is not None:
            until_next = -self._loop.now % check.interval / check.interval
            takes = noticed_after(check, alive, until_next)
            probes = counted(check.rise if alive else check.fall, "probe")
            because = f"{probes} in a row {'passed' if alive else 'failed'}"
            change = balancer, self._changes[balancer], because
            self._loop.schedule_in(takes, Order.PROBE, self._notice, change)

    def _ask(self, client: str) -> str:
        given_out = self._listed or self._names
        balancer = given_out[self._turn % len(given_out)]
        self._turn += 1
        until = self._loop.now + float(self._dns.ttl)
        self._known[client] = balancer, until
        self._tell(Resolved(self._loop.now, client, balancer, until))
        return balancer

    def _notice(self, change: tuple[str, int, str]) -> None:
        balancer, number, because = change
        if self._changes[balancer] != number:  # it has changed again since
            return
        alive = self._alive[balancer]
        self._listed = [name for name in self._names if (alive if name == balancer else name in self._listed)]
        self._tell(Relisted(self._loop.now, balancer, alive, because))
