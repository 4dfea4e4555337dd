"""Splices between real sockets: a TCP door, somebody's server behind it, and a client that breaks things."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lbtutor.core import ListenerConfig, Plan, Seconds
from lbtutor.core.events import Finished
from lbtutor.live.run import LiveRun

TCP = ListenerConfig("front", mode="tcp")

Serve = Callable[[Callable[[Any], None]], Any]
Make = Callable[..., Plan]
Begin = Callable[..., tuple[LiveRun, Any]]
Connect = Callable[..., Any]


@pytest.fixture
def splice(
    server: Serve, proxy_plan: Make, watched: Begin, connect: Connect
) -> Iterator[Callable[..., tuple[Any, Any, Any, LiveRun]]]:
    """Client and server as peers of one splice, the watch over its run, and the run."""
    over = threading.Event()

    def make(listener: ListenerConfig = TCP) -> tuple[Any, Any, Any, LiveRun]:
        there = threading.Event()
        backends: list[Any] = []

        def script(peer: Any) -> None:
            backends.append(peer)
            there.set()
            over.wait(20)

        run, watch = watched(proxy_plan(server(script).address, listener=listener))
        client = connect(run)
        assert there.wait(20)
        return client, backends[0], watch, run

    yield make
    over.set()


def outcome(watch: Any) -> tuple[str, int]:
    finished = watch.until(Finished)
    assert finished.final
    return finished.outcome, finished.status


def is_reset(peer: Any) -> bool:
    """Whether the other side breaks the connection, rather than ending it."""
    try:
        peer.rest()
    except ConnectionResetError:
        return True
    return False


def test_each_end_hears_what_the_other_says(splice: Callable[..., Any]) -> None:
    client, backend, _, _ = splice()
    client.send(b"ping\0\xff")
    assert backend.read(6) == b"ping\0\xff"
    backend.send(b"pong")
    assert client.read(4) == b"pong"
    client.send(b"again")
    assert backend.read(5) == b"again"


def test_a_client_that_has_said_all_still_hears_the_answer(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice()
    client.send(b"question")
    client.sock.shutdown(socket.SHUT_WR)
    assert backend.rest() == b"question"
    backend.send(b"answer")
    backend.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b"answer"
    assert outcome(watch) == ("ended well", 0)


def test_a_server_that_has_said_all_still_hears_the_client(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice()
    backend.send(b"greeting")
    backend.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b"greeting"
    client.send(b"still here")
    assert backend.read(10) == b"still here"
    assert not watch.all(Finished)
    client.sock.shutdown(socket.SHUT_WR)
    assert outcome(watch) == ("ended well", 0)


def test_a_clients_reset_is_passed_on_as_a_reset(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice()
    client.send(b"half a mess")
    assert backend.read(11) == b"half a mess"
    client.reset()
    assert is_reset(backend)
    assert outcome(watch) == ("the client left first", 499)


def test_a_servers_reset_is_passed_on_as_a_reset(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice()
    backend.send(b"half an ans")
    assert client.read(11) == b"half an ans"
    backend.reset()
    assert is_reset(client)
    assert outcome(watch) == ("broke off in mid-answer", 502)


def test_a_reset_before_the_server_said_a_word_is_told_from_one_in_mid_answer(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice()
    client.send(b"are you there?")
    assert backend.read(14) == b"are you there?"  # a reset that comes sooner may end the attempt to connect: refused
    backend.reset()
    assert is_reset(client)
    assert outcome(watch) == ("closed before an answer", 502)


def test_a_client_that_was_given_all_may_leave_however_it_likes(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice()
    backend.send(b"all")
    backend.sock.shutdown(socket.SHUT_WR)
    assert client.rest() == b"all"
    client.reset()
    assert outcome(watch) == ("ended well", 0)


def test_after_the_idle_timeout_both_ends_are_closed_in_peace(splice: Callable[..., Any]) -> None:
    client, backend, watch, _ = splice(ListenerConfig("front", mode="tcp", idle_timeout=Seconds(0.05)))
    assert client.rest() == b""
    assert backend.rest() == b""
    assert outcome(watch) == ("ended well", 0)
    assert watch.until(Finished).took >= 0.05


def test_a_reader_that_takes_nothing_makes_the_other_wait_and_not_the_balancer_swell(
    splice: Callable[..., Any], eventually: Callable[[Callable[[], object]], None]
) -> None:
    client, backend, _, run = splice()
    size = 16 * 1024 * 1024
    sender = threading.Thread(target=lambda: (backend.send(bytes(size)), backend.sock.shutdown(socket.SHUT_WR)))
    sender.start()
    eventually(lambda: run.most_buffered)
    assert sender.is_alive()
    client.send(b"the other way is open")
    assert backend.read(21) == b"the other way is open"
    assert len(client.rest()) == size
    sender.join(20)
    assert 65_536 < run.most_buffered < 1024 * 1024


def test_a_reader_that_takes_nothing_for_too_long_is_cut_off(
    splice: Callable[..., Any], eventually: Callable[[Callable[[], object]], None]
) -> None:
    _, backend, watch, run = splice(ListenerConfig("front", mode="tcp", idle_timeout=Seconds(100)))
    troubles: list[OSError] = []

    def send() -> None:
        try:
            backend.send(bytes(64 * 1024 * 1024))
        except OSError as trouble:
            troubles.append(trouble)

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: run.most_buffered)
    run.set_speed(200)  # not sooner: if it rang before anybody spoke, it would end in peace
    assert outcome(watch) == ("the client left first", 499)
    sender.join(20)
    assert [type(trouble) for trouble in troubles] in ([ConnectionResetError], [BrokenPipeError])


def test_when_it_is_over_nothing_of_it_is_left(
    splice: Callable[..., Any], eventually: Callable[[Callable[[], object]], None]
) -> None:
    client, _, watch, run = splice()
    assert run._stage is not None
    (front,) = run._stage.doors.fronts
    assert len(front.connections) == 1
    client.reset()
    outcome(watch)
    eventually(lambda: not front.connections)
