"""Exit codes, and how an error becomes one.

| 0 | passed |
| 1 | the learner's work, or an expectation, failed |
| 2 | usage |
| 3 | unknown: too little was seen to say |
| 4 | environment or tool fault |
| 130 | interrupted |
"""

from __future__ import annotations

from enum import IntEnum

from lbtutor.core.errors import ConfigError, EnvironmentFault, JournalError, LbtutorError


class Exit(IntEnum):
    """What a command tells the shell that called it."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    UNKNOWN = 3
    FAULT = 4
    INTERRUPTED = 130


OF_VERDICT = {"passed": Exit.PASSED, "failed": Exit.FAILED, "unknown": Exit.UNKNOWN}

_OF_ERROR: tuple[tuple[type[LbtutorError], Exit], ...] = (
    (ConfigError, Exit.USAGE),
    (JournalError, Exit.USAGE),
    (EnvironmentFault, Exit.FAULT),
)


def exit_of(error: LbtutorError) -> Exit:
    """The code for an error that we can explain; a broken contract is a fault of the tool."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), Exit.FAULT)
