"""WebSocket conversations, through the balancer and with a real client library at either end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from lbtutor.core import Conversation, Drain, Fault, Plan, Seconds, Sticky, Traffic
from lbtutor.core.events import Arrived, Finished, Picked
from lbtutor.live.run import LiveRun

if TYPE_CHECKING:
    from tests.live.conftest import Watch

Eventually = Callable[[Callable[[], object]], None]
Watched = Callable[..., "tuple[LiveRun, Watch]"]
LabPlan = Callable[..., Plan]

TALK = Conversation(Seconds(3.25), Seconds(0.5))


def talks(rate: float = 10.0, clients: int = 4, stop: float = 0.45, about: Conversation = TALK) -> tuple[Traffic, ...]:
    """Clients that open conversations until `stop`."""
    return (Traffic("front", rate, "steady", clients, path="/chat", stop=Seconds(stop), websocket=about),)


def test_every_message_is_echoed_and_every_conversation_ends_in_peace(watched: Watched, lab_plan: LabPlan) -> None:
    run, watch = watched(lab_plan("ab", traffic=talks(), lasts=Seconds(2), speed=5, drain=Seconds(10)))
    assert run.ended.wait(20)
    assert run.messages == {"sent": 24, "echoed": 24, "lost": 0}
    assert [(event.method, event.path) for event in watch.all(Arrived)] == [("GET", "/chat")] * 4
    finished = watch.all(Finished)
    assert [event.status for event in finished] == [101] * 4
    assert all(event.ok and 3.25 <= event.took < 4.5 for event in finished)
    assert run.complaints == {}


def test_a_crash_breaks_conversations_and_each_client_knows_what_it_lost(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    about = Conversation(Seconds(1000), Seconds(0.01))
    run, watch = watched(lab_plan("ab", traffic=talks(about=about), lasts=Seconds(1000)))
    watch.until(Picked, count=4)
    eventually(lambda: run.messages.get("echoed", 0) > 40)
    run.act(Fault("crash", "web", "a"))
    eventually(lambda: run.complaints == {"a conversation was cut off": 2})
    watch.until(Finished, count=2, ok=False, status=101)
    before = run.messages["echoed"]
    eventually(lambda: run.messages["echoed"] > before + 20)
    run.act(Fault("hang", "web", "b"))
    eventually(lambda: run.messages["sent"] > run.messages["echoed"] + run.messages["lost"] + 20)
    run.act(Fault("heal", "web", "b"))
    eventually(lambda: run.messages["echoed"] > before + 60)
    assert len(watch.all(Finished)) == 2


def test_a_drain_with_a_deadline_tells_those_it_cuts_off(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    about = Conversation(Seconds(1000), Seconds(0.01))
    run, watch = watched(lab_plan("ab", traffic=talks(about=about), lasts=Seconds(1000)))
    watch.until(Picked, count=4)
    run.act(Drain("web", "b", Seconds(0.1)))
    eventually(lambda: run.complaints == {"a conversation was cut off": 2})
    assert {event.backend for event in watch.all(Finished)} == {"b"}


def test_a_machine_that_errs_refuses_the_conversation_and_that_is_an_answer(
    watched: Watched, lab_plan: LabPlan
) -> None:
    run, watch = watched(lab_plan("a", traffic=talks(), lasts=Seconds(0.5), drain=Seconds(5)), held=True)
    run.act(Fault("error", "web", "a", 1.0))
    run.resume()
    assert run.ended.wait(20)
    assert [event.status for event in watch.all(Finished)] == [500] * 4
    assert run.complaints == {}
    assert run.messages == {"lost": 0}


def test_a_conversation_that_a_hung_machine_was_asked_for_begins_when_it_is_healed(
    watched: Watched, lab_plan: LabPlan, eventually: Eventually
) -> None:
    about = Conversation(Seconds(1000), Seconds(0.01))
    run, watch = watched(
        lab_plan("a", traffic=talks(clients=1, stop=0.15, about=about), lasts=Seconds(1000)), held=True
    )
    run.act(Fault("hang", "web", "a"))
    run.resume()
    watch.until(Picked)
    was = run.now
    eventually(lambda: run.now > was + 0.2)
    assert run.messages == {}
    run.act(Fault("heal", "web", "a"))
    eventually(lambda: run.messages.get("echoed", 0) > 5)


def test_the_cookie_that_comes_with_a_handshake_brings_the_next_one_to_the_same_machine(
    watched: Watched, lab_plan: LabPlan
) -> None:
    traffic = talks(rate=5, clients=1, stop=1.1)
    plan = lab_plan(
        "abc", traffic=traffic, sticky=Sticky(cookie="SERVER"), lasts=Seconds(1.2), speed=4, drain=Seconds(0)
    )
    run, watch = watched(plan)
    assert run.ended.wait(20)
    assert [event.because for event in watch.all(Picked)] == ["algorithm", *["sticky"] * 4]


@pytest.mark.parametrize("words", [["one", "two"], ["x" * 100_000]])
def test_a_machine_talks_with_anybody_who_speaks_the_protocol(
    watched: Watched, lab_plan: LabPlan, words: list[str]
) -> None:
    from websockets.asyncio.client import connect

    run, _ = watched(lab_plan("a"))

    async def scene() -> list[str]:
        async with connect(f"ws://{run.addresses['front']}/chat", proxy=None) as socket:
            heard = []
            for word in words:
                await socket.send(word)
                heard.append(str(await socket.recv()))
            return heard

    assert asyncio.run(scene()) == words
