"""One run from start to end: its clock, its hand, its feeds, and what it leaves behind."""

from __future__ import annotations

import gc
import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lbtutor.core import (
    Act,
    Add,
    Backend,
    BackendConfig,
    ConfigError,
    Drain,
    EnvironmentFault,
    Fault,
    HealthCheck,
    ListenerConfig,
    PassiveCheck,
    Plan,
    Remove,
    Request,
    Retry,
    Seconds,
    SetWeight,
    Traffic,
)
from lbtutor.core.events import (
    Arrived,
    Drained,
    Ejected,
    Ended,
    Event,
    Finished,
    HealthChanged,
    Joined,
    OriginChanged,
    Picked,
    Probed,
    ProbeSent,
    Readmitted,
    Rejected,
    WeightChanged,
)
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Script, Server, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
STEPS = (Picked, Rejected, Finished, Probed, HealthChanged, Ejected, Readmitted, OriginChanged)

Eventually = Callable[[Callable[[], object]], None]
Serve = Callable[["Script"], "Server"]
Start = Callable[..., LiveRun]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
LabPlan = Callable[..., Plan]
ProxyPlan = Callable[..., Plan]
Connect = Callable[..., "Peer"]
Get = Callable[..., tuple[int, dict[str, str], bytes]]


# -- a load balancer ------------------------------------------------------------------------------------------------


def test_a_real_client_gets_each_server_in_turn(start: Start, lab_plan: LabPlan) -> None:
    run = start(lab_plan("abc"))
    client = http.client.HTTPConnection(run.addresses["front"], timeout=20)
    answers = []
    for _ in range(6):
        client.request("GET", "/")
        answers.append(client.getresponse().read())
    client.close()
    assert answers == [b"web/a\n", b"web/b\n", b"web/c\n"] * 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_each_server_in_turn(start: Start, lab_plan: LabPlan) -> None:
    run = start(lab_plan("abc"))
    url = f"http://{run.addresses['front']}/"
    finished = subprocess.run(["curl", "-s", url, url, url, url], capture_output=True, timeout=20, check=True)
    assert finished.stdout == b"web/a\nweb/b\nweb/c\nweb/a\n"


def test_without_uvloop_it_runs_on_asyncio(
    watched: Watched, lab_plan: LabPlan, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    run, watch = watched(lab_plan("ab", health=HealthCheck(interval=Seconds(1), timeout=Seconds(1)), speed=10))
    assert [get(run)[2] for _ in range(2)] == [b"web/a\n", b"web/b\n"]
    assert watch.until(Probed).ok
    run.act(Fault("crash", "web", "a"))
    assert watch.until(HealthChanged).now == "down"
    run.stop()
    assert watch.until(Ended).because == "stopped"


def test_an_algorithm_may_be_replaced(start: Start, lab_plan: LabPlan, get: Get) -> None:
    class Last:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            seen.append(request.headers["cookie"])
            return backends[-1]

    seen: list[str] = []
    run = LiveRun(lab_plan("abc"), algorithms={"web": Last()})
    run.start()
    try:
        assert get(run, "/", ("Cookie: a=1",))[2] == b"web/c\n"
    finally:
        run.stop()
    assert seen == ["a=1"]


# -- beginning ------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_an_environment_fault_and_leaves_nothing_open(lab_plan: LabPlan) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        listeners = (
            ListenerConfig("other", at=other),
            ListenerConfig("front", at=f"127.0.0.1:{taken.getsockname()[1]}"),
        )
        run = LiveRun(lab_plan(listeners=listeners))
        with pytest.raises(EnvironmentFault, match=r"listener front cannot listen on .*: address already in use"):
            run.start()
        assert run.ended.is_set()
        with socket.create_server(("127.0.0.1", free_port := int(other.rpartition(":")[2]))):
            assert free_port


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"listeners": (ListenerConfig("front", at="::1:0"),)}, "listener front: '::1:0' is ambiguous"),
        ({"listeners": (ListenerConfig("front", trusted_proxies=("x",)),)}, "listener front: trusted_proxies"),
        ({"machines": ()}, "backend web/a has neither"),
        ({"traffic": (Traffic("back", 1.0),)}, "traffic goes to listener 'back'; there is front"),
    ],
)
def test_a_plan_that_cannot_be_played_is_refused_at_the_start(
    lab_plan: LabPlan, changes: dict[str, Any], complaint: str
) -> None:
    run = LiveRun(lab_plan(**changes))
    with pytest.raises(ConfigError, match=complaint):
        run.start()
    run.stop()


def test_a_held_run_listens_and_stands_at_zero(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    run, watch = watched(lab_plan("ab", traffic=(Traffic("front", 1000.0),)), held=True)
    assert run.paused
    connect(run).send(REQUEST)
    assert run.now == 0.0
    assert [type(event) for event in watch.all()] == [Joined, Joined]
    run.resume()
    assert watch.until(Finished, count=10).ok


def test_before_the_start_there_is_nothing_to_see_and_stop_does_nothing(lab_plan: LabPlan) -> None:
    run = LiveRun(lab_plan())
    run.set_speed(4)
    assert run.snapshot() == ()
    assert (run.now, run.speed, run.trouble, run.addresses) == (0.0, 4, None, {})
    run.stop()


# -- the clock ------------------------------------------------------------------------------------------------------


def test_while_paused_nothing_happens_and_nothing_is_lost(watched: Watched, lab_plan: LabPlan) -> None:
    run, watch = watched(lab_plan("abc", traffic=(Traffic("front", 500.0),)))
    watch.until(Finished, count=20)
    run.pause()
    count, now = len(watch.all()), run.now
    assert run.paused
    for _ in range(200):  # asking is answered by the thread that stands there, so time passes for everybody else
        run.snapshot()
    run.ended.wait(0.3)
    assert (len(watch.all()), run.now) == (count, now)
    run.resume()
    assert watch.until(Finished, count=40)
    arrivals = [event.at for event in watch.all(Arrived)]
    assert max(later - earlier for earlier, later in pairwise(arrivals)) < 0.25


def test_a_client_that_calls_while_it_is_paused_is_served_afterwards(
    start: Start, lab_plan: LabPlan, connect: Connect
) -> None:
    run = start(lab_plan())
    run.pause()
    peer = connect(run)
    peer.send(REQUEST)
    run.resume()
    assert peer.answer()[0] == 200


def test_a_step_ends_right_behind_the_next_event_that_a_person_sees(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    plan = lab_plan(
        "ab",
        service=0.05,
        traffic=(Traffic("front", 50.0),),
        health=HealthCheck(interval=Seconds(1), timeout=Seconds(1)),
    )
    run, watch = watched(plan, held=True)
    run.set_speed(5)
    for step in range(1, 30):
        run.step()
        eventually(lambda: run.paused)
        run.snapshot()  # it stands now, so nothing can follow
        seen = [event for event in watch.all() if isinstance(event, STEPS)]
        assert len(seen) == step
        assert run.now == pytest.approx(seen[-1].at, abs=0.2)


def test_a_step_from_a_pause_in_the_middle_of_things_shows_one_event(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    run, watch = watched(lab_plan("abcd", service=0.3, traffic=(Traffic("front", 20.0),)))
    watch.until(Finished)
    for _ in range(10):
        run.pause()
        before = len(watch.all(*STEPS))
        run.step()
        eventually(lambda: run.paused)
        run.snapshot()
        assert len(watch.all(*STEPS)) == before + 1
        run.resume()
        watch.until(Finished, count=len(watch.all(Finished)) + 1)


def test_a_readmission_is_a_step_and_needs_no_probe(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    passive = PassiveCheck(fails=1, eject=Seconds(1))
    run, watch = watched(lab_plan("ab", passive=passive, retry=Retry(2)))
    run.act(Fault("crash", "web", "a"))
    peer = connect(run)
    peer.send(REQUEST)
    assert peer.answer()[0] == 200
    run.pause()
    (ejected,) = watch.all(Ejected)
    run.step()
    watch.until(Readmitted)
    run.snapshot()  # it stands now, if the readmission was a step
    assert run.paused
    assert isinstance(watch.all(*STEPS)[-1], Readmitted)
    assert run.now >= ejected.until


def test_a_step_without_readers_still_ends(start: Start, lab_plan: LabPlan, eventually: Eventually) -> None:
    run = start(lab_plan("ab", traffic=(Traffic("front", 100.0),)), held=True)
    run.step()
    eventually(lambda: run.paused)
    run.snapshot()
    assert run.snapshot()[0].backends[0].in_flight == 1


def test_speed_is_scenario_time_against_wall_time(watched: Watched, lab_plan: LabPlan) -> None:
    run, watch = watched(lab_plan("a", service=20.0, traffic=(Traffic("front", 1.0, clients=1),), speed=100))
    assert watch.until(Finished).took >= 20
    assert run.speed == 100
    with pytest.raises(ValueError, match="speed"):
        run.set_speed(0)


# -- the hand -------------------------------------------------------------------------------------------------------


def test_the_hand_works_while_paused(watched: Watched, lab_plan: LabPlan, get: Get) -> None:
    run, watch = watched(lab_plan("ab"))
    run.pause()
    run.act(Fault("crash", "web", "a"))
    run.act(SetWeight("web", "b", 3))
    changed, weight = watch.all(OriginChanged, WeightChanged)
    assert (changed.by, changed.at, weight.now) == ("hand", run.now, 3)
    assert run.snapshot()[0].backends[1].weight == 3
    run.resume()
    assert {get(run)[0], get(run)[0]} == {502, 200}


@pytest.mark.parametrize(
    "what",
    [
        Fault("crash", "web", "z"),
        Fault("crash", "nowhere", "a"),
        Remove("web", "z"),
        SetWeight("web", "a", -1),
        Add("web", BackendConfig("new")),
        Add("web", BackendConfig("new", address="nowhere")),
        Add("web", BackendConfig("a", address="127.0.0.1:1")),
    ],
)
@pytest.mark.parametrize("paused", [False, True])
def test_what_does_not_exist_is_refused_to_whoever_asked(
    watched: Watched, lab_plan: LabPlan, what: Any, paused: bool
) -> None:
    run, watch = watched(lab_plan("ab"))
    if paused:
        run.pause()
    with pytest.raises(ConfigError):
        run.act(what)
    assert [type(event) for event in watch.all()] == [Joined, Joined]


def test_somebodys_server_cannot_be_crashed_by_us(server: Serve, start: Start, proxy_plan: ProxyPlan) -> None:
    run = start(proxy_plan(server(lambda peer: None).address))
    with pytest.raises(ConfigError, match="there is no machine web/a; known: none"):
        run.act(Fault("crash", "web", "a"))


def test_the_timeline_is_played_at_its_times(watched: Watched, lab_plan: LabPlan) -> None:
    acts = (
        Act(2.0, Fault("slow", "web", "b", 3)),
        Act(1.0, Fault("crash", "web", "a")),
        Act(3.0, Drain("web", "a")),
        Act(99.0, Fault("crash", "web", "b")),
    )
    run, watch = watched(lab_plan("ab", acts=acts, lasts=Seconds(4), speed=40))
    assert run.ended.wait(20)
    told = [(type(event).__name__, int(event.at)) for event in watch.all(OriginChanged, Drained)]
    assert told == [("OriginChanged", 1), ("OriginChanged", 2), ("Drained", 3)]
    assert {event.by for event in watch.all(OriginChanged)} == {"timeline"}


# -- feeds ----------------------------------------------------------------------------------------------------------


def test_every_feed_sees_everything_from_when_it_was_asked_for(start: Start, lab_plan: LabPlan, get: Get) -> None:
    run = LiveRun(lab_plan())
    early = run.feed()
    run.start()
    try:
        get(run)
        late = run.feed()
        get(run)
        small = run.feed(size=2)
        get(run)
        get(run)
    finally:
        run.stop()
    kinds = [type(event).__name__ for event in early.drain()]
    request = ["Arrived", "Picked", "Finished"]
    assert kinds == ["Joined", "Joined", *request * 4, "Ended"]
    assert [type(event).__name__ for event in late.drain()] == [*request * 3, "Ended"]
    assert [type(event).__name__ for event in small.drain()] == ["Missed", "Finished", "Ended"]


def test_a_feed_holds_only_the_kinds_that_it_was_asked_for(start: Start, lab_plan: LabPlan, get: Get) -> None:
    run = start(lab_plan())
    ends, arrivals = run.feed(kinds=frozenset({Finished})), run.feed(kinds=frozenset({Arrived}))
    get(run)
    everything = run.feed()
    get(run)
    assert [type(event).__name__ for event in ends.drain()] == ["Finished", "Finished"]
    assert [type(event).__name__ for event in arrivals.drain()] == ["Arrived", "Arrived"]
    assert [type(event).__name__ for event in everything.drain()] == ["Arrived", "Picked", "Finished"]


def test_the_record_of_a_pick_is_made_as_soon_as_somebody_wants_it(start: Start, lab_plan: LabPlan, get: Get) -> None:
    run = start(lab_plan())
    without = run.feed(kinds=frozenset({Picked}))
    get(run)
    everything = run.feed()
    get(run)
    run.unfeed(everything)
    get(run)
    picks: list[Any] = without.drain()
    assert [bool(pick.why.candidates) for pick in picks] == [False, True, False]
    assert len(everything.drain()) == 3


def test_a_step_sees_what_no_feed_asked_for(start: Start, lab_plan: LabPlan, connect: Connect) -> None:
    run = start(lab_plan(), held=True)
    client = connect(run)
    client.send(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
    for in_flight in (1, 0):  # behind the pick, and behind the end
        run.step()
        while not run.paused:
            run.ended.wait(0.001)
        assert sum(one.in_flight for one in run.snapshot()[0].backends) == in_flight
    run.resume()
    assert client.answer()[0] == 200


def test_a_run_that_nobody_watched_can_be_watched_later(start: Start, lab_plan: LabPlan, get: Get) -> None:
    run = start(lab_plan())
    get(run)
    feed = run.feed()
    get(run)
    run.act(Fault("crash", "web", "a"))
    kinds = [type(event) for event in feed.drain()]
    assert kinds == [Arrived, Picked, Finished, OriginChanged]


# -- ending ---------------------------------------------------------------------------------------------------------


def ending(watch: Watch) -> Event:
    (ended,) = watch.all(Ended)
    assert watch.all()[-1] is ended
    return ended  # type: ignore[no-any-return]


def test_it_ends_when_it_has_lasted_and_nothing_begins_after_that(watched: Watched, lab_plan: LabPlan) -> None:
    plan = lab_plan(
        "ab",
        service=0.2,
        traffic=(Traffic("front", 50.0),),
        health=HealthCheck(interval=Seconds(1), timeout=Seconds(1)),
        lasts=Seconds(3),
        drain=Seconds(50),
        speed=10,
    )
    run, watch = watched(plan)
    assert run.ended.wait(20)
    run.stop("interrupted")
    ended = ending(watch)
    assert isinstance(ended, Ended)
    assert ended.because == "lasted"
    assert 3.0 <= ended.at < 53.0
    assert all(event.ok for event in watch.all(Finished))
    assert len(watch.all(Arrived)) == len(watch.all(Finished)) > 100
    assert len(watch.all(ProbeSent)) == 6


def test_stop_lets_requests_under_way_finish_and_accepts_no_new_ones(
    watched: Watched, lab_plan: LabPlan, connect: Connect
) -> None:
    run, watch = watched(lab_plan("a", service=1.0, drain=Seconds(30), speed=5))
    idle, busy = connect(run), connect(run)
    busy.send(REQUEST)
    watch.until(Picked)
    stopping = threading.Thread(target=run.stop)
    stopping.start()
    assert idle.rest() == b""
    with pytest.raises(OSError, match=r"refused|reset"):
        connect(run).answer()
    status, fields, _ = busy.answer()
    assert (status, fields["connection"]) == (200, "close")
    stopping.join(20)
    assert not stopping.is_alive()
    assert isinstance(ended := ending(watch), Ended)
    assert ended.because == "stopped"


def test_stop_waits_no_longer_than_the_plan_allows(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    run, watch = watched(lab_plan("a", service=10_000.0, drain=Seconds(5), speed=100))
    peer = connect(run)
    peer.send(REQUEST)
    watch.until(Picked)
    run.stop("interrupted")
    (finished,) = watch.all(Finished)
    assert finished.outcome == "the client left first"
    assert isinstance(ended := ending(watch), Ended)
    assert ended.because == "interrupted"


def test_stop_is_immediate_while_paused_or_told_twice(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    for paused in (True, False):
        run, watch = watched(lab_plan("a", service=1e6, drain=Seconds(1e6)))
        connect(run).send(REQUEST)
        watch.until(Picked)
        if paused:
            run.pause()
        else:
            threading.Thread(target=run.stop).start()
        run.stop()
        assert run.ended.is_set()
        assert len(watch.all(Finished)) == 1


def test_after_the_end_asking_is_harmless(start: Start, lab_plan: LabPlan) -> None:
    run = start(lab_plan())
    run.stop()
    now = run.now
    run.pause()
    run.resume()
    run.step()
    run.set_speed(3)
    run.act(Fault("crash", "web", "a"))
    run.stop()
    assert run.now == now
    assert [backend.name for backend in run.snapshot()[0].backends] == ["a", "b"]


def test_what_goes_wrong_inside_is_kept_and_raised_by_stop(
    lab_plan: LabPlan, get: Get, capfd: pytest.CaptureFixture[str], eventually: Eventually
) -> None:
    run = LiveRun(lab_plan())
    run.start()

    def fail() -> None:
        raise LookupError("on purpose")

    run._gate.ask(lambda: run._clock.call_at(0.0, fail))
    eventually(lambda: run.trouble)
    assert run.trouble == "LookupError: on purpose"
    assert get(run)[0] == 200
    with pytest.raises(LookupError, match="on purpose"):
        run.stop()
    run.stop()
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux lists them")
def test_a_run_leaves_no_file_open_and_no_thread_behind(lab_plan: LabPlan, get: Get) -> None:
    def play() -> None:
        plan = lab_plan(
            "abc",
            service=0.2,
            traffic=(Traffic("front", 100.0),),
            health=HealthCheck(interval=Seconds(0.5), timeout=Seconds(0.5)),
            acts=(Act(0.5, Fault("crash", "web", "a")), Act(0.6, Fault("hang", "web", "b"))),
            lasts=Seconds(2),
            speed=10,
        )
        run = LiveRun(plan)
        run.start()
        run.ended.wait(20)
        run.stop()

    play()
    gc.collect()
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    play()
    gc.collect()  # a transport or socket that was not closed would warn now, and warnings are errors
    assert len(os.listdir("/proc/self/fd")) == files
    assert threading.active_count() == threads


_SHUTDOWN = """
import gc
from lbtutor.core import *
from lbtutor.live.run import LiveRun

plan = Plan(
    (ListenerConfig("front"),), (Route("web"),), (PoolConfig("web", backends=(BackendConfig("a"),)),),
    (MachineConfig("web", "a", service=Service("constant", 1000.0)),), (Traffic("front", 200.0),),
    lasts=Seconds(1), drain=Seconds(0), speed=10,
)
for _ in range(3):
    run = LiveRun(plan)
    run.start()
    run.ended.wait(20)
    run.stop()
    gc.collect()
"""


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_with_every_warning_on_a_run_ends_in_silence(tmp_path: Path, loop: str) -> None:
    script = "import sys; sys.modules['uvloop'] = None\n" + _SHUTDOWN if loop == "asyncio" else _SHUTDOWN
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    slowness = "Executing <Handle "  # is the machine's matter
    assert [line for line in finished.stderr.splitlines() if not line.startswith(slowness)] == []
    assert finished.stdout == ""
