"""`lbtutor proxy`: a scenario file's doors, routes and pools in front of somebody's servers."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.text import is_ascii_only, note, say
from lbtutor.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from io import FileIO
    from queue import SimpleQueue

    from lbtutor.core import Event, Plan
    from lbtutor.labs.proxy import Proxy, Reader
    from lbtutor.live.run import Ending

_CODES = {"stopped": Exit.PASSED, "interrupted": Exit.INTERRUPTED}


def proxy(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A scenario file whose backends have addresses.")],
    log: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Append an access log: JSON Lines; - is stdout.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the trace to this file (JSON Lines).")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors on stderr. Fastest, if nothing else is asked for.")
    ] = False,
) -> None:
    """Serve a file's listen, route and pool tables: a small real load balancer.

    Prints {"listening": {"front": "127.0.0.1:8080"}} on stdout as soon as it serves. SIGTERM or Ctrl-C lets requests
    under way finish, for as long as the file's `drain` says; a second one does not wait. To change the file, restart.
    """
    from lbtutor.labs.proxy import Proxy, open_doors, read_proxy

    file = read_proxy(config)
    proxy = Proxy(file.plan)

    def complain(text: str) -> None:
        with suppress(OSError):  # nobody reads it any more, which is no reason to stop
            note(f"{proxy.wall_time(proxy.run.now)} {text}")

    def mention(text: str) -> None:
        if not quiet:
            complain(text)

    def listening(addresses: dict[str, str]) -> None:
        say(json.dumps({"listening": addresses}))
        for name in open_doors(addresses):
            mention(f"{name} listens on {addresses[name]}: whoever reaches this machine can use it")

    with ExitStack() as stack:
        if log is not None:
            proxy.read(_logger(proxy, stack.enter_context(_open_log(log))))
        if trace is not None:
            proxy.read(_journal(stack, trace, file.plan, str(config)))
        if not quiet:
            proxy.read(_herald(proxy, file.plan))
        for warning in file.warnings:
            mention(warning)
        ended = proxy.serve(_wishes(), listening=listening, mention=mention, complain=complain)
    raise typer.Exit(_CODES[ended])


def _wishes() -> SimpleQueue[Ending]:
    """From here on, signals to end are wishes in this queue; its `put` may be called in the middle of anything."""
    from queue import SimpleQueue

    wishes: SimpleQueue[Ending] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda _number, _frame: wishes.put("stopped"))
    signal.signal(signal.SIGINT, lambda _number, _frame: wishes.put("interrupted"))
    return wishes


def _herald(proxy: Proxy, plan: Plan) -> Reader:
    from lbtutor.labs.proxy import Herald

    herald = Herald(plan, ascii=is_ascii_only(sys.stderr))

    def tell(batch: Sequence[Event]) -> None:
        for event in batch:
            for sentence in herald.take(event):
                note(f"{proxy.wall_time(event.at)} {sentence}")

    return tell


def _journal(stack: ExitStack, path: Path, plan: Plan, name: str) -> Reader:
    from msgspec.structs import replace

    from lbtutor.trace.journal import Header, JournalWriter

    header = replace(Header.of(plan, scenario=name, shell="live"), lasts=0.0)
    journal = stack.enter_context(JournalWriter(path, header))

    def write(batch: Sequence[Event]) -> None:
        for event in batch:
            journal.write(event)

    return write


def _logger(proxy: Proxy, file: FileIO) -> Reader:
    import msgspec

    from lbtutor.trace.access import AccessLog

    entries = AccessLog(proxy.wall_time)
    encode = msgspec.json.Encoder().encode

    def write(batch: Sequence[Event]) -> None:
        entered = [entry for entry in map(entries.take, batch) if entry is not None]
        rest = memoryview(b"".join(encode(entry) + b"\n" for entry in entered))
        while rest:  # a signal may cut a write short
            rest = rest[file.write(rest) :]

    return write


def _open_log(where: str) -> FileIO:
    """Unbuffered: whole batches are written, and nothing is left to fail when the program ends."""
    try:
        if where == "-":
            return open(sys.stdout.fileno(), "ab", buffering=0, closefd=False)
        return open(where, "ab", buffering=0)
    except OSError as error:
        raise EnvironmentFault(f"cannot write the access log {where}: {error.strerror or error}") from error
