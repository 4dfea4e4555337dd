"""Black Friday: the hour that every design goes through, as data.

    minute   what                                                                            why it is there
    0-10     250 000 requests a second
    1        a failure domain goes dark for a minute (products)                              failure domains
    3        a deploy of users and orders, a tenth at a time, each drained                   drain, carts, WebSockets
    10-25    the ramp to 1 000 000                                                           scaling
    25-45    the peak
    26-43    1 % of the instances of each service fail: two crash, two hang                  health checks, retries
    30-33    one balancer dies, for ten minutes                                              DNS, headroom
    36-40    the product service takes a quarter longer, for 90 s                            headroom, retries
    45-55    back to 250 000

The minutes with a range are the seed's choice. The mix is that of the chapter's instances (10, 20, 15, 5 of 50). An
instance does 10 000 requests a second, 5 ms each. Three in five of the orders' requests belong to a cart, of which
three million are open, for 30 minutes each; two million WebSockets to the user service are open, ten minutes on
average, and their clients ping every 30 s. Who died is replaced: an instance after five minutes, a balancer after ten.
"""

from __future__ import annotations

from random import Random

from lbtutor.core import Seconds
from lbtutor.course.challenge.design import SERVICES, Design, PoolDesign
from lbtutor.sim.world import Balancers, Carts, Dns, Fleet, Load, Mishap, Sockets, World

MIX = {"users": 0.2, "products": 0.4, "orders": 0.3, "payments": 0.1}
"""Each service's share of the requests."""

QUIET, PEAK = 250_000.0, 1_000_000.0
LASTS = 3600
RAMP = (600, 1500)
PEAK_HOURS = (1500, 2700)
RATE = ((0.0, QUIET), (600.0, QUIET), (1500.0, PEAK), (2700.0, PEAK), (3300.0, QUIET))

INSTANCE = 10_000.0
"""Requests a second that one instance does: the chapter's constraint."""

PING = Seconds(30)
"""How often a WebSocket's client says something when it has nothing to say."""

CARTS = Carts(share=0.6, open=3_000_000, lasts=Seconds(1800))
SOCKETS = Sockets(open=2_000_000, lasts=Seconds(600))


def world_of(design: Design, seed: int) -> World:
    """The design on its day; the seed decides when the failures come and whom they hit."""
    return World(
        fleets=tuple(_fleet(name, design.pool[name]) for name in SERVICES),
        balancers=Balancers(
            design.balancers.count,
            float(design.balancers.capacity),
            dns=Dns(design.dns.ttl, design.dns.check),
        ),
        load=Load(RATE, clients=100_000),
        mishaps=_mishaps(design, Random(f"{seed}/day")),
        lasts=Seconds(LASTS),
        seed=seed,
        title=design.title,
    )


def drains_of(design: Design) -> dict[str, float]:
    """How long an instance that leaves is drained, by service."""
    return {name: float(pool.drain) for name, pool in design.pool.items()}


def _fleet(name: str, pool: PoolDesign) -> Fleet:
    return Fleet(
        name=name,
        share=MIX[name],
        instances=pool.instances,
        scaling=pool.scale,
        capacity=INSTANCE,
        zones=pool.zones,
        algorithm=pool.algorithm,
        sticky=None if pool.sticky is None else pool.sticky.ttl,
        store=pool.sessions == "shared",
        carts=CARTS if name == "orders" else None,
        sockets=SOCKETS if name == "users" else None,
        health=pool.health,
        passive=pool.passive,
        retry=pool.retry,
        slow_start=pool.slow_start,
        timeout=pool.response_timeout,
    )


def _mishaps(design: Design, rng: Random) -> tuple[Mishap, ...]:
    def minute(earliest: float, latest: float) -> Seconds:
        return Seconds(round(60 * rng.uniform(earliest, latest)))

    return (
        Mishap(Seconds(60), "crash", "products", zone=0, lasts=Seconds(60)),
        _deploy("users", design.pool["users"]),
        _deploy("orders", design.pool["orders"]),
        Mishap(minute(26, 43), "crash", "users", share=0.01, lasts=Seconds(300)),
        Mishap(minute(26, 43), "crash", "orders", share=0.01, lasts=Seconds(300)),
        Mishap(minute(26, 43), "hang", "products", share=0.01, lasts=Seconds(300)),
        Mishap(minute(26, 43), "hang", "payments", share=0.01, lasts=Seconds(300)),
        Mishap(minute(30, 33), "crash", balancer=rng.randrange(design.balancers.count), lasts=Seconds(600)),
        Mishap(minute(36, 40), "slow", "products", share=1.0, amount=1.25, lasts=Seconds(90)),
    )


def _deploy(name: str, pool: PoolDesign) -> Mishap:
    """A tenth of the instances at a time; the fleet may have room for more, of which the deploy counts a share."""
    room = pool.instances if pool.scale is None else pool.scale.max
    return Mishap(Seconds(180), "deploy", name, amount=0.1 * pool.instances / room, drain=pool.drain)
