"""The process behind a confined room: it never runs learner code, but forks the workers that do.

Started once for a learner's file. It reads the file (compiles it, imports the standard modules that it names), closes
what doors it can without losing the right to fork, and then waits for orders on its socket:

    fork     kill the last worker, if any; fork a new one and hand out its two pipes
    reap     how did the worker end? [code], or [None] for one that closed its pipes and had to be killed
    (end)    kill what is left, and go

A worker closes the remaining doors, says so (`closed`, before any learner code could), and answers questions until its
pipe ends. Forking a clean zygote costs about a millisecond, so every example can have an interpreter of its own.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import io
import os
import signal
import sys
import time

from . import doors
from .stage import Read, Stage
from .wire import FRAME, HEADER, encode, read_frame, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

OMITTED = frozenset(
    {"antigravity", "ensurepip", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"}
)
"""Modules of the standard library that are not imported ahead, though a file names them: they do things, or are large.
All others are, because behind the doors the library may be out of reach: in a home that this user may not enter."""
ALWAYS = ("random", "traceback", "linecache")

PATIENCE = 0.5
"""Seconds that a worker whose pipes have ended has left to end itself."""


class Prints(io.TextIOBase):
    """Standard output of a worker: what does not fit into the file any more is dropped, and nobody is told."""

    def write(self, text: str, write: Callable[[int, bytes], int] = os.write) -> int:
        """Append the text; always all of it, as far as the writer knows."""
        with contextlib.suppress(OSError):
            write(1, text[:FRAME].encode("utf-8", "backslashreplace"))
        return len(text)

    def writable(self) -> bool:
        """True."""
        return True


def serve(control: int) -> None:
    """Do what the other end of that socket says, until it ends."""
    order = read_frame(control)
    say = _socket.socket(fileno=control)
    memory = doors.limit(order["memory_bytes"])
    try:
        read = Read(order["data"].encode("latin-1"), order["name"])
    except SyntaxError as error:
        say.sendall(encode(["refused", str(error.msg), error.lineno or 0]))
        return
    except (ValueError, RecursionError, MemoryError) as error:
        say.sendall(encode(["refused", str(error) or type(error).__name__, 0]))
        return
    for name in (*ALWAYS, *sorted(read.imports)):
        if name.partition(".")[0] in sys.stdlib_module_names - OMITTED:
            with contextlib.suppress(ImportError):
                __import__(name)
    user, landlock = _close()
    say.sendall(encode(["ready", memory, landlock, user]))
    sys.stdout = sys.stderr = Prints()
    for name in [name for name in sys.modules if name.partition(".")[0] == "sandbox"]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # the workers share these pages as long as nobody counts on them
    Zygote(say, read, landlock, order).obey()
    if os.getuid() >= doors.NOBODYS:  # nobody else has this user id, so whatever it still has came from here
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)


def _close() -> tuple[str, int]:
    """The doors that stay closed for all workers: user and version of Landlock in force."""
    os.chdir("/")
    doors.adopt_orphans()
    landlock = doors.close_files(doors.landlock_version())
    user = doors.leave_root()
    doors.dumpable(on=False)
    return user, landlock


class Zygote:
    """Forks workers for one file, one at a time; `worker` is the process id of the present one, or 0."""

    def __init__(self, say: _socket.socket, read: Read, landlock: int, order: dict[str, Any]) -> None:
        self._say = say
        self._read = read
        self._landlock = landlock
        self._order = order
        self._filter = doors.filter_of(doors.MACHINE)
        self.worker = 0

    def obey(self) -> None:
        """Do as ordered until the orders end."""
        with contextlib.suppress(EOFError):
            while True:
                (wanted,) = read_frame(self._say.fileno())
                self._reap() if wanted == "reap" else self._fork()
        _kill(self.worker)

    def _reap(self) -> None:
        self._say.sendall(encode([_ending(self.worker)]))
        self.worker = 0

    def _fork(self) -> None:
        _kill(self.worker)
        questions, ask = os.pipe()
        listen, answers = os.pipe()
        self.worker = os.fork()
        if not self.worker:
            for fd in (ask, listen, self._say.detach()):
                os.close(fd)
            _work(questions, answers, Stage(self._read), self._landlock, self._filter, self._order)
        rights = ask.to_bytes(4, sys.byteorder) + listen.to_bytes(4, sys.byteorder)
        self._say.sendmsg([encode([self.worker])], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        for fd in (questions, answers, ask, listen):
            os.close(fd)


def _kill(worker: int) -> None:
    if worker:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def _ending(worker: int) -> int | None:
    """How a worker ended whose pipes have: exit code, minus the signal's number, or None if it had to be killed."""
    until = time.monotonic() + PATIENCE
    while worker and time.monotonic() < until:
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    _kill(worker)
    return None


def _work(questions: int, answers: int, stage: Stage, landlock: int, program: bytes, order: dict[str, Any]) -> NoReturn:
    """The life of a worker; never returns."""
    end = os._exit
    try:
        doors.die_with_parent()
        doors.limit_further(order["cpu"], order["printed_bytes"], order["files"])
        doors.close_neighbours(landlock)
        write_all(answers, encode([0, "closed", doors.close_calls(program)]))
        _answer_all(questions, answers, stage)
    except EOFError:
        end(0)
    except BaseException:  # noqa: BLE001 (learner code has broken the interpreter that this line needs)
        end(70)


def _answer_all(
    questions: int,
    answers: int,
    stage: Stage,
    read_frame: Callable[[int], list[Any]] = read_frame,
    write_all: Callable[[int, bytes], None] = write_all,
    encode: Callable[[list[Any]], bytes] = encode,
    longest: int = FRAME + HEADER.size,
) -> NoReturn:
    """One answer to each question. Names are bound here, since learner code may replace them where they come from."""
    answer = stage.answer
    while True:
        number, op, *arguments = read_frame(questions)
        frame = encode([number, *answer(op, arguments)])
        if len(frame) > longest:
            frame = encode([number, "type", op, "more than fits into a message"])
        write_all(answers, frame)
