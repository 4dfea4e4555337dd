"""Printing: results on stdout, messages on stderr, and neither ever fails on a terminal that cannot show a glyph."""

from __future__ import annotations

import sys
from typing import TextIO

_ASCII = str.maketrans(
    {"→": "->", "←": "<-", "✓": "+", "✕": "x", "●": "*", "○": "o", "◐": "!", "·": "-", "…": "...", "×": "x", "–": "-"}
)


def say(text: str = "") -> None:
    """Print a result."""
    _write(sys.stdout, text)


def note(text: str) -> None:
    """Print a message to the person: progress, a warning, an error."""
    _write(sys.stderr, text)


def is_ascii_only(stream: TextIO | None = None) -> bool:
    """True when the stream's encoding cannot carry our glyphs."""
    encoding = (stream or sys.stdout).encoding or "ascii"
    try:
        "→✓●".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def _write(stream: TextIO, text: str) -> None:
    if is_ascii_only(stream):
        text = text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    print(text, file=stream, flush=True)
