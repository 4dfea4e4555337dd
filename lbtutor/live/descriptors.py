"""File descriptors are few: who gets the last ones, and what those do who get none.

A balancer that gives its last descriptor to one more client has none left for the backends. Then its probes fail, it
believes every backend down, and nobody is served at all, for want of a number. So doors leave a share of the
descriptors to the connections to backends (HAProxy does, and lets in half as many clients as it may have descriptors),
and new clients wait in the kernel's queue meanwhile. Whoever wants a connection to a backend and finds no descriptor
in spite of that waits for one instead of blaming the backend, for as long as its timeout allows.
"""

from __future__ import annotations

import errno
import os
import sys

if sys.platform != "win32":
    import resource

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors that say that this process or machine has no more; nobody at the other end is to blame."""

REST = 0.1
"""Wall seconds between two tries when there are no file descriptors left (trio's `SLEEP_TIME`)."""

_ENDLESS = 2**31

_FOR_BACKENDS = 8
"""One in so many descriptors is not for clients."""


def are_short(descriptor: int) -> bool:
    """Only those are left that are not for clients. Descriptors are given out lowest first, so the copy of any one of
    them tells how many are in use."""
    try:
        lowest = os.dup(descriptor)
    except OSError:
        return True
    os.close(lowest)
    return lowest >= _most() * (_FOR_BACKENDS - 1) // _FOR_BACKENDS


def _most() -> int:
    """How many this process may have now."""
    if sys.platform == "win32":  # there is no such limit
        return _ENDLESS
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENDLESS if most == resource.RLIM_INFINITY else most
