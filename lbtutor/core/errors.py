"""The errors of the house, as one family.

    LbtutorError
    ├── ConfigError      a configuration, scenario or lesson file cannot be used as written
    ├── JournalError     a trace file cannot be read to its end
    ├── EnvironmentFault this machine refuses something that was needed (a port, an address, a file)
    └── ContractError    the caller of `Balancer` broke its contract: a bug in a shell, never in a learner's file

An expected refusal (nobody available, no such route) is a value, `Reject`, and not here. The message of each says what
happened, where, and what to try; nothing above this floor needs to add to it.
"""

from __future__ import annotations

from collections.abc import Iterable


class LbtutorError(Exception):
    """Anything that lbtutor can explain to the person at the keyboard."""


class ConfigError(LbtutorError, ValueError):
    """A file cannot be used as written: names the file, the key or the line, and what would be accepted.

    Also a `ValueError`, so that msgspec adds the place in the file when one is raised while a table is being read.
    """


class JournalError(LbtutorError):
    """A trace file is foreign, newer than this program, or damaged.

    `journal` is a `lbtutor.trace.journal.Journal` with what could be read before the damage, or None.
    """

    def __init__(self, message: str, journal: object | None = None) -> None:
        super().__init__(message)
        self.journal = journal


class EnvironmentFault(LbtutorError):
    """The machine refused something: a port in use, no such address, a file that cannot be written."""


class ContractError(LbtutorError):
    """The balancer was told something impossible, such as the end of a request that never arrived."""


def hint(name: str, known: Iterable[str]) -> str:
    """What may have been meant by a name that is not known: the nearest one, or else all there are."""
    from difflib import get_close_matches  # a rare path, and five milliseconds of every start

    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names) or 'none'}"
