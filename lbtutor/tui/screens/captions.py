"""`Captions`: which sentence stands under the stage.

While the picture stands still it is the newest one, so that single steps can be read. While it moves, twenty sentences
a second would be noise: then only what changes the pool is told, and each stays long enough to be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbtutor.core.events import (
    Disabled,
    Draining,
    Ejected,
    Enabled,
    Ended,
    Event,
    HealthChanged,
    Missed,
    OriginChanged,
    Probed,
    Readmitted,
    Rejected,
)
from lbtutor.tui.screens.watched import Line

_SPOKEN_STAYS = 4.0
_TOLD_STAYS = 1.5
"""Seconds of wall time: what answers a key stays longer than what merely happened."""

_OLD = 6.0
"""Seconds after which a sentence no longer tells what is moving on the stage."""

_NOTABLE = (
    HealthChanged,
    Ejected,
    Readmitted,
    OriginChanged,
    Draining,
    Disabled,
    Enabled,
    Rejected,
    Missed,
    Ended,
)


class Captions:
    """One sentence at a time; `now` is wall time in seconds."""

    def __init__(self) -> None:
        self.text = ""
        self._next = ""
        self._until = 0.0

    def say(self, sentence: str, now: float) -> None:
        """Answer the learner, at once."""
        self.text, self._next, self._until = sentence, "", now + _SPOKEN_STAYS

    def clear(self) -> None:
        """Say nothing until something happens."""
        self.text, self._next, self._until = "", "", 0.0

    def hush(self) -> None:
        """The learner asked for the next event: nothing stands in its way."""
        self._until = 0.0

    def follow(self, lines: Sequence[Line], now: float, *, moving: bool) -> None:
        """Take the newest sentence worth telling, as soon as the present one has stood long enough."""
        for line in lines:
            if not moving or _notable(line.event):
                self._next = line.says
        if self._next and now >= self._until:
            self.text, self._next = self._next, ""
            self._until = now + _TOLD_STAYS if moving else now
        elif moving and now >= self._until + _OLD:
            self.text = ""


def _notable(event: Event) -> bool:
    if isinstance(event, Probed):
        return event.count > 0
    return isinstance(event, _NOTABLE)
