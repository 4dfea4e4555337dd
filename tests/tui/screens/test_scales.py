"""The fixed scales of the charts."""

from __future__ import annotations

import pytest

from lbtutor.core import ListenerConfig, MachineConfig, Plan, PoolConfig, Route, Service, Traffic
from lbtutor.tui.screens.scales import round_up, scales


def plan(rates: tuple[float, ...], services: tuple[Service, ...]) -> Plan:
    return Plan(
        listeners=(ListenerConfig("front"),),
        routes=(Route(pool="web"),),
        pools=(PoolConfig("web"),),
        machines=tuple(MachineConfig("web", f"srv-{n}", service=service) for n, service in enumerate(services)),
        traffic=tuple(Traffic(to="front", rate=rate) for rate in rates),
    )


@pytest.mark.parametrize(
    ("number", "rounded"), [(18, 20), (6, 8), (10, 10), (130, 150), (1600, 2000), (0.4, 0.5), (81, 100), (0, 1)]
)
def test_a_scale_ends_at_a_number_that_looks_good(number: float, rounded: float) -> None:
    assert round_up(number) == pytest.approx(rounded)


def test_the_usual_throughput_fills_two_thirds_of_the_chart_at_most() -> None:
    assert scales(plan((4.0, 16.0), (Service("constant", 0.03),))).throughput == 30


def test_a_machine_made_four_times_slower_still_fits_the_latency_chart() -> None:
    assert scales(plan((4.0,), (Service("constant", 0.1), Service("constant", 0.5)))).latency == 2000


def test_a_machine_of_chance_gets_room_for_its_tail() -> None:
    assert scales(plan((4.0,), (Service("exponential", 0.1),))).latency == 1500


def test_errors_are_percent() -> None:
    assert scales(plan((1.0,), ())).errors == 100


def test_a_scene_without_machines_or_traffic_has_scales_all_the_same() -> None:
    assert all(top > 0 for top in scales(plan((), ())))
