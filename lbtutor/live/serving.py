"""One connection to a lab machine: reads requests, and writes what the machine has to say to them.

request ──▶ a probe       answered by the machine itself
            work          a `Job` for its workers; when that is done, an answer, or first a look at the sessions
            WebSocket     a `Job` too, which takes no work; from then on the connection is a conversation's
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from lbtutor.core.keys import read_cookie
from lbtutor.core.sessions import SESSION_COOKIE, Visit, session_cookie
from lbtutor.live import proxy_protocol
from lbtutor.live.talk import Echoer
from lbtutor.live.workers import Job

if TYPE_CHECKING:
    from lbtutor.live.origin import Origin

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class OriginConnection(asyncio.Protocol):
    """A connection to a lab machine; one request at a time, or a conversation."""

    __slots__ = (
        "_announced",
        "_beside",
        "_client",
        "_fields",
        "_job",
        "_keep_alive",
        "_origin",
        "_parser",
        "_path",
        "_pending",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._parser: Any = HttpRequestParser(self)
        self._path = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._keep_alive = True
        self._pending = False
        self._job: Job | None = None
        self._beside = b""
        self._announced = origin.announced
        self._client = ""

    def __repr__(self) -> str:
        return f"<OriginConnection of {self._origin.name}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._client = (transport.get_extra_info("peername") or ("unknown",))[0]
        self._origin.connections.add(self)

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._announced:
            data = self._without_announcement(self._beside + data)
        elif self._job is not None and self._job.talks:
            self._beside += data
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as switch:
            self._switch(data[switch.args[0] :])
        except HttpParserError:
            self.transport.close()

    def _without_announcement(self, data: bytes) -> bytes:
        """What follows the PROXY protocol, which names the client; somebody may also come without it."""
        try:
            parsed = proxy_protocol.parse(data)
        except proxy_protocol.ProxyError:
            parsed = proxy_protocol.Parsed(0, None, None)
        if parsed is None:
            self._beside = data
            return b""
        self._announced, self._beside = False, b""
        if parsed.source is not None:
            self._client = parsed.source.host
        return data[parsed.size :]

    def _switch(self, beside: bytes) -> None:
        """The request was to switch protocols: WebSocket is the only one that is known."""
        if self._job is None or not self._job.talks:
            self.transport.close()
        else:
            self._beside = beside
            self._origin.workers.take(self._job)

    def on_url(self, target: bytes) -> None:
        self._path += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        if self._field(b"expect").lower() == b"100-continue":
            self.transport.write(_CONTINUE)

    def _field(self, name: bytes) -> bytes:
        """A field of the request, all its lines in one."""
        separator = b"; " if name == b"cookie" else b", "
        return separator.join([value for known, value in self._fields if known.lower() == name])

    def on_message_complete(self) -> None:
        """The request is here; a second one before the first is answered is more than it knows."""
        if self._pending:
            self.transport.abort()
            return
        self._pending = True
        if self._path.decode("latin-1") == self._origin.probe_path:
            self._origin.answer_probe(self)
        else:
            talks = self._parser.should_upgrade() and self._field(b"upgrade").lower() == b"websocket"
            self._job = Job(self, talks=talks)
            if not talks:
                self._origin.workers.take(self._job)

    # -- answering ------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """The work is done."""
        if self._origin.store is None:
            self.answer(200)
        else:
            shown = read_cookie(self._field(b"cookie").decode("latin-1"), SESSION_COOKIE)
            forwarded = self._field(b"x-forwarded-for").decode("latin-1").partition(",")[0].strip()
            self._origin.receive(self, shown, forwarded or self._client)

    def converse(self) -> None:
        """From here on it is a conversation."""
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields]
        path, beside = self._path.decode("latin-1"), self._beside
        self._job = None
        self._origin.converses(self)
        Echoer(self.transport, self).begin(path, fields, beside)

    def answer(self, status: int, visit: Visit | None = None) -> None:
        """Send the answer, if anybody is still there, and be ready for the next request."""
        self._pending = False
        self._job = None
        self._path, self._fields = b"", []
        if self._parser is None or self.transport.is_closing():
            return
        head, body = self._origin.answers[status] if visit is None else machine_answer(status, self._origin.name, visit)
        self.transport.write(head if self._parser.get_method() == b"HEAD" else head + body)
        if not self._keep_alive:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.forget(self)
        self._parser = None
        if self._job is not None:
            self._origin.workers.drop(self._job)


def machine_answer(status: int, name: str, visit: Visit | None = None) -> tuple[bytes, bytes]:
    """Head and body; to a visitor it says which of his visits this is, and to a new one his session."""
    phrase, says = ("OK", f"{name}\n") if status == 200 else ("Internal Server Error", f"{name} failed\n")
    about = ""
    if visit is not None:
        says += f"visit {visit.visits}\n"
        about = f"X-Visits: {visit.visits}\r\n"
        if visit.visits == 1:
            about += f"Set-Cookie: {session_cookie(visit.session)}\r\n"
    body = says.encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nX-Origin: {name}\r\n{about}"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body
