"""Where lab machines keep their sessions: the real stores, a Redis server among them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lbtutor.core import Act, ConfigError, EnvironmentFault, Fault, MachineConfig, Plan, Seconds, Traffic
from lbtutor.core.events import SessionLost, SessionStarted
from lbtutor.core.sessions import Visit
from lbtutor.live.run import LiveRun
from lbtutor.live.store import Redis, Sqlite, Stores

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Watch

Watched = Callable[..., "tuple[LiveRun, Watch]"]
Start = Callable[..., LiveRun]
LabPlan = Callable[..., Plan]
Connect = Callable[..., "Peer"]
Get = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server of this test's own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("redis")
    folder = tmp_path_factory.mktemp("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        reader = threading.Thread(target=server.stdout.read)
        reader.start()
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()
        reader.join(20)


def assert_knows_visitors(book: Any) -> None:
    assert book.visit("", "s1") == Visit("s1", 1)
    assert book.visit("s1", "s2") == Visit("s1", 2)
    assert book.visit("nobody", "s3") == Visit("s3", 1, lost="nobody")
    assert book.visit("s3", "s4") == Visit("s3", 2)
    assert book.visit("s1", "s5") == Visit("s1", 3)


def test_a_file_knows_visitors_and_is_gone_at_the_end() -> None:
    book = Sqlite()
    folder = Path(book._folder.name)
    with closing(book):
        assert_knows_visitors(book)
        assert list(folder.iterdir())
    assert not folder.exists()


def test_redis_knows_visitors_and_one_run_does_not_know_anothers(redis_address: str) -> None:
    with closing(Redis(redis_address)) as one, closing(Redis(redis_address)) as other:
        assert_knows_visitors(one)
        assert other.visit("s1", "s9") == Visit("s9", 1, lost="s1")


def test_redis_is_left_as_it_was_found(redis_address: str) -> None:
    import redis

    with closing(Redis(redis_address)) as book:
        assert_knows_visitors(book)
        assert not book._redis.keys("s1")
    with redis.Redis.from_url(redis_address) as client:
        assert client.dbsize() == 0


def test_without_a_server_it_is_said_how_to_get_one(free_port: int) -> None:
    with pytest.raises(EnvironmentFault, match=r"redis-server.*sqlite"):
        Redis(f"redis://127.0.0.1:{free_port}/0")


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'lbtutor\[redis\]'"):
        Redis("redis://127.0.0.1:1/0")


def test_an_address_that_is_none_is_the_files_mistake() -> None:
    with pytest.raises(ConfigError, match=r"redis://127\.0\.0\.1:port/0"):
        Redis("redis://127.0.0.1:port/0")


def test_a_run_with_a_store_that_is_not_there_does_not_begin(lab_plan: LabPlan, free_port: int) -> None:
    machines = (MachineConfig("web", "a", sessions=f"redis://127.0.0.1:{free_port}/0"),)
    with pytest.raises(EnvironmentFault, match="no Redis answers"):
        LiveRun(lab_plan("a", machines=machines)).start()


def test_machines_share_a_store_unless_it_is_their_memory() -> None:
    loop = asyncio.new_event_loop()
    stores = Stores(loop)
    shared = [stores.of(MachineConfig("web", name, sessions="sqlite")) for name in "ab"]
    own = [stores.of(MachineConfig("web", name, sessions="memory")) for name in "ab"]
    assert shared[0] is shared[1]
    assert own[0] is not own[1]
    assert stores.of(MachineConfig("web", "a")) is None
    stores.close()
    loop.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sessions")]


def play(watched: Watched, lab_plan: LabPlan, store: str) -> tuple[LiveRun, Watch]:
    """One client that comes ten times, to two machines in turn; the second crashes after half of that."""
    machines = tuple(MachineConfig("web", name, sessions=store) for name in "ab")
    traffic = (Traffic("front", 10, "steady", 1),)
    acts = (Act(0.55, Fault("crash", "web", "b")), Act(0.56, Fault("heal", "web", "b")))
    plan = lab_plan("ab", machines=machines, traffic=traffic, acts=acts, lasts=Seconds(1.05), speed=2, drain=Seconds(5))
    run, watch = watched(plan)
    assert run.ended.wait(20)
    return run, watch


def test_in_their_own_memories_machines_lose_everybody(watched: Watched, lab_plan: LabPlan) -> None:
    _, watch = play(watched, lab_plan, "memory")
    lost, started = watch.all(SessionLost), watch.all(SessionStarted)
    assert [event.session for event in lost] == [event.session for event in started][:-1]
    assert len(started) == 10
    assert {event.client for event in started} == {"127.0.1.1"}


@pytest.mark.parametrize(("store", "visits"), [("memory", "1"), ("sqlite", "2")])
def test_a_crash_takes_a_machines_own_memory_along_and_no_other(
    start: Start, lab_plan: LabPlan, get: Get, store: str, visits: str
) -> None:
    run = start(lab_plan("a", machines=(MachineConfig("web", "a", sessions=store),)))
    _, fields, _ = get(run)
    sid = fields["set-cookie"].partition(";")[0]
    run.act(Fault("crash", "web", "a"))
    run.act(Fault("heal", "web", "a"))
    assert get(run, fields=(f"Cookie: {sid}",))[1]["x-visits"] == visits


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_in_a_store_that_all_share_nobody_is_lost(
    watched: Watched, lab_plan: LabPlan, store: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("redis_address") if store == "redis" else store
    _, watch = play(watched, lab_plan, address)
    assert len(watch.all(SessionStarted)) == 1
    assert watch.all(SessionLost) == []


def test_a_visitor_is_told_which_visit_this_is(start: Start, lab_plan: LabPlan, connect: Connect) -> None:
    run = start(lab_plan("a", machines=(MachineConfig("web", "a", sessions="sqlite"),)))
    peer = connect(run)
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    _, fields, body = peer.answer()
    sid = fields["set-cookie"].partition(";")[0].encode()
    assert (fields["x-visits"], body) == ("1", b"web/a\nvisit 1\n")
    peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\nCookie: other=1; %b\r\n\r\n" % sid)
    _, fields, body = peer.answer()
    assert (fields["x-visits"], body) == ("2", b"web/a\nvisit 2\n")
    assert "set-cookie" not in fields


def test_a_store_that_fails_makes_its_machines_fail_and_nothing_else(
    start: Start, lab_plan: LabPlan, connect: Connect
) -> None:
    run = start(lab_plan("a", machines=(MachineConfig("web", "a", sessions="sqlite"),)))
    stage: Any = run._stage
    stage._stores._shared["sqlite"]._book._db.close()
    peer = connect(run)
    for _ in range(2):
        peer.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        assert peer.answer()[0] == 500
