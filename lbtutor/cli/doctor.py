"""`lbtutor doctor`: what this machine can do, and how to get the rest.

Each finding is ok, missing (something more is possible) or broken (something needed does not work). Only a broken one
makes the exit code 4. No finding may itself crash: a doctor that falls ill of the patient is no use.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from typing import Annotated, Literal, NamedTuple

import typer

from lbtutor import __version__
from lbtutor.cli.exits import Exit
from lbtutor.cli.text import is_ascii_only, say


class Finding(NamedTuple):
    """One thing looked at; `advice` says how to get it."""

    state: Literal["ok", "missing", "broken"]
    what: str
    found: str
    advice: str = ""


def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """What this machine can do, and how to get the rest."""
    findings = [_examine(look) for look in _LOOKS]
    if json:
        import msgspec

        document = {"lbtutor": __version__, "findings": [finding._asdict() for finding in findings]}
        say(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        for finding in findings:
            say(f"  {_MARKS[finding.state]} {finding.state:<8} {finding.what:<22} {finding.found}")
            if finding.advice:
                say(f"{'':35}{finding.advice}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(Exit.FAULT)


def _examine(look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001  whatever is wrong with the machine is a finding
        return Finding("broken", look.__name__.strip("_").replace("_", " "), f"{type(error).__name__}: {error}")


def _python() -> Finding:
    return Finding("ok", "python", f"{platform.python_version()} on {platform.system()}; lbtutor {__version__}")


def _terminal() -> Finding:
    if not sys.stdout.isatty():
        return Finding("missing", "terminal", "not a terminal", "lessons need one, or `lbtutor lesson ID --plain`")
    columns, rows = shutil.get_terminal_size()
    if columns < 60 or rows < 16:
        return Finding("broken", "terminal", f"{columns}x{rows}", "lessons need 60x16, and are at home in 120x40")
    return Finding("ok", "terminal", f"{columns}x{rows}, TERM={os.environ.get('TERM', '')}")


def _glyphs() -> Finding:
    encoding = sys.stdout.encoding or "unknown"
    if is_ascii_only():
        return Finding("missing", "glyphs", f"{encoding}: ASCII will be used", "a UTF-8 locale shows the full picture")
    return Finding("ok", "glyphs", encoding)


def _event_loop() -> Finding:
    try:
        return Finding("ok", "event loop", f"uvloop {metadata.version('uvloop')}")
    except metadata.PackageNotFoundError:
        return Finding("missing", "event loop", "asyncio", "`pip install uvloop` makes the live balancer faster")


def _loopback() -> Finding:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return Finding("ok", "sockets on loopback", f"can listen (tried port {port})")


def _client_addresses() -> Finding:
    from lbtutor.live.addresses import client_address_mode

    if client_address_mode() == "loopback":
        return Finding("ok", "client addresses", "each lab client has its own (127.0.1.1, 127.0.1.2, ...)")
    return Finding(
        "ok", "client addresses", "by X-Forwarded-For from a trusted peer: this machine has only 127.0.0.1"
    )  # fmt: skip


def _state() -> Finding:
    from lbtutor.course.progress import state_folder

    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        return Finding("broken", "progress", f"cannot write to {folder}", "LBTUTOR_STATE names another folder")
    return Finding("ok", "progress", str(folder))


def _program(name: str, use: str) -> Callable[[], Finding]:
    def look() -> Finding:
        path = shutil.which(name)
        if path is None:
            return Finding("missing", name, f"not on PATH ({use})", f"for example: apt-get install {name}")
        return Finding("ok", name, path)

    return look


def _redis() -> Finding:
    """A store for sessions that is a server of its own takes the server, and the library that speaks to it."""
    path = shutil.which("redis-server")
    if path is None:
        return Finding("missing", "redis-server", "not on PATH (not needed; for sessions in Redis)", _HOW_TO_GET_REDIS)
    if find_spec("redis") is None:
        return Finding("missing", "redis-server", f"{path}, and no library for it", "pip install 'lbtutor[redis]'")
    return Finding("ok", "redis-server", path)


_HOW_TO_GET_REDIS = "for example: apt-get install redis-server, and pip install 'lbtutor[redis]'"

_LOOKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _terminal,
    _glyphs,
    _event_loop,
    _loopback,
    _client_addresses,
    _state,
    _program("curl", "not needed; to knock at the doors of labs and proxies by hand"),
    _program("nginx", "not needed; to compare with"),
    _program("haproxy", "not needed; to compare with"),
    _redis,
)

_MARKS = {"ok": "✓", "missing": "·", "broken": "✕"}
