"""The simulator: the balancer on a virtual clock.

`loop` is the clock and the list of what comes next, `station` a machine made of numbers (`distant`, if there is a
network between), and `simulate` the shell that plays a plan: it brings requests to the balancer, carries them to
stations, and tells the balancer how they ended. No socket is opened, nothing waits, and the same plan gives the same
trace to the byte.
"""

from lbtutor.sim.simulate import simulate

__all__ = ["simulate"]
