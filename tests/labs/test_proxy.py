"""A scenario file as a proxy's: what it may hold, what is told of it, and how it is served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from queue import SimpleQueue

import pytest

from lbtutor.core import ConfigError, EnvironmentFault, Event, Plan
from lbtutor.core.events import Ended, Joined
from lbtutor.labs.proxy import Proxy, Wish, open_doors, read_proxy
from lbtutor.live.run import Ending, LiveRun

FILE = """\
title = "Two servers"
drain = "3s"
[[listen]]
name = "front"
at = "127.0.0.1:0"
[pool.web]
backends = [{ name = "a", address = "127.0.0.1:9" }, { name = "b", address = "localhost:9" }]
"""

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
    def refuse(run: LiveRun, size: int = 0) -> None:
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
