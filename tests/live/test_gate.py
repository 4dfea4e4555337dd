from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from lbtutor.live.gate import Gate


@contextmanager
def looping(gate: Gate) -> Iterator[threading.Thread]:
    """A loop on a thread of its own that has come to the gate, until the block is over."""
    entered = threading.Event()
    leave: list[asyncio.Event] = []

    async def stay() -> None:
        gate.enter(asyncio.get_running_loop())
        leave.append(asyncio.Event())
        entered.set()
        await leave[0].wait()
        gate.leave()

    thread = threading.Thread(target=lambda: asyncio.run(stay()))
    thread.start()
    entered.wait()
    try:
        yield thread
    finally:
        gate.ask(lambda: setattr(gate, "closed", False))
        gate.ask(leave[0].set)
        thread.join()


def test_what_is_asked_is_done_by_the_loops_thread() -> None:
    gate = Gate()
    with looping(gate) as thread:
        assert gate.ask(threading.get_ident) == thread.ident


def test_before_and_after_the_loop_the_caller_does_it() -> None:
    gate = Gate()
    assert gate.ask(threading.get_ident) == threading.get_ident()
    with looping(gate):
        pass
    assert gate.ask(threading.get_ident) == threading.get_ident()


def test_an_exception_goes_to_whoever_asked() -> None:
    gate = Gate()

    def fail() -> None:
        raise LookupError("on purpose")

    with looping(gate), pytest.raises(LookupError, match="on purpose"):
        gate.ask(fail)


def test_a_closed_gate_holds_the_loop_but_not_what_is_asked() -> None:
    gate = Gate()
    with looping(gate):
        passed = threading.Event()
        gate.ask(lambda: setattr(gate, "closed", True))
        gate.ask(lambda: asyncio.get_running_loop().call_soon(passed.set))
        for number in range(100):
            assert gate.ask(partial(int, number)) == number
        assert not passed.is_set()
        gate.ask(lambda: setattr(gate, "closed", False))
        assert passed.wait(10)


def test_many_threads_may_ask_while_the_gate_opens_and_closes() -> None:
    gate = Gate()
    answers: list[int] = []
    with looping(gate):

        def ask_a_lot(start: int) -> None:
            for number in range(start, start + 200):
                gate.ask(lambda: setattr(gate, "closed", not gate.closed))
                answers.append(gate.ask(partial(int, number)))

        threads = [threading.Thread(target=ask_a_lot, args=(start,)) for start in (0, 200, 400)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == list(range(600))
