"""How many frames a second the picture is worth just now, and which of them to leave out.

A picture that nobody looks at, or that stands still, is drawn seldom. A terminal that cannot keep up (a slow SSH line,
a projector's computer) is drawn for less often as well: Textual writes from a thread through a queue of 30 chunks, and
a full queue would stop the whole program. So a frame is left out while more than one chunk waits, and if a fifth of the
frames of two seconds had to be left out, the rate goes down a step. What is left out is drawing; traffic goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.app import App

LADDER = (30, 20, 12, 8)
"""Frames a second, from the usual to what the slowest line gets."""

STILL = 4
UNWATCHED = 5
CALM = 10
BROWSER = 20

_TOO_MANY = 1 / 5
_WINDOW = 2.0


class Pace:
    """The frame rate of one screen. `calm` is for those who asked for less motion; `most` is the terminal's limit."""

    def __init__(self, *, calm: bool = False, most: int = LADDER[0]) -> None:
        self._most = min(most, CALM) if calm else most
        self._rung = 0
        self._frames = 0
        self._left_out = 0

    def rate(self, *, still: bool, watched: bool) -> int:
        """Frames a second for a picture that stands `still` or moves, in a terminal that has the focus or not."""
        rate = min(self._most, LADDER[self._rung])
        return min(rate, STILL) if still else rate if watched else min(rate, UNWATCHED)

    @property
    def slowed(self) -> bool:
        """Whether the terminal could not keep up and the rate was lowered."""
        return self._rung > 0

    def worth_drawing(self, waiting: int) -> bool:
        """Whether to draw this frame, while so many chunks wait to be written; counts towards a lower rate."""
        self._frames += 1
        self._left_out += waiting > 1
        if self._frames >= _WINDOW * LADDER[self._rung]:
            if self._left_out > _TOO_MANY * self._frames:
                self._rung = min(self._rung + 1, len(LADDER) - 1)
            self._frames = self._left_out = 0
        return waiting <= 1


def waiting_writes(app: App[object]) -> int:
    """Chunks that wait for the terminal; 0 where Textual does not say (its queue is private)."""
    queue = getattr(getattr(app._driver, "_writer_thread", None), "_queue", None)
    return 0 if queue is None else queue.qsize()
