"""Tunnels: a request to switch protocols (`Upgrade`, as WebSocket begins), and what follows when a backend agrees.

    Handshake ──101──▶ Splice of both connections, until both ends have said all, one breaks, or nobody speaks
        └────any other answer──▶ an exchange like all others

The balancer does not speak WebSocket, or whatever is spoken in the tunnel: it passes on bytes (see `splice`). Any
protocol may be asked for, by any method, but for those that carry other requests past us (see `heads`). Such a wish is
not heeded, nor that of a request in HTTP/1.0 or with a body: it is served as if it had not asked (RFC 9110, section
7.8; Java's HttpClient asks for h2c with every first POST).

The request is in flight for as long as its tunnel lives. A tunnel without a byte for the listener's `idle_timeout` is
closed (NGINX `proxy_read_timeout` and HAProxy `timeout tunnel` do so; WebSocket peers ping more often). When the
balancer drains, tunnels go on until the deadline and are then cut off, which a WebSocket client knows as code 1006.

Only a real 101 makes a tunnel. Until then, what the client sends beyond its request is kept, not interpreted: after a
101 it is the first that the backend gets through the tunnel; after any other answer it is parsed as the requests that
it must then be. A client that says "Upgrade" to slip a request past the routes gains nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbtutor.core.messages import Outcome, OutcomeKind
from lbtutor.live.clock import Alarm
from lbtutor.live.exchange import Exchange
from lbtutor.live.fields import Refusal
from lbtutor.live.heads import AnswerHead, RequestHead, protocols
from lbtutor.live.splice import Splice

if TYPE_CHECKING:
    from lbtutor.live.l7 import ClientConnection
    from lbtutor.live.upstream import UpstreamConnection

_IN_PEACE = Outcome.answered(101)
_BROKEN = Outcome.failed("cut", 101)
_OUTCOMES: dict[OutcomeKind, Outcome] = {
    "served": _IN_PEACE,
    "cancelled": Outcome.failed("cancelled"),
    "cut": _BROKEN,
    "closed": _BROKEN,
}
"""How the splice ended, as the end of a request that was answered 101."""


class Handshake(Exchange):
    """A request to switch protocols; `beside` is what the client sent beyond it."""

    __slots__ = ("_agreed", "_backend", "_splice", "beside")

    _backend: UpstreamConnection

    def __init__(self, client: ClientConnection, head: RequestHead) -> None:
        super().__init__(client, head)
        self.beside = b""
        self._agreed: AnswerHead | None = None
        self._splice: Splice | None = None

    def piles_up(self, most: int) -> bool:
        """Nothing more is read while something is kept whose meaning is not known."""
        return bool(self.beside)

    def switch_to(self, head: AnswerHead) -> None:
        """The backend agrees, if it names a protocol that was offered (RFC 9110, section 7.8)."""
        chosen = protocols(head.upgrade)
        if not chosen or not chosen <= protocols(self._head.upgrade):
            raise Refusal(502, "switched to a protocol that nobody offered")
        self._agreed = head

    def open(self, backend: UpstreamConnection, beside: bytes) -> None:
        """From here on bytes go through, first those that came beside the handshake."""
        client, agreed = self._client, self._agreed
        assert agreed is not None, "only after a 101"
        self._status, self._backend = agreed.status, backend
        self.carrier = None
        said, self.beside = self.beside, b""
        client.lend()
        backend.lend()
        shell, idle_timeout = client.front.shell, client.front.config.idle_timeout
        splice = self._splice = Splice(self, shell, Alarm(shell.clock, self._alarm_rang), idle_timeout)
        splice.join(client.transport, backend.transport, said, client_said_all=False)
        if client.choked:
            splice.client.pause_writing()
        about = b"Connection: upgrade\r\nUpgrade: %b\r\n%b\r\n" % (agreed.upgrade, self._cookie_field)
        client.write(agreed.for_client(about) + beside)

    def ended(self, kind: OutcomeKind) -> None:
        """The tunnel is no more."""
        self.over = True
        self._client.front.shell.finish(self.id, _OUTCOMES[kind])

    def gone(self) -> None:
        """Both connections are."""
        self._client.connection_lost(None)
        self._backend.connection_lost(None)
        self._splice = None

    def _alarm_rang(self) -> None:
        if self._splice is not None:
            self._splice.alarm_rang()

    def cancel(self) -> None:
        if self._splice is None:
            super().cancel()

    def cut(self) -> None:
        if self._splice is None:
            super().cut()
        else:
            self._splice.close("cut")

    def _end(self) -> None:
        """It was answered like any request: what came beside it are the next ones."""
        self.over = True
        self._client.stay(b"" if self.closes else self.beside)
        self._client.advance()
