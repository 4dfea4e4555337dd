"""`Confined`: learner code in a process of its own. This is the trusted side: deadlines, kills, what is believed.

Every wait has an end that lies here and not in the worker, and the end is SIGKILL. An answer that does not have the
number of its question, is too long, is followed by another or is no JSON ends the worker too. What the worker prints
goes into a nameless file of limited size and is read only when somebody asks.

Numbers (2 cores, Linux 6.18): start to first answer 21 ms (40 ms without cached bytecode), one call 16 us when both
processes share a core (a worker on another core has to be woken: 70 us and more), a clean interpreter by `fresh`
2 ms of work, of which the caller waits for less than one where another core is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple

from lbtutor.core.errors import EnvironmentFault
from lbtutor.testing.sandbox import doors
from lbtutor.testing.sandbox.asking import Asking, Theirs, printable
from lbtutor.testing.sandbox.faults import Ended, Fault, NotGradable, ProtocolBroken, TooSlow
from lbtutor.testing.sandbox.intake import Submission, submission
from lbtutor.testing.sandbox.limits import Limits
from lbtutor.testing.sandbox.wire import FRAME, HEADER, encode

WORKER = Path(__file__).with_name("worker.py")
BARE = ("-P", "-s", "-S", "-B", "-W", "ignore")
"""Nothing on the path but the standard library, nothing written. Not `-I`, which would also ignore PYTHONHASHSEED; what
else `-I` ignores of the environment is not in the environment."""
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "LD_BIND_NOW": "1"}
"""Symbols are looked up once, at the start, and not in every worker again."""
QUESTION = 2**20
"""The longest question, in bytes; ours, so this is against mistakes only."""
_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL)
"""How an interpreter ends whose compiler ran out of stack. Should ours do so by itself, no file could be read at all,
which those who grade see by their canaries."""
PATIENCE = 0.5
"""Seconds that a worker whose pipes have ended has left to end itself, so that it can be said how."""
_loads = json.JSONDecoder().decode


class Confinement(NamedTuple):
    """What holds a worker in: limits of the kernel, with or without memory; version of Landlock or 0; the filter of
    system calls; which user it is ("same", "uid …")."""

    memory: bool
    landlock: int
    seccomp: bool
    user: str

    def __str__(self) -> str:
        limits = "rlimits yes" if self.memory else "rlimits yes (without memory)"
        landlock = f"landlock {self.landlock or 'no'}"
        network = "network refused" if self.seccomp else "network TCP refused" if self.landlock >= 4 else "network open"
        return f"{limits}, {landlock}, seccomp {'yes' if self.seccomp else 'no'}, user {self.user}, {network}"

    def lacks(self, wanted: tuple[str, ...]) -> list[str]:
        """Those of `memory`, `landlock`, `seccomp`, `user`, `network` that are wanted and not in force."""
        there = {
            "rlimits": True,
            "memory": self.memory,
            "landlock": self.landlock > 0,
            "seccomp": self.seccomp,
            "user": self.user.startswith("uid"),
            "network": self.seccomp,
        }
        return [name for name in wanted if not there.get(name, False)]


class Confined(Asking):
    """A room with walls around one learner's file. Use it as a context manager, from one thread.

    `hash_seed` is the worker's PYTHONHASHSEED: a second room with another one shows whether answers hang on `hash()`.
    With `pin` the calling thread and the worker share one core as long as the room is open, which makes a call three to
    five times cheaper; the next worker is made ready on any. Entering raises the `Fault` that the file has when it is
    run, or `EnvironmentFault` when no worker can be started.
    """

    def __init__(self, file: Submission, *, limits: Limits | None = None, hash_seed: int = 0, pin: bool = True) -> None:
        super().__init__(file, limits or Limits())
        self.confinement = Confinement(memory=False, landlock=0, seccomp=False, user="same")
        self._hash_seed = hash_seed
        self._pin = pin
        self._closing = contextlib.ExitStack()
        self._dead: Fault | None = None
        self._deaths = 0
        self._suite = self._total = 0.0
        self._number = secrets.randbits(32)
        self._questions = self._answers = -1
        self._poll = select.poll()
        self._old: tuple[int, ...] = ()
        self._waiting: list[int] = []
        self._cores: dict[str, Any] = {"core": None, "cores": []}

    def __enter__(self) -> Confined:
        try:
            self._start()
            self.fresh()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def begin(self) -> None:
        """A suite begins; what was waited in earlier ones still counts for the submission."""
        self._suite = 0.0

    def fresh(self) -> None:
        """A new worker, forked from a clean interpreter; what the old one was doing is over.

        It was made ready while the old one answered, and is killed itself at the latest when the next one follows.
        """
        if self._dead is not None:
            self._deaths += 1
            if self._deaths > self.limits.deaths:
                raise self._dead
        self._forget()
        self._replace()
        self._answer("run", [], "running the file", self.limits.load)

    def printed(self) -> str:
        """What was printed since `fresh`."""
        text = os.pread(self._prints.fileno(), self.limits.printed_bytes, 0)
        return printable(text.decode("utf-8", "replace"), self.limits.printed_bytes)

    def _start(self) -> None:
        """Start the zygote and hand it the file; `NotGradable` is what it may say to that."""
        closing = self._closing
        self._protect()
        self._prints = closing.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 (it is entered)
        fcntl.fcntl(self._prints, fcntl.F_SETFL, os.O_APPEND)  # so that it can be emptied between two writes
        self._control, theirs = socket.socketpair()
        closing.enter_context(self._control)
        with theirs:
            zygote = subprocess.Popen(
                [sys.executable, *BARE, str(WORKER), str(theirs.fileno())],
                env={**ENVIRONMENT, "PYTHONHASHSEED": str(self._hash_seed)},
                stdin=subprocess.DEVNULL,
                stdout=self._prints,
                stderr=self._prints,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        closing.callback(self._finish, zygote)
        limits = self.limits
        order = {"name": self.file.name, "data": self.file.data.decode("latin-1")}
        kernel = {key: getattr(limits, key) for key in ("memory_bytes", "cpu", "printed_bytes", "files")}
        self._control.settimeout(limits.start)
        with contextlib.suppress(BrokenPipeError):  # it says why
            self._control.sendall(_long_frame({**order, **kernel, **self._cores}))
        try:
            answer, _ = self._heard(0)
        except TimeoutError:
            raise TooSlow("reading the file", limits.start) from None
        except EnvironmentFault:
            if zygote.wait() in _CRASHES:
                raise NotGradable("Python itself breaks down when it reads this file") from None
            raise
        self._begun(*answer)

    def _begun(self, word: str, *details: Theirs) -> None:
        if word == "refused":
            raise NotGradable(printable(details[0]), details[1])
        memory, landlock, user = details
        self.confinement = Confinement(memory, landlock, seccomp=False, user=user)

    def _protect(self) -> None:
        """Nobody of the same user may look into this process meanwhile; and, where it pays, both share a core."""
        if doors.dumpable():
            doors.dumpable(on=False)
            self._closing.callback(doors.dumpable, on=True)
        if self._pin and hasattr(os, "sched_setaffinity"):
            cores = os.sched_getaffinity(0)
            if len(cores) > 1:  # with one, somebody else has decided
                core = sorted(cores)[os.getpid() % len(cores)]
                self._cores = {"core": core, "cores": sorted(cores)}
                os.sched_setaffinity(0, {core})
                self._closing.callback(os.sched_setaffinity, 0, cores)

    def _replace(self) -> None:
        """The worker that waits, once it has closed its doors: what it says comes before any learner code is there.

        The one before is killed while its successor is at work already, since it only waits for a question. Of one that
        did something else than answer, the end is waited for.
        """
        try:
            if self._dead is not None:
                self._reap(0)
            questions, answers = self._next()
            self._waiting = []
            self._close_old()
            self._old = (self._questions, self._answers) if self._questions >= 0 else ()
            self._questions, self._answers = questions, answers
            self._poll = select.poll()
            self._poll.register(answers, select.POLLIN)
            _, _, seccomp = self._reply(perf_counter() + self.limits.start)
            self._prints.truncate(0)
            self._order("next")
        except (OSError, EOFError, ProtocolBroken) as error:
            said = self.printed().strip() or repr(error)
            raise EnvironmentFault(f"no worker could be started behind closed doors: {said}") from error
        self._dead = None
        self.confinement = self.confinement._replace(seccomp=seccomp)

    def _finish(self, zygote: subprocess.Popen[bytes]) -> None:
        """End all of it: the zygote first kills its workers, and is then killed with its group, whatever it does."""
        with contextlib.suppress(OSError):
            self._control.settimeout(1)
            self._control.shutdown(socket.SHUT_WR)
            while self._control.recv(FRAME):  # until the end: it has gone
                pass
        self._hang_up()
        self._close_old()
        for fd in self._waiting:
            os.close(fd)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(zygote.pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        zygote.wait()

    def _hang_up(self) -> None:
        if self._questions >= 0:
            os.close(self._questions)
            os.close(self._answers)
        self._questions = self._answers = -1

    def _close_old(self) -> None:
        """Not before the old worker was killed: it would wake up, and end on the core that its successor needs."""
        for fd in self._old:
            os.close(fd)
        self._old = ()

    def _next(self) -> list[int]:
        """The worker that waits, as the zygote announces it: the pipes to it and from it."""
        if not self._waiting:
            _, self._waiting = self._heard(2)
        return self._waiting

    def _reap(self, patience: float) -> int | None:
        """How the present worker ended, or None if it had to be killed."""
        self._next()  # nothing else is said before the answer
        self._order("reap", patience)
        (code,), _ = self._heard(0)
        return code  # type: ignore[no-any-return]

    def _order(self, word: str, *how: float) -> None:
        try:
            self._control.sendall(encode([word, *how]))
        except OSError as error:
            raise EnvironmentFault("the process that starts workers has ended") from error

    def _heard(self, descriptors: int) -> tuple[list[Any], list[int]]:
        """What the zygote says, and the descriptors that come with it."""
        size, body, fds = 0, b"", list[int]()
        with contextlib.suppress(ConnectionError):  # it was killed while something from here was still unread there
            data, fds, _, _ = socket.recv_fds(self._control, HEADER.size, descriptors)
            size = HEADER.unpack(data)[0] if len(data) == HEADER.size else 0
            while len(body) < size and (part := self._control.recv(size - len(body))):
                body += part
        if not size or len(body) < size:
            raise EnvironmentFault(f"the process that starts workers has ended: {self.printed() or 'without a word'}")
        for fd in fds:
            os.set_blocking(fd, False)
        return _loads(body.decode()), fds

    def _ask(self, op: str, arguments: list[Any], what: str, limit: float) -> list[Any]:
        if self._dead is not None:
            raise self._dead
        self._number += 1
        frame = encode([self._number, op, *arguments])
        begun = perf_counter()
        until = begun + min(limit, self.limits.suite - self._suite, self.limits.submission - self._total)
        try:
            self._send(frame, until)
            reply = self._reply(until)
        except TimeoutError:
            raise self._died(self._too_slow(what, limit)) from None
        except (EOFError, BrokenPipeError):
            raise self._died(self._ending()) from None
        finally:
            waited = perf_counter() - begun
            self._suite += waited
            self._total += waited
        if not reply or reply[0] != self._number or type(reply[0]) is not int:
            raise self._broken("an answer with another number than its question")
        return reply[1:]

    def _too_slow(self, what: str, limit: float) -> TooSlow:
        """What to say when the time for an answer is over: which of the limits had the least left."""
        limits = self.limits
        left = [
            (limit, what, limit),
            (limits.suite - self._suite, "all answers of one suite together", limits.suite),
            (limits.submission - self._total, "all answers together", limits.submission),
        ]
        return TooSlow(*min(left)[1:])

    def _send(self, frame: bytes, until: float) -> None:
        """The question, as fast as the worker takes it."""
        if len(frame) > QUESTION:
            raise ValueError(f"a question of {len(frame)} bytes is longer than {QUESTION}")
        while frame:
            try:
                frame = frame[os.write(self._questions, frame) :]
            except BlockingIOError:
                _wait_for_room(self._questions, until)

    def _reply(self, until: float) -> list[Any]:
        """The next message of the worker, which must be one whole frame and nothing after it."""
        data = b""
        size = HEADER.size
        while len(data) < size:
            left = until - perf_counter()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise TimeoutError
            part = os.read(self._answers, FRAME + HEADER.size + 1)
            if not part:
                raise EOFError
            data += part
            if size == HEADER.size and len(data) >= size:
                size += HEADER.unpack_from(data)[0]
                if size > FRAME + HEADER.size:
                    raise self._broken("a message longer than any may be")
        if len(data) > size:
            raise self._broken("two answers to one question")
        try:
            reply = _loads(data[HEADER.size :].decode())
        except (ValueError, RecursionError):
            raise self._broken("an answer that is no JSON") from None
        return reply if type(reply) is list else [None]

    def _ending(self) -> Fault:
        """Why the pipe ended, as the zygote saw it."""
        code = self._reap(PATIENCE)
        if code == -signal.SIGXCPU:
            return TooSlow("processor time in all", self.limits.cpu)
        return Ended(code) if code is not None else ProtocolBroken("it closed the pipe")

    def _broken(self, found: str) -> ProtocolBroken:
        fault = ProtocolBroken(found)
        self._died(fault)
        return fault

    def _died(self, fault: Fault) -> Fault:
        """Nobody answers any more; `fresh` or the end will kill it."""
        self._dead = fault
        self._hang_up()
        return fault


def confinement() -> Confinement:
    """What this machine can close, by closing it around an empty file."""
    with Confined(submission("empty.py", "")) as room:
        return room.confinement


def require(*names: str) -> None:
    """Raises `EnvironmentFault` unless all of these are in force here: see `Confinement.lacks`."""
    found = confinement()
    missing = found.lacks(names)
    if missing:
        raise EnvironmentFault(f"this machine has no {', '.join(missing)} for learner code; in force: {found}")


def _wait_for_room(fd: int, until: float) -> None:
    """Until something can be written; `TimeoutError` when time is over."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    left = until - perf_counter()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _long_frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return HEADER.pack(len(body)) + body
