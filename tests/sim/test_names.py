"""Who is told of which balancer, and for how long that is believed."""

from __future__ import annotations

from lbtutor.core import Dns, Event, HealthCheck, Seconds
from lbtutor.core.events import Relisted, Resolved
from lbtutor.sim.loop import Loop, Order
from lbtutor.sim.names import NameServer

CHECK = HealthCheck(interval=Seconds(2), timeout=Seconds(1), rise=1, fall=3)


class Scene:
    """A name server, a clock that can be moved, and what was told."""

    def __init__(self, ttl: float, check: HealthCheck | None = None) -> None:
        self.loop = Loop()
        self.told: list[Event] = []
        self.names = NameServer(Dns(Seconds(ttl), check), ("x", "y"), self.loop, self.told.append)

    def at(self, when: float) -> NameServer:
        self.loop.run(when)
        return self.names


def test_addresses_are_given_out_in_turn_and_believed_for_the_ttl() -> None:
    scene = Scene(10)
    assert [scene.names.find(client) for client in "abc"] == ["x", "y", "x"]
    assert [scene.at(9.99).find(client) for client in "abc"] == ["x", "y", "x"]
    assert scene.at(10).find("a") == "y"
    assert scene.told[-1] == Resolved(10, "a", "y", 20.0)
    assert len(scene.told) == 4


def test_without_a_ttl_each_request_asks() -> None:
    scene = Scene(0)
    assert [scene.names.find("a") for _ in range(4)] == ["x", "y", "x", "y"]


def test_a_dead_balancer_is_given_out_until_the_check_has_failed_often_enough() -> None:
    scene = Scene(0, CHECK)
    scene.at(1.5).changed("x", alive=False)
    assert [scene.at(5.9).find("a") for _ in range(2)] == ["x", "y"]
    scene.at(6.1)
    assert scene.told[-1] == Relisted(6.0, "x", False, "3 probes in a row failed")
    assert {scene.names.find("a") for _ in range(4)} == {"y"}


def test_one_that_came_back_is_given_out_again() -> None:
    scene = Scene(0, CHECK)
    scene.names.changed("x", alive=False)
    scene.at(7).changed("x", alive=True)
    scene.at(8.1)
    assert scene.told[-1] == Relisted(8.0, "x", True, "1 probe in a row passed")
    assert {scene.names.find("a") for _ in range(2)} == {"x", "y"}


def test_one_that_was_back_in_time_was_never_missed() -> None:
    scene = Scene(0, CHECK)
    scene.names.changed("x", alive=False)
    scene.at(3).changed("x", alive=True)
    scene.at(20)
    assert [event.listed for event in scene.told if isinstance(event, Relisted)] == [True]


def test_without_a_check_nobody_notices_and_with_nobody_left_all_are_given_out() -> None:
    for check, names in ((None, "x"), (CHECK, "xy")):
        scene = Scene(0, check)
        for name in names:
            scene.names.changed(name, alive=False)
        assert {scene.at(60).find("a") for _ in range(4)} == {"x", "y"}


def test_the_check_looks_after_what_else_happens_at_that_instant() -> None:
    scene = Scene(0, CHECK)

    def ask(_: None) -> None:
        scene.names.find("a")

    scene.loop.schedule(4.0, Order.ARRIVAL, ask, None)
    scene.names.changed("x", alive=False)
    scene.at(4.1)
    assert [type(event) for event in scene.told] == [Resolved, Relisted]
