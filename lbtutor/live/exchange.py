"""`Exchange`: one request on its way through the balancer, and its answer on the way back.

    fresh ──begin──▶ under way ──▶ over
                      │    ▲
                      └────┘ another attempt, for as long as the client was sent nothing

It stands between a client's connection and a backend's, and belongs to neither: a backend may be replaced under it by
another attempt, at once or after a wait. Bytes of the body wait here until there is somebody to send them to. Those of
a request that may be sent twice are kept beyond that, up to `MOST_KEPT` of them: a body is sent again whole or not at
all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lbtutor.core.messages import Answer, Forward, Outcome, OutcomeKind, Reject, Request, Wait
from lbtutor.core.retry import IDEMPOTENT
from lbtutor.live.answers import named, own_answer, whole_answer
from lbtutor.live.fields import Fields, Refusal, trailers
from lbtutor.live.heads import VIA_US, AnswerHead, RequestHead

if TYPE_CHECKING:
    from lbtutor.live.addresses import Address
    from lbtutor.live.l7 import ClientConnection
    from lbtutor.live.upstream import Dial, Upstream, UpstreamConnection

MOST_KEPT = 65_536
"""Bytes of a body that are kept after they were sent, in case that they must be sent again."""


class Exchange:
    """One request and its answer; made when the head is complete."""

    __slots__ = (
        "_body",
        "_body_ended",
        "_client",
        "_forward",
        "_head",
        "_rechunks",
        "_sent",
        "_status",
        "_unframed",
        "_upstream",
        "carrier",
        "closes",
        "complete",
        "first_chunk_seen",
        "for_head",
        "held",
        "id",
        "name",
        "over",
        "trailers",
        "under_way",
    )

    _forward: Forward
    _upstream: Upstream

    def __init__(self, client: ClientConnection, head: RequestHead) -> None:
        self._client = client
        self._head = head
        self._body: list[bytes] = []
        self._body_ended = False
        self._rechunks = False
        self._sent: bytes | None = b""
        self._status = 0
        self._unframed = False
        self.carrier: UpstreamConnection | Dial | None = None
        self.closes = False
        self.complete = False
        self.first_chunk_seen = False
        self.for_head = head.method == "HEAD"
        """The answer has the head of an answer and no body, whatever that head says."""
        self.held = 0
        self.id = 0
        self.name = b""
        self.over = False
        self.trailers = b""
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
        self.name = client.introduction.request_id(head, b"%b-%d" % (client.front.run, self.id))
        address = client.introduction.client(head)
        request = Request(
            self.id,
            shell.clock.now,
            address,
            address,
            1,
            head.method,
            head.host,
            head.path,
            head.headers,
            client.front.config.name,
            client.server_name,
        )
        decision = shell.arrive(request)
        self.under_way = True
        if isinstance(decision, Forward):
            self._attempt(decision)
        elif isinstance(decision, Answer):
            self._answer_as_told(decision)
        elif isinstance(decision, Reject):
            self.turn_away(decision)
        else:
            shell.wait_for(self)

    @property
    def is_chunked(self) -> bool:
        """How long the body is, nobody knows before its end."""
        return self._head.chunked

    def take_trailers(self, fields: Fields) -> None:
        """Fields came behind the body."""
        self.trailers = trailers(fields, self._head.named)

    def take_in(self, data: bytes) -> None:
        """More of the body came."""
        self._body.append(data)
        self.held += len(data)

    def head_for_backend(self) -> bytes:
        """The head as the backend gets it."""
        head = self._head
        said = self._client.introduction.fields(head)
        said = b"%bX-Request-Id: %b\r\n%b" % (said, self.name, VIA_US[head.version])
        return head.for_backend(said, self._forward.own_cookie)

    def body_for_backend(self) -> bytes:
        """What waits of the body, framed as the head says; it is gone from here."""
        if not self._head.has_body:
            return b""
        data = b"".join(self._body)
        self._body.clear()
        self.held = 0
        self._keep(data)
        if not self._head.chunked:
            return data
        ends, self._body_ended = self.complete and not self._body_ended, self.complete
        return b"%b%b" % (_chunk(data) if data else b"", _last_chunk(self.trailers) if ends else b"")

    def _keep(self, data: bytes) -> None:
        """Keep what is sent while it may have to be sent again; once some of it is gone, the rest is of no use."""
        if data and self._sent is not None:
            keeps = self._head.method in IDEMPOTENT and self._upstream.retries
            self._sent = self._sent + data if keeps and len(self._sent) + len(data) <= MOST_KEPT else None

    def _rewind(self) -> None:
        """What was sent waits to be sent again."""
        if self._sent:
            self._body.insert(0, self._sent)
            self.held += len(self._sent)
            self._sent = b""
        self._body_ended = False

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

    @property
    def ends(self) -> tuple[Address, Address]:
        """The two ends of the connection that it came on."""
        return self._client.ends

    # -- attempts -------------------------------------------------------------------------------------------------

    def _attempt(self, forward: Forward) -> None:
        self._forward = forward
        self._upstream = self._client.front.upstreams.of(forward.backend)
        self._upstream.carry(self)

    def go_on(self, forward: Forward) -> None:
        """What it waited for is there: a free backend, or the time of the next try."""
        self._rewind()
        self._attempt(forward)
        self.pace()

    def turn_away(self, reject: Reject) -> None:
        """The balancer sends it to nobody."""
        self._answer_ourselves(reject.status, reject.reason)

    def failed(self, kind: OutcomeKind) -> None:
        """The attempt came to nothing: try elsewhere if the balancer says so, or tell the client."""
        outcome = Outcome.failed(kind, self._status or None)
        if self._is_tried_again(outcome):
            return
        if self._status:
            self._cut_off()
        else:
            self._answer_ourselves(outcome.status, outcome.says)

    def cut(self) -> None:
        """The balancer wants this attempt to end now: its backend's drain is over."""
        self._let_go()
        self.failed("cut" if self._status else "closed")

    def wants_again(self, status: int) -> bool:
        """Would the balancer rather try elsewhere than pass on an answer of this status?"""
        return self._client.front.shell.wants_again(self.id, Outcome.answered(status), self._sent is not None)

    def try_again(self, status: int) -> None:
        """Try elsewhere; an answer of this status came, and nobody is to see it."""
        outcome = Outcome.answered(status)
        if not self._is_tried_again(outcome):
            self._answer_ourselves(status, outcome.says)

    def _is_tried_again(self, outcome: Outcome) -> bool:
        """Finish the attempt; whether there is, or will be, another."""
        shell = self._client.front.shell
        self.carrier = None
        again = shell.finish(self.id, outcome, repeatable=self._sent is not None)
        if isinstance(again, Forward):
            self.go_on(again)
        elif isinstance(again, Wait):
            shell.wait_for(self)
        return again is not None

    @property
    def is_repeatable(self) -> bool:
        """Sending it a second time does no harm, and can still be done."""
        return not self._head.has_body and self._head.method in IDEMPOTENT

    def cancel(self) -> None:
        """The client has gone: let go of the backend."""
        if self.under_way and not self.over:
            self._let_go()
            self._client.front.shell.leave(self)
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
        cookie = self._cookie_field if self._forward.set_cookie else b""
        about = b"%bX-Request-Id: %b\r\n\r\n" % (cookie, self.name)
        if head.chunked or (has_body and head.length is None):
            if request.version == "1.1":
                about = b"Transfer-Encoding: chunked\r\n" + about
                self._rechunks = has_body
            else:  # HTTP/1.0 knows one other way to end a body
                self._unframed = has_body
        self.closes = self._unframed or not (request.keep_alive and self.complete) or client.front.draining
        if self.closes:
            about = b"Connection: close\r\n" + about
        elif request.version != "1.1":
            about = b"Connection: keep-alive\r\n" + about
        return head.for_client(about)

    @property
    def _cookie_field(self) -> bytes:
        """The balancer's own cookie for this client, if there is anything to set."""
        cookie = self._forward.set_cookie
        return _set_cookie(cookie, self._client.introduction.is_encrypted(self._head)) if cookie else b""

    def switch_to(self, head: AnswerHead) -> None:
        """The backend switches protocols, which only a `Handshake` asks for."""
        raise Refusal(502, "switched protocols without being asked to")

    def frame(self, data: bytes) -> bytes:
        """Bytes of the answer's body as the client gets them."""
        return _chunk(data) if self._rechunks else data

    def end(self, trailers: bytes = b"") -> bytes:
        """What ends the answer's body; only one in chunks has room for trailer fields."""
        return _last_chunk(trailers) if self._rechunks else b""

    def answered(self) -> None:
        """The whole answer has been passed on, so there is no other try, whatever has changed since it began."""
        self.carrier = None
        self._client.front.shell.finish(self.id, Outcome.answered(self._status), repeatable=False)
        self._end()

    def _answer_ourselves(self, status: int, says: str) -> None:
        self._decide_whether_to_close()
        answer = own_answer(status, says, close=self.closes, bodiless=self.for_head)
        self._client.write(named(answer, self.name))
        self._end()

    def _answer_as_told(self, answer: Answer) -> None:
        self._decide_whether_to_close()
        told = whole_answer(answer.status, answer.headers, answer.body, close=self.closes, bodiless=self.for_head)
        self._client.write(named(told, self.name))
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


class Unheard(Exchange):
    """In the place of an exchange that is tried elsewhere: hears out the answer, unless that is long, so that the
    connection can be used again."""

    __slots__ = ("_heard",)

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange._client, exchange._head)
        self.complete = exchange.complete
        self._heard = 0

    @property
    def answering(self) -> bool:
        return True

    def frame(self, data: bytes) -> bytes:
        self._heard += len(data)
        if self._heard > MOST_KEPT:
            raise Refusal(502, "an answer too long to be heard out")
        return b""

    def write(self, data: bytes) -> None:
        """Nobody listens."""

    def pace(self) -> None:
        """Nobody waits."""

    def answered(self) -> None:
        """The attempt was finished before."""

    def failed(self, kind: OutcomeKind) -> None:
        """It does not matter any more."""

    def client_is_late(self, connection: UpstreamConnection) -> bool:
        return False


@lru_cache(maxsize=256)
def _set_cookie(cookie: str, secure: bool) -> bytes:
    """The balancer's own cookie for a client, which is one a second for each backend; whoever speaks TLS is not to show
    it where anybody can read it (RFC 6265, section 4.1.2.5)."""
    return b"Set-Cookie: %b%b\r\n" % (cookie.encode("latin-1", "replace"), b"; Secure" if secure else b"")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _last_chunk(trailers: bytes) -> bytes:
    return b"0\r\n%b\r\n" % trailers
