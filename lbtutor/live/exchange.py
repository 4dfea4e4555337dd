"""`Exchange`: one request on its way through the balancer, and its answer on the way back.

    fresh ──begin──▶ under way ──▶ over
                      │    ▲
                      └────┘ another attempt, for as long as nothing was sent

It stands between a client's connection and a backend's, and belongs to neither: a backend may be replaced under it by
another attempt. Bytes of the body wait here until there is somebody to send them to, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbtutor.core.messages import Answer, Forward, Outcome, OutcomeKind, Reject, Request
from lbtutor.live.heads import AnswerHead, HeadFields, RequestHead, own_answer, whole_answer

if TYPE_CHECKING:
    from lbtutor.live.l7 import ClientConnection
    from lbtutor.live.upstream import Dial, UpstreamConnection

LAST_CHUNK = b"0\r\n\r\n"

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Idempotent methods (RFC 9110, section 9.2.2)."""

_CANCELLED = Outcome.failed("cancelled")


class Exchange:
    """One request and its answer; made when the head is complete."""

    __slots__ = (
        "_body",
        "_body_ended",
        "_client",
        "_head",
        "_rechunks",
        "_status",
        "_unframed",
        "carrier",
        "closes",
        "complete",
        "first_chunk_seen",
        "held",
        "id",
        "over",
        "under_way",
    )

    def __init__(self, client: ClientConnection, head: RequestHead) -> None:
        self._client = client
        self._head = head
        self._body: list[bytes] = []
        self._body_ended = False
        self._rechunks = False
        self._status = 0
        self._unframed = False
        self.carrier: UpstreamConnection | Dial | None = None
        self.closes = False
        self.complete = False
        self.first_chunk_seen = False
        self.held = 0
        self.id = 0
        self.over = False
        self.under_way = False

    def __repr__(self) -> str:
        stage = "over" if self.over else "under way" if self.under_way else "fresh"
        return f"<Exchange r{self.id} {self._head.method} {self._head.path} {stage}>"

    # -- the request ----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether enough has come to decide.

        A chunked body is looked at first: if its first chunk is malformed, nobody is to see any of it.
        """
        head = self._head
        return not head.chunked or self.first_chunk_seen or self.complete or head.expects

    def begin(self) -> None:
        """Ask the balancer where to, and go there."""
        client, head = self._client, self._head
        shell = client.front.shell
        self.id = shell.next_id()
        address = client.address_of(head)
        request = Request(
            self.id,
            shell.clock.now,
            address,
            address,
            1,
            head.method,
            head.host,
            head.path,
            HeadFields(head.fields),
            client.front.config.name,
        )
        decision = shell.arrive(request)
        self.under_way = True
        if isinstance(decision, Forward):
            self._attempt(decision)
        elif isinstance(decision, Answer):
            self._answer_as_told(decision)
        elif isinstance(decision, Reject):
            self._answer_ourselves(decision.status, decision.reason)

    def take_in(self, data: bytes) -> None:
        """More of the body came."""
        self._body.append(data)
        self.held += len(data)

    def head_for_backend(self) -> bytes:
        """The head as the backend gets it."""
        return self._head.for_backend(self._client.said_of_client(self._head))

    def body_for_backend(self) -> bytes:
        """What waits of the body, framed as the head says; it is gone from here."""
        if not self._head.has_body:
            return b""
        data = b"".join(self._body)
        self._body.clear()
        self.held = 0
        if not self._head.chunked:
            return data
        ends, self._body_ended = self.complete and not self._body_ended, self.complete
        return b"%b%b" % (_chunk(data) if data else b"", LAST_CHUNK if ends else b"")

    @property
    def is_last(self) -> bool:
        """The client said that it sends no other request on this connection."""
        return not self._head.keep_alive

    @property
    def sends_more(self) -> bool:
        """Something waits to be sent: bytes, or the news that there are no more."""
        return bool(self.held) or (self.complete and self._head.chunked and not self._body_ended)

    def send_more(self) -> None:
        """Send what came of the body, if there is somebody to send it to."""
        if self.carrier is not None:
            self.carrier.send_more(self)

    def piles_up(self, most: int) -> bool:
        """More of the body waits than can be sent soon."""
        return self.held > most or (self.carrier is not None and self.carrier.choked)

    # -- attempts -------------------------------------------------------------------------------------------------

    def _attempt(self, forward: Forward) -> None:
        self._client.front.upstreams.of(forward.backend).carry(self)

    def failed(self, kind: OutcomeKind) -> None:
        """The attempt came to nothing: try elsewhere if the balancer says so, or tell the client."""
        self.carrier = None
        outcome = Outcome.failed(kind, self._status or None)
        again = self._client.front.shell.finish(self.id, outcome)
        if again is not None:
            self._attempt(again)
        elif self._status:
            self._cut_off()
        else:
            self._answer_ourselves(outcome.status, outcome.says)

    @property
    def is_repeatable(self) -> bool:
        """Sending it a second time does no harm, and can still be done."""
        return not self._head.has_body and self._head.method in _REPEATABLE

    def cancel(self) -> None:
        """The client has gone: let go of the backend."""
        if self.under_way and not self.over:
            self._let_go()
            self._client.front.shell.finish(self.id, _CANCELLED)
        self.over = True

    def _let_go(self) -> None:
        carrier, self.carrier = self.carrier, None
        if carrier is not None:
            carrier.drop()

    def pace(self) -> None:
        """The backend takes more, or no more: let the client's connection know."""
        self._client.pace()

    def hold_answer(self, *, held: bool) -> None:
        """The client takes no more of the answer for now, or takes it again."""
        if self.carrier is not None:
            self.carrier.hold(held=held)

    def client_is_late(self, connection: UpstreamConnection) -> bool:
        """The backend is not to blame: the body is not here yet, or the client does not take its answer."""
        return self._client.choked or not (self.complete or connection.choked)

    # -- the answer -----------------------------------------------------------------------------------------------

    @property
    def answering(self) -> bool:
        """The client has seen the beginning of an answer."""
        return self._status > 0

    @property
    def for_head(self) -> bool:
        """The request was HEAD: the answer has the head of an answer and no body, whatever that head says."""
        return self._head.method == "HEAD"

    def write(self, data: bytes) -> None:
        """Bytes of the answer, for the client."""
        self._client.write(data)

    def interim(self, head: AnswerHead) -> None:
        """An answer of the kind 1xx: 100 for a client that waits for it, others for one that knows them."""
        if self._head.expects or (head.status != 100 and self._head.version == "1.1"):
            self._client.write(head.for_client(b"\r\n"))

    def begin_answer(self, head: AnswerHead) -> bytes:
        """The head as the client gets it; from here on `frame` says what becomes of the body."""
        client, request = self._client, self._head
        self._status = head.status
        has_body = not (head.bodiless or self.for_head)
        about = b"\r\n"
        if head.chunked or (has_body and not head.has_length):
            if request.version == "1.1":
                about = b"Transfer-Encoding: chunked\r\n\r\n"
                self._rechunks = has_body
            else:  # HTTP/1.0 knows one other way to end a body
                self._unframed = has_body
        self.closes = self._unframed or not (request.keep_alive and self.complete) or client.front.draining
        if self.closes:
            about = b"Connection: close\r\n" + about
        elif request.version != "1.1":
            about = b"Connection: keep-alive\r\n" + about
        return head.for_client(about)

    def frame(self, data: bytes) -> bytes:
        """Bytes of the answer's body as the client gets them."""
        return _chunk(data) if self._rechunks else data

    @property
    def end(self) -> bytes:
        """What ends the answer's body."""
        return LAST_CHUNK if self._rechunks else b""

    def answered(self) -> None:
        """The whole answer has been passed on."""
        self.carrier = None
        self._client.front.shell.finish(self.id, Outcome.answered(self._status))
        self._end()

    def _answer_ourselves(self, status: int, says: str) -> None:
        self._decide_whether_to_close()
        self._client.write(own_answer(status, says, close=self.closes, bodiless=self.for_head))
        self._end()

    def _answer_as_told(self, answer: Answer) -> None:
        self._decide_whether_to_close()
        self._client.write(
            whole_answer(answer.status, answer.headers, answer.body, close=self.closes, bodiless=self.for_head)
        )
        self._end()

    def _decide_whether_to_close(self) -> None:
        self.closes = not (self._head.keep_alive and self.complete) or self._client.front.draining

    def _cut_off(self) -> None:
        """An answer that broke off must not look whole: the connection ends before the body does."""
        self.over = True
        self._client.cut_off(abort=self._unframed)

    def _end(self) -> None:
        self.over = True
        self._client.advance()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
