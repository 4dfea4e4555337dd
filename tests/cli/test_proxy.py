"""`lbtutor proxy`: a process of its own in front of two real servers, told to stop as an operator tells it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from trustme import CA, KeyType

Program = Callable[..., "subprocess.CompletedProcess[str]"]

PATIENCE = 30.0
"""Wall seconds after which a test gives up waiting for what should be there in milliseconds."""


class Origin:
    """Somebody's server: says its name and who asked, at `/slow` only when `release` is set."""

    def __init__(self, name: str) -> None:
        origin = self
        self.name = name
        self.entered = threading.Event()
        self.release = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/slow":
                    origin.entered.set()
                    origin.release.wait(PATIENCE)
                said = {"origin": origin.name, "forwarded_for": self.headers.get("X-Forwarded-For")}
                body = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Not on the tests' stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def die(self) -> None:
        """From here on, connections are refused."""
        if self._thread.is_alive():
            self.release.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(PATIENCE)


class Running:
    """A proxy that serves; it is killed when a test waits for it too long."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lbtutor", "proxy", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONUTF8": "1"},
            cwd=folder,
        )
        self._watchdog = threading.Timer(PATIENCE, self.process.kill)
        self._watchdog.start()
        self.first_line = _pipe(self.process.stdout).readline()

    @property
    def address(self) -> str:
        return str(json.loads(self.first_line)["listening"]["front"])

    def get(self, path: str = "/") -> tuple[int, str]:
        """Status and body of one request on a connection of its own."""
        connection = HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE)

    def closes_its_door(self) -> None:
        """Knock until nobody opens."""
        with suppress(ConnectionRefusedError):
            while True:
                with suppress(ConnectionResetError):  # it still stood in the queue when the door closed
                    self.connect().close()

    def told(self, words: str) -> str:
        """The next line on stderr with these words in it."""
        for line in _pipe(self.process.stderr):
            if words in line:
                return line
        raise AssertionError(f"it ended without a word of {words!r}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send the signal; exit code, and the rest of stdout and stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._watchdog.cancel()
        self._watchdog.join()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _rest(client: socket.socket) -> bytes:
    """Everything until the other side closes, in whatever way."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            data += piece
    return data


@pytest.fixture
def origins() -> Iterator[tuple[Origin, Origin]]:
    pair = Origin("a"), Origin("b")
    yield pair
    for origin in pair:
        origin.die()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Write this text to a file and serve it."""
    running: list[Running] = []

    def begin(text: str, *arguments: str) -> Running:
        (tmp_path / "front.toml").write_text(text)
        running.append(Running(tmp_path, "front.toml", *arguments))
        return running[-1]

    yield begin
    for one in running:
        one.close()


def config(*addresses: str, at: str = "127.0.0.1:0", drain: str = "20s", pool: str = "") -> str:
    backends = ", ".join(f'{{ name = "{name}", address = "{at}" }}' for name, at in zip("ab", addresses, strict=False))
    return (
        f'title = "Two servers"\ndrain = "{drain}"\n[[listen]]\nname = "front"\nat = "{at}"\n'
        f"[pool.web]\nbackends = [{backends}]\n{pool}\n"
    )


HEALTH = 'health = { path = "/health", interval = "1s", timeout = "900ms" }'


@pytest.mark.slow
def test_each_server_gets_its_turn_and_is_told_who_asked(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(*(origin.address for origin in origins)))
    answers = [json.loads(proxy.get()[1]) for _ in range(4)]
    assert [answer["origin"] for answer in answers] == ["a", "b", "a", "b"]
    assert {answer["forwarded_for"] for answer in answers} == {"127.0.0.1"}
    code, out, _ = proxy.end()
    assert (code, out) == (0, "")


@pytest.mark.slow
def test_a_server_that_dies_costs_502s_until_its_probes_failed_and_the_other_serves_on(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(*(origin.address for origin in origins), pool=HEALTH))
    origins[1].die()
    assert sorted(proxy.get()[0] for _ in range(2)) == [200, 502]
    line = proxy.told("web/b is down")
    assert re.match(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z web/b is down: 3 probes in a row failed, .*connection refused\n", line
    )
    assert [proxy.get()[0] for _ in range(4)] == [200] * 4
    origins[0].die()
    proxy.told("pool web is down: none of its 2 backends is available")
    assert proxy.get()[0] == 503
    assert proxy.end()[0] == 0


@pytest.mark.slow
def test_sigterm_lets_what_is_under_way_finish_and_refuses_newcomers(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(origins[0].address), "--log", "access.jsonl")
    with proxy.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert origins[0].entered.wait(PATIENCE)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.told("told to stop: no new connections, and what is under way has at most 20s to end")
        proxy.closes_its_door()
        assert proxy.process.poll() is None
        origins[0].release.set()
        answer = _rest(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"origin": "a"' in answer
    assert proxy.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_sigint_exits_130_and_a_second_signal_does_not_wait(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(origins[0].address, drain="10m"))
    with proxy.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert origins[0].entered.wait(PATIENCE)
        proxy.process.send_signal(signal.SIGINT)
        proxy.told("told to stop")
        code, _, err = proxy.end(signal.SIGTERM)
        assert code == 130
        assert "told again to stop: what is under way is cut off" in err
        assert _rest(client) == b""


@pytest.mark.slow
def test_the_access_log_has_one_line_a_request_with_its_attempts(
    origins: tuple[Origin, Origin], start: Callable[..., Running], tmp_path: Path
) -> None:
    (tmp_path / "access.jsonl").write_text('{"an": "older line"}\n')
    origins[1].die()
    text = config(*(origin.address for origin in origins), pool="retry = { attempts = 2 }")
    proxy = start(text, "--log", "access.jsonl", "--trace", "trace.jsonl", "--quiet")
    assert [proxy.get(f"/{count}")[0] for count in range(2)] == [200, 200]
    code, out, err = proxy.end()
    assert (code, out, err) == (0, "", "")
    older, first, second = map(json.loads, (tmp_path / "access.jsonl").read_text().splitlines())
    assert older == {"an": "older line"}
    assert [(entry["path"], entry["status"], entry["client"]) for entry in (first, second)] == [
        ("/0", 200, "127.0.0.1"),
        ("/1", 200, "127.0.0.1"),
    ]
    assert [(one["backend"], one["outcome"]) for one in second["attempts"]] == [
        ("b", "connection refused"),
        ("a", "answered 200"),
    ]
    assert list(first) == [
        "time", "request", "client", "listener", "method", "host", "path", "status", "took", "pool", "attempts",
        "because",
    ]  # fmt: skip
    trace = [json.loads(line)["type"] for line in (tmp_path / "trace.jsonl").read_text().splitlines()[1:]]
    assert (trace.count("arrived"), trace.count("picked"), trace[-1]) == (2, 3, "ended")


@pytest.mark.slow
def test_an_access_log_on_stdout_follows_the_first_line(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(origins[0].address), "--log", "-")
    proxy.get("/seen")
    assert json.loads(_pipe(proxy.process.stdout).readline())["path"] == "/seen"
    assert proxy.end()[0] == 0


@pytest.mark.slow
def test_a_log_that_nobody_reads_any_more_does_not_stop_it(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(origins[0].address), "--log", "-")
    _pipe(proxy.process.stdout).close()
    assert proxy.get()[0] == 200
    assert "it gets no more of the trace, and the proxy serves on" in proxy.told("Broken pipe")
    assert proxy.get()[0] == 200
    proxy.process.send_signal(signal.SIGTERM)
    assert proxy.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_without_anybody_on_stderr_it_still_drains(
    origins: tuple[Origin, Origin], start: Callable[..., Running]
) -> None:
    proxy = start(config(origins[0].address))
    _pipe(proxy.process.stderr).close()
    with proxy.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert origins[0].entered.wait(PATIENCE)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.closes_its_door()
        origins[0].release.set()
        assert _rest(client).startswith(b"HTTP/1.1 200 OK\r\n")
    assert proxy.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_door_that_others_can_reach_is_noted(origins: tuple[Origin, Origin], start: Callable[..., Running]) -> None:
    proxy = start(config(origins[0].address, at="0.0.0.0:0") + '[[traffic]]\nto = "front"\nrate = 1\n')
    proxy.told("traffic: ignored: a proxy sends no requests of its own")
    proxy.told(f"front listens on {proxy.address}: whoever reaches this machine can use it")
    assert proxy.end()[0] == 0


@pytest.mark.slow
def test_the_config_of_the_readme_serves(origins: tuple[Origin, Origin], start: Callable[..., Running]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## A small real load balancer\n")[2].partition("`lbtutor proxy")[0]
    text = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    for written, free in (
        ("127.0.0.1:8080", "127.0.0.1:0"),
        ("127.0.0.1:9001", origins[0].address),
        ("127.0.0.1:9002", origins[1].address),
    ):
        assert written in text
        text = text.replace(written, free)
    origins[1].die()
    proxy = start(text, "--quiet")
    assert [proxy.get()[0] for _ in range(3)] == [200] * 3
    assert proxy.end()[0] == 0


@pytest.mark.slow
def test_the_example_serves_as_it_is_printed(lbtutor: Program, tmp_path: Path, start: Callable[..., Running]) -> None:
    printed = lbtutor("proxy", "--example", env={"PYTHONUTF8": "1"})
    assert (printed.returncode, printed.stderr) == (0, "")
    doors = re.sub(r'(?m)^(at += "127\.0\.0\.1:)\d+"', r'\g<1>0"', printed.stdout)
    assert doors.count(':0"') == 5
    proxy = start(doors)
    assert list(json.loads(proxy.first_line)["listening"]) == ["front", "secure", "sealed", "database", "names"]
    assert proxy.get("/ping") == (200, "pong")
    code, _, err = proxy.end()
    assert code == 0
    assert "ignored" not in err


def test_a_port_in_use_exits_4_and_says_which(lbtutor: Program, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "taken.toml").write_text(config("127.0.0.1:9", at=address))
        done = lbtutor("proxy", "taken.toml")
    assert done.returncode == 4
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    assert f"listener front cannot listen on {address}: address already in use" in done.stderr


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("drain", "drian", "front.toml:2: drian: there is no such key; did you mean `drain`?"),
        (', address = "127.0.0.1:9"', "", "front.toml:7: pool.web.backends[0]: `a` needs an `address`"),
    ],
)
def test_a_file_that_cannot_be_served_exits_2_with_its_place(
    lbtutor: Program, tmp_path: Path, was: str, now: str, told: str
) -> None:
    (tmp_path / "front.toml").write_text(config("127.0.0.1:9").replace(was, now))
    done = lbtutor("proxy", "front.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"lbtutor: {told}")


@pytest.mark.parametrize("option", ["--log", "--trace"])
def test_a_file_that_cannot_be_written_exits_4(lbtutor: Program, tmp_path: Path, option: str) -> None:
    (tmp_path / "front.toml").write_text(config("127.0.0.1:9"))
    done = lbtutor("proxy", "front.toml", option, "no/such/folder/file")
    assert done.returncode == 4
    assert "no/such/folder/file: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_how_to_change_the_file(lbtutor: Program) -> None:
    told = " ".join(lbtutor("proxy", "--help").stdout.split())
    assert "A changed CONFIG is read again, and so it is at SIGHUP: all of it takes effect at once" in told
    assert "SIGUSR1 opens the access log anew" in told


# -- while it serves --------------------------------------------------------------------------------------------------


def rewrite(folder: Path, text: str) -> None:
    """As deployments do it: a new file is renamed over the old one."""
    (folder / "fresh.toml").write_text(text)
    (folder / "fresh.toml").replace(folder / "front.toml")


@pytest.mark.slow
def test_a_changed_file_is_taken_while_a_request_is_under_way_at_a_backend_that_leaves(
    origins: tuple[Origin, Origin], start: Callable[..., Running], tmp_path: Path
) -> None:
    a, b = origins
    proxy = start(config(a.address))
    with proxy.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert a.entered.wait(PATIENCE)
        rewrite(tmp_path, config(b.address))
        proxy.told("reloaded front.toml: pool web: a has another address")
        assert json.loads(proxy.get()[1])["origin"] == "b"
        a.release.set()
        answer = client.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    code, _, err = proxy.end()
    assert (code, "pool web is down" in err) == (0, False)


@pytest.mark.slow
def test_sighup_reads_the_file_again_and_a_mistake_in_it_changes_nothing(
    origins: tuple[Origin, Origin], start: Callable[..., Running], tmp_path: Path
) -> None:
    a, b = origins
    proxy = start(config(a.address), "--no-watch")
    rewrite(tmp_path, config(b.address).replace("drain", "drian"))
    proxy.process.send_signal(signal.SIGHUP)
    line = proxy.told("not reloaded, and nothing has changed")
    assert "front.toml:2: drian: there is no such key; did you mean `drain`?" in line
    assert json.loads(proxy.get()[1])["origin"] == "a"
    rewrite(tmp_path, config(b.address))
    proxy.process.send_signal(signal.SIGHUP)
    proxy.told("reloaded front.toml")
    assert json.loads(proxy.get()[1])["origin"] == "b"
    assert proxy.end()[0] == 0


@pytest.mark.slow
def test_a_certificate_renewed_on_disk_is_shown_to_newcomers_while_connections_live_on(
    origins: tuple[Origin, Origin], start: Callable[..., Running], tmp_path: Path
) -> None:
    authority = CA(key_type=KeyType.ECDSA)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def renew() -> None:
        """The key first and then the certificate: for a moment they do not fit."""
        issued = authority.issue_cert("shop.example", key_type=KeyType.ECDSA)
        issued.private_key_pem.write_to_path(tmp_path / "shop.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "shop.pem")

    renew()
    door = 'at = "127.0.0.1:0"\ntls = { certificates = [{ cert = "shop.pem", key = "shop.key" }] }'
    proxy = start(config(origins[0].address).replace('at = "127.0.0.1:0"', door))

    def call() -> ssl.SSLSocket:
        return trusting.wrap_socket(proxy.connect(), server_hostname="shop.example")

    def ask(client: ssl.SSLSocket) -> tuple[int, str | None]:
        """Status, and what is said of the connection."""
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        answer = HTTPResponse(client)
        answer.begin()
        answer.read()
        return answer.status, answer.getheader("Connection")

    with call() as old:
        assert ask(old) == (200, None)
        renew()
        proxy.told("reloaded front.toml: listener front has its certificates from new files")
        with call() as new:
            assert _serial(new) != _serial(old)
            assert [ask(client) for client in (new, old, old)] == [(200, None)] * 3
    assert proxy.end()[0] == 0


def _serial(client: ssl.SSLSocket) -> object:
    return (client.getpeercert() or {})["serialNumber"]


@pytest.mark.slow
def test_a_log_that_was_moved_away_is_followed_by_a_new_one_at_sigusr1(
    origins: tuple[Origin, Origin], start: Callable[..., Running], tmp_path: Path
) -> None:
    proxy = start(config(origins[0].address), "--log", "access.jsonl")
    log, moved = tmp_path / "access.jsonl", tmp_path / "access.jsonl.1"
    proxy.get("/one")
    give_up, nobody = time.monotonic() + PATIENCE, threading.Event()
    while not log.read_text():
        assert time.monotonic() < give_up
        nobody.wait(0.01)
    log.rename(moved)
    proxy.process.send_signal(signal.SIGUSR1)
    while not log.exists():
        assert time.monotonic() < give_up
        nobody.wait(0.01)
    proxy.get("/two")
    assert proxy.end()[0] == 0
    assert [json.loads(line)["path"] for line in moved.read_text().splitlines()] == ["/one"]
    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == ["/two"]


@pytest.mark.slow
def test_the_admin_api_commands_the_balancer_and_counts_over_reloads(
    origins: tuple[Origin, Origin], start: Callable[..., Running], tmp_path: Path
) -> None:
    proxy = start(config(*(origin.address for origin in origins)), "--admin", "127.0.0.1:0")
    admin = json.loads(proxy.first_line)["admin"]

    def ask(method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = HTTPConnection(admin, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def counted(backend: str) -> float:
        families = text_string_to_metric_families(ask("GET", "/metrics")[1])
        (family,) = (family for family in families if family.name == "lbtutor_requests")
        return sum(sample.value for sample in family.samples if sample.labels["backend"] == backend)

    assert ask("GET", "/ready")[0] == 200
    assert ask("POST", "/pools/web/backends/b/drain")[0] == 200
    proxy.told("web/b is draining")
    assert {json.loads(proxy.get()[1])["origin"] for _ in range(4)} == {"a"}
    give_up, nobody = time.monotonic() + PATIENCE, threading.Event()
    while counted("a") < 4:
        assert time.monotonic() < give_up
        nobody.wait(0.02)
    rewrite(tmp_path, config(*(origin.address for origin in origins), pool='algorithm = "random"'))
    assert "another algorithm" in json.loads(ask("POST", "/reload")[1])["reloaded"]
    assert (counted("a"), counted("b")) == (4, 0)
    with proxy.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert origins[0].entered.wait(PATIENCE)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.told("told to stop")
        assert ask("GET", "/ready")[0] == 503
        origins[0].release.set()
        assert _rest(client).startswith(b"HTTP/1.1 200 OK\r\n")
    assert proxy.process.wait(PATIENCE) == 0


def test_an_admin_api_for_everybody_must_be_meant(lbtutor: Program, tmp_path: Path) -> None:
    (tmp_path / "front.toml").write_text(config("127.0.0.1:9"))
    done = lbtutor("proxy", "front.toml", "--admin", "0.0.0.0:0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "add --expose-admin if that is what you mean" in done.stderr
