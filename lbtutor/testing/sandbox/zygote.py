"""The process behind a confined room: it never runs learner code, but forks the workers that do.

Started once for a learner's file. It reads the file (compiles it, imports the standard modules that it names), closes
what doors it can without losing the right to fork, and then waits for orders on its socket:

    next        the worker that waits is the present one now; kill the one before, and fork another to wait
    reap t      how did the worker end? [code], or [None] for one that had to be killed after t seconds
    (end)       kill what is left, and go

There is always one worker that waits: its two pipes are handed out as soon as it is forked. A worker closes the
remaining doors, says so (`closed`, before any learner code could), and answers questions until its pipe ends. An
interpreter of its own for every example costs the same millisecond or two either way, but now they pass on another core
while the example before is still being played.
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
from .wire import FRAME, HEADER, encode, read_frame, read_question, write_all

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
    os.environ.pop("LD_BIND_NOW", None)
    order = read_frame(control)
    if order["cores"]:
        os.sched_setaffinity(0, order["cores"])
    say = _socket.socket(fileno=control)
    memory = doors.limit(order["memory_bytes"])
    try:
        read = Read(order["data"].encode("latin-1"), order["name"])
    except SyntaxError as error:
        say.sendall(encode(["refused", str(error.msg), error.lineno or 0]))
        return
    except (ValueError, RecursionError, MemoryError) as error:
        say.sendall(encode(["refused", str(error) or "it is too large, or too deeply nested, for Python to read", 0]))
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
    os._exit(0)


def _close() -> tuple[str, int]:
    """The doors that stay closed for all workers: user and version of Landlock in force."""
    os.chdir("/")
    doors.adopt_orphans()
    landlock = doors.close_files(doors.landlock_version())
    user = doors.leave_root()
    doors.dumpable(on=False)
    return user, landlock


class Zygote:
    """Forks workers for one file: `worker` is the process id of the present one, `waiting` that of the next, or 0."""

    def __init__(self, say: _socket.socket, read: Read, landlock: int, order: dict[str, Any]) -> None:
        self._say = say
        self._read = read
        self._order = order
        self._neighbours = doors.neighbours(landlock)
        self._filter = doors.filter_of(doors.MACHINE)
        self.worker = self.waiting = 0

    def obey(self) -> None:
        """Do as ordered until the orders end."""
        with contextlib.suppress(EOFError):
            self._fork()
            while True:
                wanted, *how = read_frame(self._say.fileno())
                self._reap(*how) if wanted == "reap" else self._next()
        _kill(self.waiting)
        _kill(self.worker)

    def _reap(self, patience: float) -> None:
        self._say.sendall(encode([_ending(self.worker, patience)]))
        self.worker = 0

    def _next(self) -> None:
        if self.worker and self._order["cores"]:  # to die takes time too, and need not take it from its successor
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.worker, self._order["cores"])
        _kill(self.worker)
        self.worker = self.waiting
        self._fork()

    def _fork(self) -> None:
        questions, ask = os.pipe()
        listen, answers = os.pipe()
        self.waiting = os.fork()
        if not self.waiting:
            for fd in (ask, listen, self._say.detach()):
                os.close(fd)
            _work(questions, answers, Stage(self._read), self._neighbours, self._filter, self._order)
        rights = ask.to_bytes(4, sys.byteorder) + listen.to_bytes(4, sys.byteorder)
        self._say.sendmsg([encode([self.waiting])], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        for fd in (questions, answers, ask, listen):
            os.close(fd)


def _kill(worker: int) -> None:
    if worker:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def _ending(worker: int, patience: float) -> int | None:
    """How a worker ended: exit code, minus the signal's number, or None if it had to be killed after all."""
    until = time.monotonic() + patience
    while worker and time.monotonic() < until:
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    _kill(worker)
    return None


def _work(
    questions: int, answers: int, stage: Stage, neighbours: int, program: bytes, order: dict[str, Any]
) -> NoReturn:
    """The life of a worker; never returns."""
    end = os._exit
    try:
        doors.die_with_parent()
        doors.limit_further(order["cpu"], order["printed_bytes"], order["files"])
        doors.close_neighbours(neighbours)
        if order["cores"]:
            os.sched_setaffinity(0, [order["core"]])
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
    read_question: Callable[[int], list[Any]] = read_question,
    write_all: Callable[[int, bytes], None] = write_all,
    encode: Callable[[list[Any]], bytes] = encode,
    longest: int = FRAME + HEADER.size,
) -> NoReturn:
    """One answer to each question. Names are bound here, since learner code may replace them where they come from."""
    answer = stage.answer
    while True:
        number, op, *arguments = read_question(questions)
        frame = encode([number, *answer(op, arguments)])
        if len(frame) > longest:
            frame = encode([number, "type", op, "more than fits into a message"])
        write_all(answers, frame)
