"""A line on stderr that says how far something has come and, once two seconds have passed, how long it still takes.

Only where somebody watches: in a log, a line that is rewritten a hundred times is a hundred lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

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
        left = f", about {passed / share - passed:.0f} s left" if passed > _ENOUGH and share else ""
        sys.stderr.write(f"\r{title}: {share:.0%}{left} \x1b[K" if share < 1 else _GONE)
        sys.stderr.flush()

    return tell
