"""The characters of the screen, in three sets: what looks best, what every font has, and plain ASCII.

A state is never told by colour alone: every mark differs from the others in shape, in each set. `unicode` wants a
font with geometric shapes (most have them), `safe` keeps to the 652 characters of WGL4, which nearly every font has
and the Linux console can show, and `ascii` is for terminals that are not UTF-8: Textual writes to stderr, whose encoder
would otherwise print `\\u25cf` for a dot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "LBTUTOR_GLYPHS"
"""Environment variable that names a set and ends all guessing."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set. Every mark is one cell wide, except those of answered probes, which may be two."""

    name: str
    request: str
    reply: str
    failed: str
    probe: str
    probe_passed: str
    probe_failed: str
    up: str
    failing: str
    down: str
    draining: str
    ejected: str
    unchecked: str
    maintenance: str
    wire: str
    out: str
    back: str
    """The ends of a wire, where travellers get off."""
    outward: str
    homeward: str
    full: str
    empty: str
    times: str
    dots: str
    pointer: str
    box: str
    """Corners from the top left clockwise, then horizontal and vertical."""
    eighths: str
    """From nothing to a full cell."""


UNICODE = Glyphs(
    name="unicode",
    request="●",
    reply="○",
    failed="✕",
    probe="◆",
    probe_passed="◇",
    probe_failed="✕◇",
    up="●",
    failing="◐",
    down="✕",
    draining="◌",
    ejected="▲",
    unchecked="◇",
    maintenance="▣",
    wire="╌",
    out="▸",
    back="◂",
    outward="→",
    homeward="←",
    full="█",
    empty="░",
    times="×",
    dots="…",
    pointer="▶",
    box="╭╮╯╰─│",
    eighths=" ▁▂▃▄▅▆▇█",
)

SAFE = Glyphs(
    name="safe",
    request="●",
    reply="○",
    failed="×",
    probe="♦",
    probe_passed="◊",
    probe_failed="×◊",
    up="●",
    failing="◘",
    down="×",
    draining="◦",
    ejected="▲",
    unchecked="◊",
    maintenance="■",
    wire="·",
    out="·",
    back="·",
    outward="→",
    homeward="←",
    full="█",
    empty="░",
    times="×",
    dots="…",
    pointer="►",
    box="┌┐┘└─│",
    eighths="  ▄▄▄▄███",
)

ASCII = Glyphs(
    name="ascii",
    request=">",
    reply="<",
    failed="x",
    probe="?",
    probe_passed="!",
    probe_failed="x!",
    up="*",
    failing="~",
    down="x",
    draining="-",
    ejected="^",
    unchecked="?",
    maintenance="#",
    wire=".",
    out=".",
    back=".",
    outward="->",
    homeward="<-",
    full="#",
    empty=".",
    times="x",
    dots="~",
    pointer=">",
    box="++++-|",
    eighths=" ..::==##",
)

SETS: dict[str, Glyphs] = {glyphs.name: glyphs for glyphs in (UNICODE, SAFE, ASCII)}
"""All sets by name."""


def detect(environ: Mapping[str, str] | None = None, encoding: str | None = None) -> Glyphs:
    """The set that this terminal can show.

    `LBTUTOR_GLYPHS` decides when it names a set. Otherwise the encoding of stderr does (that is where Textual draws),
    and the Linux console, whose fonts hold few shapes, gets the safe set.
    """
    environ = os.environ if environ is None else environ
    named = SETS.get(environ.get(VARIABLE, "").strip().lower())
    if named is not None:
        return named
    if not _is_utf(encoding or getattr(sys.__stderr__, "encoding", None) or "ascii"):
        return ASCII
    return SAFE if environ.get("TERM") == "linux" else UNICODE


def _is_utf(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "").startswith("utf")
