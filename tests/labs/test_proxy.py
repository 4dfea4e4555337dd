"""A scenario file as a proxy's: what it may hold, what is told of it, and how it is served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from queue import SimpleQueue

import pytest

from lbtutor.core import ConfigError, EnvironmentFault, Event, Plan
from lbtutor.core.events import Ejected, Ended, Health, HealthChanged, Joined, Missed, Readmitted
from lbtutor.labs.proxy import Herald, Proxy, open_doors, read_proxy
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
    proxy: Proxy, *wishes: Ending, listening: Callable[[dict[str, str]], None] = lambda addresses: None
) -> tuple[Ending, list[str], list[str]]:
    """Serve with these wishes waiting; how it ended, what was mentioned, and what was complained of."""
    queue: SimpleQueue[Ending] = SimpleQueue()
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


# -- what the operator is told ----------------------------------------------------------------------------------------


def believed(backend: str, now: Health) -> HealthChanged:
    return HealthChanged(1.0, "web", backend, "down" if now == "up" else "up", now, "3 probes in a row")


def joins(*backends: str, weight: float = 1.0, health: Health = "up") -> list[Event]:
    return [Joined(0.0, "web", backend, weight, health) for backend in backends]


def told(plan: Plan, *events: Event) -> list[str]:
    herald = Herald(plan)
    return [sentence for event in events for sentence in herald.take(event)]


def test_a_pool_is_down_when_its_last_backend_is_and_up_with_the_first(plan_of: Callable[[str], Plan]) -> None:
    events = [*joins("a", "b"), *[believed(*change) for change in _STORY]]
    assert told(plan_of(FILE), *events) == [
        "web/a is down: 3 probes in a row",
        "web/b is down: 3 probes in a row",
        "pool web is down: none of its 2 backends is available, so requests are answered 503",
        "web/a is up again: 3 probes in a row",
        "pool web is up again with 1 of its 2 backends",
        "web/b is up again: 3 probes in a row",
    ]


_STORY: list[tuple[str, Health]] = [("a", "down"), ("b", "down"), ("a", "up"), ("b", "up")]


def test_a_pool_that_fails_open_says_so(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of(FILE.replace("[pool.web]", '[pool.web]\nall_down = "fail_open"'))
    assert told(plan, *joins("a"), believed("a", "down"))[-1].endswith("so all of them get requests")


def test_a_backend_of_weight_0_keeps_no_pool_up(plan_of: Callable[[str], Plan]) -> None:
    events = [*joins("a"), *joins("spare", weight=0), believed("a", "down")]
    assert told(plan_of(FILE), *events)[-1].startswith("pool web is down: none of its 1 backend ")


def test_an_ejected_backend_is_not_available_whatever_its_probes_say(plan_of: Callable[[str], Plan]) -> None:
    events = [
        *joins("a"),
        Ejected(1.0, "web", "a", 31.0, "5 errors in a row"),
        believed("a", "down"),
        Readmitted(31.0, "web", "a"),
        believed("a", "up"),
    ]
    sentences = told(plan_of(FILE), *events)
    assert sentences[0] == "web/a is ejected for 30 s: 5 errors in a row"
    assert sentences[1].startswith("pool web is down")
    assert [sentence for sentence in sentences[2:] if sentence.startswith("pool")] == sentences[-1:]
    assert sentences[-1] == "pool web is up again with 1 of its 1 backend"


def test_a_pool_that_waits_for_its_first_probes_is_not_called_down(plan_of: Callable[[str], Plan]) -> None:
    events = [*joins("a", "b", health="unchecked"), HealthChanged(1.0, "web", "a", "unchecked", "up", "one probe")]
    assert told(plan_of(FILE), *events) == ["web/a is up: one probe"]


def test_what_was_missed_is_told(plan_of: Callable[[str], Plan]) -> None:
    assert told(plan_of(FILE), Missed(1.0, 7)) == ["7 events were missed here: the reader fell behind"]
