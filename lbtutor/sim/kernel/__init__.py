"""The kernel: a `World` played request by request, compiled where numba is, and the same source interpreted elsewhere.

`play(world)` gives a `Tape`. Inside, `layout` and `rows` name what lies where, `memory` lays a world out, `engine` says
what happens next, `journey` what a request meets, `picks` are the algorithms, `beliefs` the health checks, `strikes`
the mishaps, and `play` is the driver that people meet.
"""

from lbtutor.sim.kernel.compiled import AVAILABLE, EXTRA, is_made
from lbtutor.sim.kernel.play import Player, play, play_all

__all__ = ["AVAILABLE", "EXTRA", "Player", "is_made", "play", "play_all"]
