"""`lbtutor proxy`: a scenario file's doors, routes and pools in front of somebody's servers."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.text import is_ascii_only, note, say

if TYPE_CHECKING:
    from queue import SimpleQueue

    from lbtutor.core import Event, Plan
    from lbtutor.labs.proxy import Proxy, Reader, Wish
    from lbtutor.live.admin_server import AdminServer

_CODES = {"stopped": Exit.PASSED, "interrupted": Exit.INTERRUPTED}

_WISHES: dict[str, tuple[Wish, ...]] = {
    "SIGTERM": ("stopped",),
    "SIGINT": ("interrupted",),
    "SIGHUP": ("reopen", "reload"),
    "SIGUSR1": ("reopen",),
}
"""What each signal asks for; the last two do not exist everywhere."""


def _print_example(wanted: bool) -> None:
    if wanted:
        from lbtutor.labs.library import library_folder

        say((library_folder("lessons") / "proxy.toml").read_text(encoding="utf-8").rstrip())
        raise typer.Exit


def proxy(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A scenario file whose backends have addresses.")],
    log: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Append an access log: JSON Lines; - is stdout.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the trace to this file (JSON Lines). Costs most.")] = None,
    admin: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Open the admin API there, such as 127.0.0.1:9900; off without."),
    ] = None,
    expose_admin: Annotated[
        bool,
        typer.Option("--expose-admin", help="Let --admin be an address that others can reach. It has no password."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Read CONFIG again as soon as it or a certificate has changed.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
    _example: Annotated[
        bool,
        typer.Option(
            "--example", callback=_print_example, is_eager=True, help="Print a CONFIG with all that there is, and exit."
        ),
    ] = False,
) -> None:
    """Serve a file's listen, route and pool tables: a small real load balancer.

    Prints {"listening": {"front": "127.0.0.1:8080"}} on stdout as soon as it serves, with "admin": "127.0.0.1:9900"
    where there is one. What happens to the backends is told on stderr.

    A changed CONFIG is read again, and so it is at SIGHUP: all of it takes effect at once, or, if it has a mistake,
    nothing changes and stderr says why. Doors, routes, pools, members, health checks and certificates may change; no
    connection is cut off. The file is the truth: weights, splits and members that were set by hand are then as it says;
    a drain or maintenance goes on.

    SIGTERM or Ctrl-C lets requests under way finish, for as long as the file's `drain` says; a second one does not
    wait. SIGUSR1 opens the access log anew, after it was moved away; SIGHUP does that too.

    The admin API: curl it at / to see what it can do: drain, weight, add, remove, snapshot, reload, metrics.
    """
    from lbtutor.labs.proxy import Proxy, read_proxy, warn_of_doors

    file = read_proxy(config)
    proxy = Proxy(file.plan, config)

    def complain(text: str) -> None:
        with suppress(OSError):  # nobody reads it any more, which is no reason to stop
            note(f"{proxy.wall_time(proxy.run.now)} {text}")

    def mention(text: str) -> None:
        if not quiet:
            complain(text)

    with ExitStack() as stack:
        api = None if admin is None else stack.enter_context(_admin(proxy, admin, exposed=expose_admin))

        def listening(addresses: dict[str, str]) -> None:
            say(json.dumps({"listening": addresses} | ({} if api is None else {"admin": str(api.address)})))
            for sentence in warn_of_doors(addresses):
                mention(sentence)

        if log is not None:
            _keep_log(stack, proxy, log)
        if trace is not None:
            proxy.read(_journal(stack, trace, file.plan, str(config)))
        if not quiet:
            _tell_news(proxy)
        for warning in file.warnings:
            mention(warning)
        ended = proxy.serve(_wishes(), listening=listening, mention=mention, complain=complain, watch=watch)
    raise typer.Exit(_CODES[ended])


def _wishes() -> SimpleQueue[Wish]:
    """From here on, signals are wishes in this queue; its `put` may be called in the middle of anything."""
    from queue import SimpleQueue

    wishes: SimpleQueue[Wish] = SimpleQueue()

    def heard(number: int, _frame: object) -> None:
        for wish in _WISHES[signal.Signals(number).name]:
            wishes.put(wish)

    for name in _WISHES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), heard)
    return wishes


def _admin(proxy: Proxy, at: str, *, exposed: bool) -> AdminServer:
    from lbtutor.live.admin import Admin
    from lbtutor.live.admin_server import AdminServer
    from lbtutor.trace.meter import KINDS, Meter

    meter = Meter()
    proxy.read(meter.take, KINDS)

    def metrics() -> tuple[bytes, str]:
        from lbtutor.trace.exposition import Now, expose

        connections = proxy.run.connections
        return expose(meter, Now(proxy.run.snapshot(), connections.of_clients, connections.to_backends))

    return AdminServer(Admin(proxy.run, proxy.reload, metrics), at, exposed=exposed)


def _keep_log(stack: ExitStack, proxy: Proxy, where: str) -> None:
    from lbtutor.trace.access import KINDS, AccessFile

    file = stack.enter_context(AccessFile(where, proxy.wall_time))
    proxy.read(file.take, KINDS)
    proxy.on_reopen(file.reopen)


def _tell_news(proxy: Proxy) -> None:
    from lbtutor.labs.herald import KINDS, Herald

    herald = Herald(lambda: proxy.run.plan, ascii=is_ascii_only(sys.stderr))

    def tell(batch: Sequence[Event]) -> None:
        for at, events in groupby(batch, key=attrgetter("at")):
            for sentence in herald.hear(events):
                note(f"{proxy.wall_time(at)} {sentence}")

    proxy.read(tell, KINDS)


def _journal(stack: ExitStack, path: Path, plan: Plan, name: str) -> Reader:
    from msgspec.structs import replace

    from lbtutor.trace.journal import Header, JournalWriter

    header = replace(Header.of(plan, scenario=name, shell="live"), lasts=0.0)
    journal = stack.enter_context(JournalWriter(path, header))

    def write(batch: Sequence[Event]) -> None:
        for event in batch:
            journal.write(event)

    return write
