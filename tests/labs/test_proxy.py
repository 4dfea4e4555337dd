"""A scenario file as a proxy's: what it may hold, what is told of it, and how it is served."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from lbtutor.core import (
    BackendConfig,
    ConfigError,
    EnvironmentFault,
    Event,
    HealthCheck,
    ListenerConfig,
    Plan,
    PoolConfig,
    Retry,
    Route,
)
from lbtutor.core.affinity import Sticky
from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.events import Ended, Joined
from lbtutor.core.listening import BackendTls, Certificate, Tls
from lbtutor.labs.library import library_folder
from lbtutor.labs.proxy import Proxy, Wish, open_doors, read_proxy
from lbtutor.live.run import Ending, LiveRun

PATIENCE = 20.0
"""Wall seconds after which a test gives up waiting for what should be there in milliseconds."""

FILE = """\
title = "Two servers"
drain = "3s"
[[listen]]
name = "front"
at = "127.0.0.1:0"
[pool.web]
backends = [{ name = "a", address = "127.0.0.1:9" }, { name = "b", address = "localhost:9" }]
"""

WORDS = {
    word
    for struct in (
        *(ListenerConfig, Tls, Certificate, Route, PoolConfig, HealthCheck, PassiveCheck, Sticky, Retry),
        *(BackendTls, BackendConfig),
    )
    for word in struct.__struct_encode_fields__
}
"""Everything that a proxy's file may say."""

LAB = """
[[traffic]]
to = "front"
rate = 5
[[timeline]]
at = "1s"
drain = { backend = "web/a" }
[[expect]]
failed = { under = 1 }
"""


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[[str], Plan]:
    def read(text: str) -> Plan:
        (tmp_path / "proxy.toml").write_text(text)
        return read_proxy(tmp_path / "proxy.toml").plan

    return read


def test_the_example_can_be_served_and_leaves_out_no_word() -> None:
    example = library_folder("lessons") / "proxy.toml"
    file = read_proxy(example)
    assert not file.warnings
    text = example.read_text(encoding="utf-8")
    assert sorted(word for word in WORDS if re.search(rf"\b{word}\b", text) is None) == []


def test_a_plan_has_doors_routes_and_pools_and_no_end(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of('lasts = "5s"\nspeed = 3\n' + FILE)
    assert [door.name for door in plan.listeners] == ["front"]
    assert [backend.address for backend in plan.pools[0].backends] == ["127.0.0.1:9", "localhost:9"]
    assert (plan.lasts, plan.speed, plan.drain) == (inf, 1.0, 3.0)


def test_what_only_a_lab_can_play_is_ignored_with_a_warning_each(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(FILE + LAB)
    file = read_proxy(path)
    assert (file.plan.traffic, file.plan.acts, file.plan.machines) == ((), (), ())
    assert file.warnings == (
        f"{path}:9: traffic: ignored: a proxy sends no requests of its own",
        f"{path}:12: timeline: ignored: nothing is done to servers that are somebody's",
        f"{path}:15: expect: ignored: a proxy has no end at which to judge",
    )


@pytest.mark.parametrize("algorithm", ["", 'algorithm = { name = "round_robin" }\n'])
def test_weights_that_the_algorithm_does_not_look_at_are_warned_of(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "proxy.toml"
    text = FILE.replace("[pool.web]\n", f'[pool.web]\n{algorithm}slow_start = "5s"\n')
    weighed = text.replace('{ name = "b"', '{ name = "b", weight = 3')
    path.write_text(weighed)
    slow_start, weight = read_proxy(path).warnings
    assert "pool.web.slow_start: ignored: plain round robin does not look at weights" in slow_start
    assert "pool.web.backends[1].weight: ignored: plain round robin" in weight
    path.write_text(weighed.replace("[pool.web]\n" + algorithm, '[pool.web]\nalgorithm = "weighted_round_robin"\n'))
    assert read_proxy(path).warnings == ()


def test_a_file_for_a_proxy_alone_has_no_warnings(tmp_path: Path) -> None:
    (tmp_path / "proxy.toml").write_text(FILE)
    assert read_proxy(tmp_path / "proxy.toml").warnings == ()


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (', address = "localhost:9"', "", r"proxy.toml:7: pool.web.backends\[1\]: `b` needs an `address`"),
        ("localhost:9", "::1:9", r"proxy.toml:7: pool.web.backends\[1\]: b: '::1:9' is ambiguous"),
        ("localhost:9", "127.0.0.1:70000", r"proxy.toml:7: pool.web.backends\[1\]: b: .* is not an address"),
        ("127.0.0.1:0", "::1:0", r"proxy.toml:5: listen\[0\].at: front: '::1:0' is ambiguous"),
        ("127.0.0.1:0", "localhost:9", r"backends\[1\]: `b` is this proxy's own address, localhost:9"),
        ("[pool", 'trusted_proxies = ["me"]\n[pool', r"proxy.toml:6: listen\[0\].trusted_proxies: .*networks"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(
    plan_of: Callable[[str], Plan], was: str, now: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        plan_of(FILE.replace(was, now))


def test_doors_beyond_loopback_are_known() -> None:
    addresses = {"a": "127.3.0.1:80", "b": "[::1]:80", "c": "0.0.0.0:80", "d": "[::]:80", "e": "192.0.2.1:80"}
    assert open_doors(addresses) == ["c", "d", "e"]


# -- serving ----------------------------------------------------------------------------------------------------------


def serve(
    proxy: Proxy, *wishes: Wish, listening: Callable[[dict[str, str]], None] = lambda addresses: None
) -> tuple[Ending, list[str], list[str]]:
    """Serve with these wishes waiting; how it ended, what was mentioned, and what was complained of."""
    queue: SimpleQueue[Wish] = SimpleQueue()
    for wish in wishes:
        queue.put(wish)
    mentioned: list[str] = []
    complaints: list[str] = []
    ending = proxy.serve(queue, listening=listening, mention=mentioned.append, complain=complaints.append)
    return ending, mentioned, complaints


def test_the_first_wish_says_how_it_ended(plan_of: Callable[[str], Plan]) -> None:
    addresses: dict[str, str] = {}
    ending, mentioned, complaints = serve(Proxy(plan_of(FILE)), "stopped", "interrupted", listening=addresses.update)
    assert ending == "stopped"
    assert mentioned[0] == "told to stop: no new connections, and what is under way has at most 3s to end"
    assert complaints == []
    assert list(addresses) == ["front"]


def test_a_reader_gets_the_whole_trace(plan_of: Callable[[str], Plan]) -> None:
    proxy = Proxy(plan_of(FILE))
    seen: list[Event] = []
    proxy.read(seen.extend)
    serve(proxy, "interrupted")
    assert [type(event) for event in seen] == [Joined, Joined, Ended]
    assert seen[-1] == Ended(seen[-1].at, "interrupted")


def test_without_a_reader_nobody_listens(plan_of: Callable[[str], Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: LiveRun, size: int = 0, kinds: object = None) -> None:
        raise AssertionError("a feed makes the balancer build every event")

    monkeypatch.setattr(LiveRun, "feed", refuse)
    assert serve(Proxy(plan_of(FILE)), "stopped")[0] == "stopped"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), EnvironmentFault("cannot write")])
def test_a_reader_that_fails_is_left_out_and_the_others_read_on(
    plan_of: Callable[[str], Plan], error: Exception
) -> None:
    proxy = Proxy(plan_of(FILE))
    calls = 0

    def fail(batch: Sequence[Event]) -> None:
        nonlocal calls
        calls += 1
        raise error

    seen: list[Event] = []
    proxy.read(fail)
    proxy.read(seen.extend)
    _, _, complaints = serve(proxy, "stopped")
    assert complaints == [f"{error}; it gets no more of the trace, and the proxy serves on"]
    assert calls == 1
    assert isinstance(seen[-1], Ended)


# -- reading the file again -------------------------------------------------------------------------------------------


class Served:
    """A proxy that serves a file on a thread of its own, and what its operator hears."""

    def __init__(self, path: Path, *, watch: bool = False) -> None:
        self.path = path
        self.proxy = Proxy(read_proxy(path).plan, path)
        self.wishes: SimpleQueue[Wish] = SimpleQueue()
        self.mentioned: SimpleQueue[str] = SimpleQueue()
        self.complaints: SimpleQueue[str] = SimpleQueue()
        self.endings: list[Ending] = []
        ready = threading.Event()

        def work() -> None:
            ending = self.proxy.serve(
                self.wishes,
                listening=lambda _: ready.set(),
                mention=self.mentioned.put,
                complain=self.complaints.put,
                watch=watch,
            )
            self.endings.append(ending)

        self._thread = threading.Thread(target=work)
        self._thread.start()
        assert ready.wait(PATIENCE)

    @property
    def addresses(self) -> list[str]:
        return [backend.address for backend in self.proxy.run.plan.pools[0].backends]

    def write(self, was: str, now: str) -> None:
        """Change the file, at once and as a whole."""
        text = self.path.read_text()
        assert was in text
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(text.replace(was, now))
        fresh.replace(self.path)

    def end(self) -> None:
        self.wishes.put("stopped")
        self._thread.join(PATIENCE)
        assert self.endings == ["stopped"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serve this text."""
    begun: list[Served] = []

    def begin(text: str = FILE, *, watch: bool = False) -> Served:
        (tmp_path / "proxy.toml").write_text(text)
        begun.append(Served(tmp_path / "proxy.toml", watch=watch))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


def test_a_wish_to_reload_takes_the_file_as_it_is_now(served: Callable[..., Served]) -> None:
    one = served()
    one.write("localhost:9", "127.0.0.1:10")
    one.wishes.put("reload")
    assert one.mentioned.get(timeout=PATIENCE) == f"reloaded {one.path}: pool web: b has another address"
    assert one.addresses == ["127.0.0.1:9", "127.0.0.1:10"]


def test_a_file_that_changed_is_taken_without_being_asked_if_it_is_watched(served: Callable[..., Served]) -> None:
    one = served(watch=True)
    one.write("localhost:9", "127.0.0.1:10")
    assert one.mentioned.get(timeout=PATIENCE) == f"reloaded {one.path}: pool web: b has another address"
    one.write('"3s"', '"4s"')
    assert one.mentioned.get(timeout=PATIENCE) == f"reloaded {one.path}: a stop waits for 4s"


def test_a_file_with_a_mistake_changes_nothing_and_the_place_is_told(served: Callable[..., Served]) -> None:
    one = served(watch=True)
    one.write("drain", "drian")
    said = one.complaints.get(timeout=PATIENCE)
    assert said.startswith(f"not reloaded, and nothing has changed: {one.path}:2: drian: there is no such key")
    assert one.addresses == ["127.0.0.1:9", "localhost:9"]
    one.write("drian", "drain")
    assert one.mentioned.get(timeout=PATIENCE) == f"reloaded {one.path}: nothing is different"


def test_a_file_that_is_gone_changes_nothing(served: Callable[..., Served]) -> None:
    one = served(watch=True)
    one.path.unlink()
    said = one.complaints.get(timeout=PATIENCE)
    assert said == f"not reloaded, and nothing has changed: {one.path}: cannot be read: No such file or directory"
    one.path.write_text(FILE)
    assert one.mentioned.get(timeout=PATIENCE).startswith("reloaded ")


def test_a_port_that_is_taken_changes_nothing(served: Callable[..., Served]) -> None:
    one = served()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        one.write('at = "127.0.0.1:0"', f'at = "{address}"')
        one.write("localhost:9", "127.0.0.1:10")
        with pytest.raises(EnvironmentFault, match=f"listener front cannot listen on {address}"):
            one.proxy.reload()
    assert one.complaints.get(timeout=PATIENCE).startswith("not reloaded, and nothing has changed: listener front")
    assert one.addresses == ["127.0.0.1:9", "localhost:9"]


def test_a_door_that_is_new_is_told_with_its_address(served: Callable[..., Served]) -> None:
    one = served()
    one.write("[pool.web]", '[[listen]]\nname = "side"\nat = "0.0.0.0:0"\n[pool.web]')
    one.proxy.reload()
    side = one.proxy.run.addresses["side"]
    assert [one.mentioned.get(timeout=PATIENCE) for _ in range(3)] == [
        f"side listens on {side}",
        f"side listens on {side}: whoever reaches this machine can use it",
        f"reloaded {one.path}: listener side is new",
    ]


def test_a_reload_by_hand_is_not_noticed_a_second_time(served: Callable[..., Served]) -> None:
    one = served()
    one.write('"3s"', '"4s"')
    one.proxy.reload()
    watch: Any = one.proxy._watch
    assert [watch.changed() for _ in range(3)] == [False] * 3
    one.write('"4s"', '"5s"')
    assert [watch.changed() for _ in range(3)] == [False, True, False]


def test_a_proxy_without_a_file_has_nothing_to_read_again(plan_of: Callable[[str], Plan]) -> None:
    with pytest.raises(EnvironmentFault, match="there is no file to read again"):
        Proxy(plan_of(FILE)).reload()


def test_logs_are_opened_anew_and_one_that_cannot_be_is_written_on(plan_of: Callable[[str], Plan]) -> None:
    proxy = Proxy(plan_of(FILE))
    calls: list[str] = []

    def fail() -> None:
        calls.append("first")
        raise EnvironmentFault("cannot write it")

    proxy.on_reopen(fail)
    proxy.on_reopen(lambda: calls.append("second"))
    _, _, complaints = serve(proxy, "reopen", "stopped")
    assert calls == ["first", "second"]
    assert complaints == ["cannot write it; the old file is written on"]


def test_a_reader_gets_only_the_kinds_that_it_wants(plan_of: Callable[[str], Plan]) -> None:
    proxy = Proxy(plan_of(FILE))
    seen: list[Event] = []
    proxy.read(seen.extend, frozenset({Ended}))
    serve(proxy, "interrupted")
    assert [type(event) for event in seen] == [Ended]


def test_a_listener_that_fails_closes_the_doors(plan_of: Callable[[str], Plan]) -> None:
    proxy = Proxy(plan_of(FILE))

    def fail(addresses: dict[str, str]) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        serve(proxy, listening=fail)
    assert proxy.run.ended.is_set()


def test_moments_are_told_in_wall_time(plan_of: Callable[[str], Plan]) -> None:
    proxy = Proxy(plan_of(FILE))
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    told = datetime.fromisoformat(proxy.wall_time(60.0))
    assert before <= told - timedelta(seconds=60) <= datetime.now(UTC)
