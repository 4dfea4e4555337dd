"""A line on stderr that says how far something has come and, once two seconds have passed, how long it still takes.

Only where somebody watches: in a log, a line that is rewritten a hundred times is a hundred lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.text import note

_ENOUGH = 2.0
"""Wall seconds after which an estimate is worth something, and wanted."""

_GONE = "\r\x1b[K"


def progress(title: str) -> Callable[[float], None] | None:
    """To be called with the share that is done (0 to 1); at 1 the line goes away. None where nobody watches."""
    if not sys.stderr.isatty():
        return None
    began = monotonic()

    def tell(share: float) -> None:
        passed = monotonic() - began
        left = f", about {_how_long(passed / share - passed)} left" if passed > _ENOUGH and share else ""
        sys.stderr.write(f"\r{title}: {share:.0%}{left} \x1b[K" if share < 1 else _GONE)
        sys.stderr.flush()

    return tell


@contextmanager
def progressing(title: str) -> Iterator[Callable[[float], None] | None]:
    """The same for as long as a block lasts: the line goes away with it, however it ends.

    A block that Ctrl-C ends has nothing to show: the program says so, and exits with that code.
    """
    tell = progress(title)
    try:
        yield tell
    except KeyboardInterrupt:
        interrupted = True
    else:
        interrupted = False
    finally:
        if tell is not None:
            tell(1.0)
    if interrupted:
        note("lbtutor: interrupted")
        raise typer.Exit(Exit.INTERRUPTED)


def _how_long(seconds: float) -> str:
    """Two digits at most: it is an estimate."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.0f} h"
