"""The names of the kernel's memory: what lies in which column.

One `Memory` holds everything that changes while a world is played: whole numbers in one array and floats in another.
Things of a kind lie in the rows of a section, and the names below are the columns: of request r the state is
`m.n[request_at(m, r) + STATE]`. (Three arrays and no more, because numba passes each of them on as seven numbers, at
each call.) Instances of all fleets are numbered through (`g`), those of one fleet side by side; what balancer b knows
of instance g is in row `b * G + g`, and what it knows of fleet f in row `b * F + f`.

The size is that of the world and of what is in flight at once, never of how many requests there were.
"""

from __future__ import annotations

from math import ceil, inf, log
from typing import NamedTuple

from lbtutor.sim.kernel.compiled import Array
from lbtutor.sim.tape import AT_BALANCERS, COUNTS, TIMES
from lbtutor.sim.world import KERNEL_ALGORITHMS
from lbtutor.trace.histogram import LOG_GROWTH

(
    ROUND_ROBIN,
    WEIGHTED_ROUND_ROBIN,
    LEAST_CONNECTIONS,
    POWER_OF_TWO,
    RANDOM,
    LEAST_RESPONSE_TIME,
    IP_HASH,
    CONSISTENT_HASH,
) = range(len(KERNEL_ALGORITHMS))

# a request: whole numbers, and times
NEXT, STATE, INSTANCE, BALANCER, CART, ATTEMPT, TRIED, CLIENT = range(8)
REQUEST = 8
ENDS, CAME, SENT, WORK = range(4)
REQUEST_TIMES = 4
FREE, RUNNING, WAITING, HELD, BACKING_OFF, VOID = range(6)
"""States of a request: WAITING in line, HELD by a machine that hangs, VOID when its machine died under it."""

# an instance: the machine itself, and where it stands in the world
(UP, IN_LINE, FIRST_IN_LINE, LAST_IN_LINE, AT_WORK, LIFE, FLEET, MEMBER, DRAINING, HERE) = range(10)
INSTANCE_ROW = 10
DOWN, RUNS, HANGS = range(3)
"""What column UP says."""
JOINS, DRAINS, LEFT = range(3)
"""What the operator says of one."""

# what a balancer knows of an instance
(
    EJECTED,
    FAILURES,
    BELIEVED,
    SEEN,
    KNOWN,
    STREAK,
    TIMES_EJECTED,
    STEP,
    SOCKETS,
) = range(9)
VIEW = 9
(
    NEXT_PROBE,
    PROBE_ENDS,
    EJECTED_UNTIL,
    READMITTED_AT,
    SINCE,
    LATENCY,
    LATENCY_AT,
    ASKED_AT,
    WEIGHT,
    PURSE,
    NEXT_STEP,
) = range(11)
VIEW_TIMES = 11
SICK, HEALTHY, UNCHECKED = range(3)

# what a balancer knows of a fleet
HOW_MANY, TURN, PICKS, CHANGED, UNIFORM, SAVED = range(6)
GROUP = 6

# a fleet
(
    FIRST,
    ROOM,
    SLOTS,
    QUEUE,
    ALGORITHM,
    SHAPE,
    ATTEMPTS,
    RETRY_CONNECT,
    RETRY_CLOSE,
    RETRY_TIMEOUT,
    RETRY_FULL,
    EARNS,
    CHECKED,
    UNCHECKED_FIRST,
    RISE,
    FALL,
    PASSIVE,
    FAILS,
    FAIL_OPEN,
    CARTS,
    FIRST_CART,
    STICKY,
    STORE,
    POINTS,
    FIRST_POINT,
    FIRST_START,
    RUNNING_NOW,
    BUSY,
    SOCKETS_OPEN,
    SOCKETS_AWAY,
) = range(30)
FLEET_ROW = 30
(
    SHARE_UP_TO,
    MEAN,
    MU,
    SIGMA,
    TIMEOUT,
    INTERVAL,
    PROBE_TIMEOUT,
    WINDOW,
    EJECT,
    MOST_EJECTED,
    SLOW_START,
    BACKOFF,
    CART_SHARE,
    CART_LASTS,
    STICKY_FOR,
    BUSY_SINCE,
    SOCKET_LASTS,
    SOCKET_AWAY,
    SOCKET_BIRTHS,
    NEXT_SOCKET,
) = range(20)
FLEET_TIMES = 20

# a balancer
B_UP, B_BELIEVED, B_STREAK = range(3)
BALANCER_ROW = 3
B_FREE_AT, B_NEXT_PROBE = range(2)
BALANCER_TIMES = 2

# the whole
(
    Z_FLEETS,
    Z_BALANCERS,
    Z_INSTANCES,
    Z_FREE,
    Z_FREE_COUNT,
    Z_CURSOR,
    Z_MASK,
    Z_DNS_TURN,
    Z_CLIENTS,
    Z_STEADY,
    Z_DNS_CHECKED,
    Z_DNS_RISE,
    Z_DNS_FALL,
    Z_USED,
    Z_MOST_FAILS,
) = range(15)
N_WHOLE = 15
(
    Z_NOW,
    Z_NEXT_ARRIVAL,
    Z_LEFT,
    Z_CONTROL,
    Z_SOCKET,
    Z_PER_WIDTH,
    Z_B_COST,
    Z_B_QUEUE,
    Z_B_ADDS,
    Z_TTL,
    Z_DNS_INTERVAL,
) = range(11)
N_WHOLE_TIMES = 11

(
    N_OFFERED,
    N_SERVED,
    N_SHED,
    N_SHED_BY_BALANCER,
    N_FAILED_BEFORE,
    N_FAILED_AFTER,
    N_RETRIED,
    N_SERVED_LATE,
    N_CARTS_LOST,
    N_SOCKETS_OPENED,
    N_SOCKETS_LOST,
    N_EJECTED,
) = range(len(COUNTS))
N_COUNTS = len(COUNTS)
T_TOOK, T_WAITED, T_ADDED, T_BUSY = range(len(TIMES))
N_TIMES = len(TIMES)
A_OFFERED, A_SHED, A_FAILED, A_CLIENTS = range(len(AT_BALANCERS))
N_AT = len(AT_BALANCERS)

LOWEST_BUCKET = ceil(log(1e-6) / LOG_GROWTH)
BUCKETS = ceil(log(1e3) / LOG_GROWTH) - LOWEST_BUCKET + 1
"""Latencies from a microsecond to a quarter of an hour; what is outside counts in the outermost bucket."""

NOT_OFFERED = 1 << 62
ONE_IN_FLIGHT = 1 << 41
ONE_PICK = 1 << 10
MOST_PICKS = 2**31 - 1
"""What each request touches is one number, the key of least connections: whether the instance is not offered, 21 bits
in flight, 31 bits when it was last picked, 10 bits its place in the fleet. The least of them is who is due."""

MILLION = 1_000_000
"""A retry, in the millionths that a budget is kept in."""

MOST_GLOBAL = 1 << 20
"""Above the number of every instance: one and its lives fit in one number, and three in one word."""

NEVER = inf

# where the sections begin, those of whole numbers in `n` and those of floats in `x`; what grows is last
(
    AT_BUCKET,
    AT_INSTANCE,
    AT_BELIEF,
    AT_KEYS,
    AT_OFFERED,
    AT_REST,
    AT_GROUP,
    AT_FLEET,
    AT_BALANCER,
    AT_CLIENT_AT,
    AT_CLIENT_HASH,
    AT_RING_OWNER,
    AT_RING_START,
    AT_CART_HOME,
    AT_COUNT,
    AT_TOLD,
    AT_PICKED,
    AT_LATENCY,
    AT_REQUEST,
    AT_SLOW,
    AT_BELIEF_TIMES,
    AT_ENDS,
    AT_REST_ENDS,
    AT_FAILED_AT,
    AT_FLEET_TIMES,
    AT_BALANCER_TIMES,
    AT_CLIENT_UNTIL,
    AT_CART_TIMES,
    AT_SPENT,
    AT_WEIGHTS,
    AT_TIMES,
) = range(N_WHOLE, N_WHOLE + 31)
INT_SECTIONS = 19
FLOAT_SECTIONS = 12


class Memory(NamedTuple):
    """All that there is, in three arrays, changed in place: whole numbers, floats, and the state of the dice."""

    n: Array
    x: Array
    dice: Array
