"""The kernel: a `World` played request by request, compiled where numba is, and the same source interpreted elsewhere.

`play(world)` gives a `Tape`. Inside, `layout` names what lies where, `memory` lays a world out, `picks` are the
algorithms, `beliefs` the health checks, `engine` the events, and `play` the driver that people meet.
"""

from lbtutor.sim.kernel.compiled import AVAILABLE, EXTRA
from lbtutor.sim.kernel.play import Player, play, play_all

__all__ = ["AVAILABLE", "EXTRA", "Player", "play", "play_all"]
