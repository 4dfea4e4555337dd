"""`Gate`: how other threads reach the loop's thread, and where that thread stands while the stage is held.

Asyncio is single-threaded, and so is the balancer: whatever another thread wants done (`ask`) is done by the loop's
thread, between two callbacks. While the gate is closed the loop's thread stands in `wait` and does nothing but what it
is asked. So a held stage is held entirely: no byte is read, no connection accepted, nothing decided, and what the
kernel receives meanwhile lies there until the gate opens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Gate:
    """Open, the loop runs freely; closed, it does only what it is asked."""

    def __init__(self) -> None:
        self.closed = False
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._standing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Gate {'closed' if self.closed else 'open'}>"

    def ask(self, what: Callable[[], T]) -> T:
        """Have the loop's thread do `what`, also while the gate is closed; returns or raises what it does.

        Before the loop has come and after it has left, the caller does it.
        """
        with self._lock:
            if self._loop is None or self._thread == threading.get_ident():
                answer: Future[T] | None = None
            else:
                answer = Future()
                self._asked.put((what, answer))
                if not self._standing:
                    self._loop.call_soon_threadsafe(self._listen)
        return what() if answer is None else answer.result()

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop's thread has come: from here on it does what is asked."""
        with self._lock:
            self._loop = loop
            self._thread = threading.get_ident()

    def leave(self) -> None:
        """The loop's thread goes, after the last thing it was asked."""
        with self._lock:
            self._loop = None
        self._do_what_was_asked()

    def wait(self) -> None:
        """Stand here until the gate is open, doing what is asked."""
        while self.closed:
            self._standing = True
            self._stand()
            self._standing = False
            self._do_what_was_asked()  # it was put there while nobody needed to be woken

    def _stand(self) -> None:
        while self.closed:
            _do(*self._asked.get())

    def _listen(self) -> None:
        self._do_what_was_asked()
        self.wait()

    def _do_what_was_asked(self) -> None:
        while True:
            try:
                what, answer = self._asked.get_nowait()
            except Empty:
                return
            _do(what, answer)


def _do(what: Callable[[], Any], answer: Future[Any]) -> None:
    try:
        answer.set_result(what())
    except BaseException as error:  # noqa: BLE001  whoever asked gets it, whatever it is
        answer.set_exception(error)
