"""What can go wrong with a learner's file, as one family, each with what the learner needs to find it.

    Fault
    ├── NotGradable      the file cannot be judged at all: not Python, no such class, too large
    ├── Raised           their code raised something, in that line of their file
    ├── WrongType        an answer that may not cross: only plain text, whole numbers, finite numbers, bools, None and
    │                    short rows of those do
    ├── NotOffered       `pick` returned something that is not one of the backends it was given
    ├── Changed          it wrote to a backend, a request or an event, which are the balancer's
    ├── TooMuchMemory    it asked for more than the limit
    ├── Ended            its process ended: exit code or signal
    ├── ProtocolBroken   what came over the pipe is not one answer to one question
    └── TooSlow          no answer within the limit; not an `Exception`, see there

None of these says what is *wrong* with an algorithm; that is for the laws. Text that came from learner code has been
made printable and short before it is in here.
"""

from __future__ import annotations

import signal
from typing import NamedTuple


class Fault(BaseException):
    """Why learner code gave no usable answer. Its text is one sentence for the learner."""


class NotGradable(Fault, Exception):
    """The file cannot be judged; `line` is where in it, or 0."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(f"not gradable: {f'line {line}: ' if line else ''}{reason}")
        self.reason = reason
        self.line = line


class Frame(NamedTuple):
    """One step of a traceback in the learner's own file: line number, name of the function, text of the line."""

    line: int
    function: str
    source: str


class Raised(Fault, Exception):
    """Their code raised `kind` with `text`; `line` and `source` are where in their file, `frames` how it got there.

    `line` is 0 when no line of theirs took part, as in a call with the wrong arguments.
    """

    def __init__(self, kind: str, text: str, frames: tuple[Frame, ...] = ()) -> None:
        self.kind = kind
        self.text = text
        self.frames = frames
        self.line, _, self.source = frames[-1] if frames else Frame(0, "", "")
        where = f" in line {self.line}: {self.source}" if self.line else ""
        super().__init__(f"raised {kind}{f': {text}' if text else ''}{where}")


class WrongType(Fault, Exception):
    """`method` returned something that may not cross; `found` describes it ("a list of 40", "nan")."""

    def __init__(self, method: str, found: str) -> None:
        super().__init__(f"{method} returned {found}")
        self.method = method
        self.found = found


class NotOffered(Fault, Exception):
    """`pick` returned something that is not one of the backends offered; `found` describes it."""

    def __init__(self, found: str) -> None:
        super().__init__(f"pick returned {found}, which is not one of the backends offered")
        self.found = found


class Changed(Fault, Exception):
    """Their code wrote to something that is only lent to it; `what` names it ("in_flight of backend n1")."""

    def __init__(self, what: str) -> None:
        super().__init__(f"wrote to {what}, which an algorithm may only read")
        self.what = what


class TooMuchMemory(Fault, Exception):
    """More memory than the limit, `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"needed more than {limit_bytes // 2**20} MiB of memory")
        self.limit_bytes = limit_bytes


class Ended(Fault, Exception):
    """Its process ended: `code` is the exit code, or minus the signal's number, or None where nobody could tell."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"ended its process ({_ending(code)})")
        self.code = code


class ProtocolBroken(Fault, Exception):
    """Something wrote into the pipe that the answers come through."""

    def __init__(self, found: str) -> None:
        super().__init__(f"broke the rule of one answer for each question: {found}")
        self.found = found


class TooSlow(Fault):
    """No answer to `what` within `limit` seconds.

    A `BaseException` on purpose: Hypothesis does not catch it, so a hang is met once and not once for every attempt to
    shrink it (measured: 1 wait against 52).
    """

    def __init__(self, what: str, limit: float) -> None:
        super().__init__(f"{what} took longer than {limit:g} s")
        self.what = what
        self.limit = limit


def _ending(code: int | None) -> str:
    if code is None:
        return "nobody saw how"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
