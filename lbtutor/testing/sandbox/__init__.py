"""The place where learner code runs, closed off from everything that judges it.

    with Confined(read_submission(path)) as room:            # or InProcess(…), where a debugger can follow
        shape = room.describe()                              # classes, methods, parameters
        handle = room.make("PowerOfTwo", rng=Rng(7))
        a, b = BackendView(1, "a"), BackendView(2, "b", in_flight=3)
        room.pick(handle, RequestView(at=1.5), (a, b))       # "a"
        room.pick(handle, RequestView(at=1.6), (a._replace(in_flight=1), b))
        room.fresh()                                         # a clean interpreter for the next example

Learner code answers calls over a pipe, from a process with limits, without files, network, children or signals where
the kernel can refuse them (`confinement()` says what it can). Model, chances and verdict stay with whoever asks. What
goes wrong in there is a `Fault`, which says what the learner needs to know; `TooSlow` is not an `Exception`.

    room       what can be asked (`Room`), and what is said: views, values, descriptions
    faults     what can go wrong
    limits     how much may be used
    intake     a file, folder member or archive member becomes a `Submission`
    confined   `Confined`: the process, its deadlines, its end
    inside     `InProcess`: the same answers, unconfined
    asking     questions become messages and answers become values, for both
    worker, zygote, doors, stage, things, wire      what runs on the other side of the pipe: standard library only
"""

from __future__ import annotations

from lbtutor.testing.sandbox.confined import Confined, Confinement, confinement, require
from lbtutor.testing.sandbox.faults import (
    Changed,
    Ended,
    Fault,
    Frame,
    NotGradable,
    NotOffered,
    ProtocolBroken,
    Raised,
    TooMuchMemory,
    TooSlow,
    WrongType,
)
from lbtutor.testing.sandbox.inside import InProcess
from lbtutor.testing.sandbox.intake import Submission, read_archive, read_submission, submission
from lbtutor.testing.sandbox.limits import Limits
from lbtutor.testing.sandbox.room import (
    FILE,
    BackendView,
    Class,
    Description,
    FinishedView,
    Function,
    Parameter,
    Plain,
    RequestView,
    Rng,
    Room,
    Value,
)

__all__ = [
    "FILE",
    "BackendView",
    "Changed",
    "Class",
    "Confined",
    "Confinement",
    "Description",
    "Ended",
    "Fault",
    "FinishedView",
    "Frame",
    "Function",
    "InProcess",
    "Limits",
    "NotGradable",
    "NotOffered",
    "Parameter",
    "Plain",
    "ProtocolBroken",
    "Raised",
    "RequestView",
    "Rng",
    "Room",
    "Submission",
    "TooMuchMemory",
    "TooSlow",
    "Value",
    "WrongType",
    "confinement",
    "read_archive",
    "read_submission",
    "require",
    "submission",
]
