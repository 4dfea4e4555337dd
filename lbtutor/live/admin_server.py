"""`AdminServer`: the sockets of the admin API, on threads of their own, away from the requests.

It obeys whoever reaches it, so it is careful about who that can be:

- it listens on loopback alone, unless it is `exposed` on purpose;
- a request must be addressed to this machine as an address or as `localhost`. A web page elsewhere can make a name of
  its own point here (DNS rebinding), but then the browser puts that name into `Host`;
- a request that a browser makes for a page from elsewhere (`Origin`, `Sec-Fetch-Site`) is refused. curl sends neither.

Bodies and the number of connections are bounded, and nobody may take long.
"""

from __future__ import annotations

from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import socket
from threading import BoundedSemaphore, Event, Thread
from typing import Any

from lbtutor.core.errors import ConfigError
from lbtutor.live.addresses import Address
from lbtutor.live.admin import Admin, Answer, error
from lbtutor.live.descriptors import EXHAUSTED, REST
from lbtutor.live.server import address_of, listening_socket

MOST_BODY_BYTES = 65_536
MOST_CONNECTIONS = 64
PATIENCE = 10.0
"""Wall seconds that a client may take for a request, or keep its connection without one."""

_LOOK_EVERY = 0.1
"""Wall seconds between two looks at whether to stop."""


class AdminServer:
    """Serves an `Admin` at an address.

    Raises `ConfigError` when others than this machine could reach that and it is not `exposed`, and
    `EnvironmentFault` when it cannot be had.
    """

    def __init__(self, admin: Admin, at: str, *, exposed: bool = False) -> None:
        listening = listening_socket(Address.parse(at, "--admin"), "the admin API")
        self.address = address_of(listening)
        if not (exposed or ip_address(self.address.host).is_loopback):
            listening.close()
            raise ConfigError(
                f"--admin {at}: others than this machine could command the balancer there, and no password is asked; "
                "use 127.0.0.1, or add --expose-admin if that is what you mean"
            )
        self._server = _Server(listening, admin, exposed=exposed)
        self._thread = Thread(target=self._server.serve_forever, args=(_LOOK_EVERY,), name="lbtutor-admin", daemon=True)

    def __repr__(self) -> str:
        return f"<AdminServer at {self.address}>"

    def __enter__(self) -> AdminServer:
        """Answer from here on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Request = socket | tuple[bytes, socket]
"""What a server of the standard library serves; here it is a connection."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listening: socket, admin: Admin, *, exposed: bool) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.admin = admin
        self.exposed = exposed
        self.stopping = Event()
        self._slots = BoundedSemaphore(MOST_CONNECTIONS)

    def get_request(self) -> tuple[socket, Any]:
        """The next connection. Without a file descriptor for it, it waits in the kernel's queue, and nobody asks for it
        again and again meanwhile."""
        try:
            return super().get_request()
        except OSError as fault:
            if fault.errno in EXHAUSTED:
                self.stopping.wait(REST)
            raise

    def process_request(self, request: Request, client_address: object) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Request, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Request, client_address: object) -> None:
        """A client that hangs up in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that nonsense too is answered with a status
    server_version = "lbtutor"
    timeout = PATIENCE
    server: _Server

    def _respond(self) -> None:
        refused = stranger(self.headers, exposed=self.server.exposed) or self._unreadable()
        if refused is not None:
            self.close_connection = True
            self._say(refused)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._say(self._answer(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _respond  # noqa: N815  http.server's

    def _answer(self, body: bytes) -> Answer:
        try:
            return self.server.admin.answer(self.command, self.path, body)
        except Exception as bug:  # noqa: BLE001  it is reported, and costs nobody else anything
            return error(500, f"a bug in lbtutor: {type(bug).__name__}: {bug}")

    def _unreadable(self) -> Answer | None:
        """What is wrong with the length of the body, if anything."""
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") is not None or not (length.isascii() and length.isdigit()):
            return error(411, "give the length of the body in Content-Length")
        if len(length) > 9 or int(length) > MOST_BODY_BYTES:
            return error(413, f"a body has at most {MOST_BODY_BYTES} bytes here")
        return None

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if answer.allow:
            self.send_header("Allow", ", ".join(answer.allow))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the parser has to say against a request, in the form of all other errors."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        self._say(error(code, message or HTTPStatus(code).phrase))

    def version_string(self) -> str:
        """What this is, and not which Python runs it."""
        return self.server_version

    def log_message(self, *_: object) -> None:
        """What is commanded is in the trace."""


def stranger(fields: Message, *, exposed: bool) -> Answer | None:
    """Why this request is not obeyed, or None: it was made by a page from elsewhere, or is addressed to a name."""
    host = fields.get("Host", "")
    if not _is_here(host, exposed=exposed):
        return error(403, f"address this machine as localhost or by its address, not as {host!r}")
    origin, site = fields.get("Origin"), fields.get("Sec-Fetch-Site", "none")
    if (origin is not None and origin != f"http://{host}") or site not in ("none", "same-origin"):
        return error(403, "this is not for web pages from elsewhere")
    return None


def _is_here(host: str, *, exposed: bool) -> bool:
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "0")
    name, port = (name, port) if name else (port, "0")
    if name.lower() == "localhost":
        return port.isdigit()
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return port.isdigit() and (exposed or address.is_loopback)
