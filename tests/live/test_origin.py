"""Lab machines on real sockets: each row of the table of faults, seen from the balancer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lbtutor.core import Fault, HealthCheck, ListenerConfig, MachineConfig, Plan, Retry, Seconds, Service
from lbtutor.core.events import Finished, OriginChanged, Picked, Probed, SessionStarted
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Peer, Watch

Eventually = Callable[[Callable[[], object]], None]
Start = Callable[..., LiveRun]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
LabPlan = Callable[..., Plan]
Connect = Callable[..., "Peer"]
Get = Callable[..., tuple[int, dict[str, str], bytes]]

REQUEST = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
HEALTH = HealthCheck(interval=Seconds(2), timeout=Seconds(1))


def port_of(run: LiveRun, name: str) -> int:
    stage: Any = run._stage
    return int(stage._origins["web", name].address.port)


def test_a_machine_answers_with_its_name(start: Start, lab_plan: LabPlan, get: Get) -> None:
    run = start(lab_plan("a"))
    status, fields, body = get(run)
    assert (status, fields["x-origin"], body) == (200, "web/a", b"web/a\n")
    assert get(run, method="HEAD")[2] == b""


def test_requests_beyond_the_workers_wait_in_line(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    run, watch = watched(lab_plan("a", service=1.0, workers=2, speed=20))
    for _ in range(4):
        connect(run).send(REQUEST)
    watch.until(Finished, count=4)
    ends = [event.at for event in watch.all(Finished)]
    assert ends[2] - ends[0] >= 0.9
    assert ends[3] - ends[1] >= 0.9


def test_a_request_whose_client_has_gone_occupies_no_worker(
    watched: Watched, lab_plan: LabPlan, connect: Connect
) -> None:
    run, watch = watched(lab_plan("a", service=1.0, workers=1, speed=5))
    impatient, patient = connect(run), connect(run)
    impatient.send(REQUEST)
    watch.until(Picked)
    impatient.close()
    watch.until(Finished)
    patient.send(REQUEST)
    assert watch.until(Finished, count=2).took < 1.9


def test_crash_refuses_new_connections_and_heal_comes_back_at_the_same_port(
    watched: Watched, lab_plan: LabPlan, get: Get
) -> None:
    run, watch = watched(lab_plan("a"))
    assert get(run)[0] == 200
    port = port_of(run, "a")
    run.act(Fault("crash", "web", "a"))
    assert get(run)[0] == 502
    assert watch.until(Finished, ok=False).outcome == "connection refused"
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    run.act(Fault("heal", "web", "a"))
    assert get(run)[0] == 200
    assert port_of(run, "a") == port


def test_crash_closes_connections_under_way(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    run, watch = watched(lab_plan("a", service=1000.0))
    peer = connect(run)
    peer.send(REQUEST)
    watch.until(Picked)
    run.act(Fault("crash", "web", "a"))
    assert peer.answer()[0] == 502
    assert watch.until(Finished).outcome in ("closed before an answer", "connection refused")


def test_a_request_that_a_crash_broke_is_not_sent_again_on_a_fresh_connection(
    watched: Watched, lab_plan: LabPlan, connect: Connect, eventually: Eventually
) -> None:
    """On a kept connection too: the machine had the request in hand, and the simulator says so as well."""
    run, watch = watched(lab_plan("ab", service=1.0, workers=1, retry=Retry(2, on=("connect",)), speed=50))
    peer = connect(run)
    for _ in range(2):
        peer.send(REQUEST)
        assert peer.answer()[0] == 200
    run.set_speed(1)
    peer.send(REQUEST)
    assert watch.until(Picked, count=3).backend == "a"
    stage: Any = run._stage
    eventually(lambda: stage._origins["web", "a"].workers._at_work)
    run.act(Fault("crash", "web", "a"))
    assert peer.answer()[0] == 502
    assert watch.until(Finished, ok=False).outcome == "closed before an answer"
    assert len(watch.all(Picked)) == 3


def test_refuse_turns_new_connections_away_and_serves_on_open_ones(
    watched: Watched, lab_plan: LabPlan, connect: Connect
) -> None:
    run, watch = watched(lab_plan("a", service=1.0, speed=20))
    first, second = connect(run), connect(run)
    first.send(REQUEST)
    assert first.answer()[0] == 200
    run.act(Fault("refuse", "web", "a"))
    first.send(REQUEST)
    watch.until(Picked, count=2)
    second.send(REQUEST)
    assert second.answer()[0] == 502
    assert first.answer()[0] == 200


def test_hang_answers_nobody_until_it_is_healed(
    watched: Watched, lab_plan: LabPlan, connect: Connect, eventually: Eventually
) -> None:
    run, watch = watched(lab_plan("a", service=1.0, workers=1, speed=20))
    before, during = connect(run), connect(run)
    before.send(REQUEST)
    watch.until(Picked)
    run.act(Fault("hang", "web", "a"))
    during.send(REQUEST)
    watch.until(Picked, count=2)
    was = run.now
    eventually(lambda: run.now > was + 5)  # five times the work
    assert not watch.all(Finished)
    run.act(Fault("heal", "web", "a"))
    assert before.answer()[0] == 200
    assert during.answer()[0] == 200


def test_error_answers_500_at_once_for_its_share(watched: Watched, lab_plan: LabPlan, get: Get) -> None:
    run, _ = watched(lab_plan("a", service=0.0))
    run.act(Fault("error", "web", "a", 1.0))
    assert get(run)[0] == 500
    run.act(Fault("error", "web", "a", 0.5))
    statuses = [get(run)[0] for _ in range(40)]
    rng = MachineConfig("web", "a").rng(1)
    rng.random()  # the first request's
    assert statuses == [500 if rng.random() < 0.5 else 200 for _ in statuses]
    run.act(Fault("heal", "web", "a"))
    assert get(run)[0] == 200


def test_slow_multiplies_the_work(watched: Watched, lab_plan: LabPlan, get: Get) -> None:
    run, watch = watched(lab_plan("a", service=1.0, speed=50))
    assert get(run)[0] == 200
    run.act(Fault("slow", "web", "a", 4))
    assert get(run)[0] == 200
    usual, slow = (watch.until(Finished, count=number).took for number in (1, 2))
    assert usual >= 1
    assert slow >= 4 > usual


@pytest.mark.parametrize(
    ("kind", "amount", "ok", "because"),
    [
        ("crash", 0.0, False, "connection refused"),
        ("refuse", 0.0, False, "connection refused"),
        ("hang", 0.0, False, "no answer in 1s"),
        ("error", 1.0, False, "500"),
        ("error", 0.9, True, "200"),
        ("slow", 100.0, True, "200"),
    ],
)
def test_probes_see_each_fault_as_the_table_says(
    watched: Watched, lab_plan: LabPlan, kind: Any, amount: float, ok: bool, because: str
) -> None:
    run, watch = watched(lab_plan("a", service=1.0, health=HEALTH, speed=20), held=True)
    run.act(Fault(kind, "web", "a", amount))
    run.resume()
    probed = watch.until(Probed)
    assert (probed.ok, probed.because) == (ok, because)
    run.act(Fault("heal", "web", "a"))
    assert watch.until(Probed, ok=True).because == "200"


def test_a_probe_occupies_no_worker_and_throws_no_die(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    run, watch = watched(lab_plan("a", service=1000.0, workers=1, health=HEALTH, speed=20))
    connect(run).send(REQUEST)
    watch.until(Picked)
    assert watch.until(Probed, count=3).ok


def test_exponential_work_comes_from_the_machines_own_dice(watched: Watched, lab_plan: LabPlan, get: Get) -> None:
    service = Service("exponential", 0.5)
    plan = lab_plan("a", machines=(MachineConfig("web", "a", service=service),), seed=7, speed=10)
    run, watch = watched(plan)
    rng = MachineConfig("web", "a").rng(7)
    for number in range(5):
        get(run)
        work = service.sample(rng)
        rng.random()
        took = watch.until(Finished, count=number + 1).took
        assert work <= took < work + 3


def test_what_was_done_to_a_machine_is_told_with_who_did_it(watched: Watched, lab_plan: LabPlan) -> None:
    run, watch = watched(lab_plan("ab"))
    run.act(Fault("slow", "web", "b", 3))
    changed = watch.until(OriginChanged)
    assert (changed.pool, changed.backend, changed.fault, changed.amount, changed.by) == ("web", "b", "slow", 3, "hand")


def test_a_machine_asks_for_a_body_that_waits_to_be_asked_for(
    start: Start, lab_plan: LabPlan, connect: Connect
) -> None:
    peer = connect(start(lab_plan("a")))
    peer.send(b"POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert peer.read_head().startswith(b"HTTP/1.1 100 Continue")
    peer.send(b"hi")
    assert peer.answer()[0] == 200


def test_faults_in_a_row_replace_one_another(watched: Watched, lab_plan: LabPlan, get: Get) -> None:
    run, _ = watched(lab_plan("a"))
    for kind, amount, status in (
        ("crash", 0, 502),
        ("crash", 0, 502),
        ("error", 1, 500),
        ("refuse", 0, 502),
        ("heal", 0, 200),
        ("heal", 0, 200),
    ):
        run.act(Fault(kind, "web", "a", amount))  # type: ignore[arg-type]
        if kind == "refuse":
            run.act(Fault("crash", "web", "a"))
        assert get(run)[0] == status


def test_a_storm_of_faults_leaves_the_machine_well(watched: Watched, lab_plan: LabPlan, connect: Connect) -> None:
    run, _ = watched(lab_plan("a", service=0.05, workers=2))
    stop = threading.Event()

    def storm() -> None:
        kinds = ("hang", "crash", "hang", "refuse", "hang", "error", "slow", "heal")
        while not stop.is_set():
            for kind in kinds:
                run.act(Fault(kind, "web", "a", 0.5))  # type: ignore[arg-type]

    thread = threading.Thread(target=storm)
    thread.start()
    for _ in range(50):
        peer = connect(run)
        peer.send(REQUEST)
        assert peer.answer()[0] in (200, 500, 502)
    stop.set()
    thread.join()
    peer = connect(run)
    peer.send(REQUEST)
    assert peer.answer()[0] == 200
    assert run.snapshot()[0].backends[0].in_flight == 0


def test_a_machine_that_is_told_who_comes_believes_it_and_answers_probes_that_speak_for_nobody(
    watched: Watched, lab_plan: LabPlan, connect: Connect
) -> None:
    door = ListenerConfig("front", mode="tcp", pool="web")
    machines = (MachineConfig("web", "a", sessions="memory"),)
    plan = lab_plan("a", machines=machines, listeners=(door,), send_proxy="v2", health=HEALTH, speed=20)
    run, watch = watched(plan)
    peer = connect(run, source="127.0.1.9")
    peer.send(REQUEST)
    assert peer.answer()[0] == 200
    assert watch.until(SessionStarted).client == "127.0.1.9"
    assert watch.until(Probed).because == "200"


def test_behind_a_bare_connection_everybody_comes_from_the_balancer(
    watched: Watched, lab_plan: LabPlan, connect: Connect
) -> None:
    door = ListenerConfig("front", mode="tcp", pool="web")
    machines = (MachineConfig("web", "a", sessions="memory"),)
    run, watch = watched(lab_plan("a", machines=machines, listeners=(door,)))
    connect(run, source="127.0.1.9").send(REQUEST)
    assert watch.until(SessionStarted).client == "127.0.0.1"


def test_what_follows_a_handshake_in_one_piece_is_heard_also_when_the_machine_hung_before(
    watched: Watched, lab_plan: LabPlan
) -> None:
    run, _ = watched(lab_plan("a"), held=True)
    run.act(Fault("hang", "web", "a"))
    run.resume()
    handshake = (
        b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    says_hi = b"\x81\x82\0\0\0\0hi"  # a text frame, masked with zeros
    with socket.create_connection(("127.0.0.1", port_of(run, "a"))) as peer:
        peer.settimeout(20)
        peer.sendall(handshake + says_hi)
        peer.sendall(says_hi)
        run.act(Fault("heal", "web", "a"))
        heard = b""
        while heard.count(b"\x81\x02hi") < 2:
            heard += peer.recv(1000)
    assert heard.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in heard  # RFC 6455, section 1.3


def test_a_protocol_that_is_not_known_is_not_spoken(start: Start, lab_plan: LabPlan) -> None:
    run = start(lab_plan("a"))
    with socket.create_connection(("127.0.0.1", port_of(run, "a"))) as peer:
        peer.settimeout(20)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: gopher\r\n\r\n")
        assert b"101" not in peer.recv(1000)
