"""What a frame of the stage costs, in CPU: `pytest -m benchmark -s tests/benchmarks/test_stage.py`.

Measured on two shared Xeon cores, 30 frames a second, 80 x 26 cells: 0.3 ms at 20 requests/s, 0.6 ms at 100. Textual's
own share (layout of the update, the bytes) comes on top, about 1.5 ms.
"""

from __future__ import annotations

from time import process_time

import pytest

from lbtutor.core import Event, Plan, Seconds
from lbtutor.core.health import HealthCheck
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import BackendConfig
from lbtutor.core.pool import PoolConfig
from lbtutor.core.routing import Route
from lbtutor.core.service import Service
from lbtutor.core.workload import MachineConfig, Traffic
from lbtutor.sim.simulate import simulate
from lbtutor.tui.glyphs import UNICODE
from lbtutor.tui.widgets.stage.layout import arrange
from lbtutor.tui.widgets.stage.paint import Picture
from lbtutor.tui.widgets.stage.scene import Scene

FPS = 30
SECONDS = 8

pytestmark = pytest.mark.benchmark


def trace(rate: float) -> list[Event]:
    names = ("srv-1", "srv-2", "srv-3", "srv-4")
    health = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5))
    plan = Plan(
        listeners=(ListenerConfig("front"),),
        routes=(Route("web"),),
        pools=(PoolConfig("web", "round_robin", tuple(BackendConfig(name) for name in names), health),),
        machines=tuple(MachineConfig("web", name, 64, Service("exponential", 0.3)) for name in names),
        traffic=(Traffic("front", rate),),
        lasts=Seconds(SECONDS),
    )
    events: list[Event] = []
    simulate(plan, events.append)
    return events


@pytest.mark.parametrize("rate", [20, 100, 500])
@pytest.mark.parametrize("size", [(80, 26), (198, 56)])
def test_cpu_of_a_frame(rate: float, size: tuple[int, int]) -> None:
    scene = Scene()
    scene.take(trace(rate))
    scene.advance(2.0)
    picture = Picture(arrange(*size, list(scene.servers), list(scene.clients), 5), UNICODE)
    picture.paint(scene)
    frames = (SECONDS - 3) * FPS
    before = process_time()
    for frame in range(frames):
        scene.advance(2 + (frame + 1) / FPS)
        for span in picture.paint(scene):
            picture.runs(span.row)
    print(f"\n{size}, {rate} requests/s: {(process_time() - before) / frames * 1000:.2f} ms a frame")
