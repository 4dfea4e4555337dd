"""The chapter's requirements, each judged on what its day showed.

    id             asks                                                       broken in the second in which
    capacity       at the peak, at most 1 in 1000 is turned away, and 99 %    more than 1 in 1000 are turned away, or
                   are served                                                 1 in 100 are not served
    routing        each path to its service, and nothing else to any          -
    even           no instance has over 25 % more than the mean of its own    one has, at the peak
    failures       dead instances cost at most 1 request in 10 000, and a     that many are lost, or the minute
                   dead balancer's clients are all served after 60 s          is over
    carts          at most 1 cart in 10 000 is lost                           that many are
    websocket      at most 1 in 10 is cut in any one minute                   more are
    tls            ends at the balancer                                       -
    latency        under 10 ms are added, on average in every second          they are not
    availability   99.99 % of a day's requests are answered                   the day's allowance is used up
    cost           within the budget                                          -

Availability is that of a whole day: the hour that is played, and 23 quiet ones in which nothing happens. Every verdict
is a fold over the tape, except those on routes and TLS, which ask the real router and the design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from msgspec import Struct

from lbtutor.core import HealthCheck, Request
from lbtutor.core.routing import Router
from lbtutor.course.challenge.day import CARTS, INSTANCE, MIX, PEAK, PEAK_HOURS, PING, QUIET, SOCKETS
from lbtutor.course.challenge.design import SERVICES, Design
from lbtutor.labs.checks import Verdict
from lbtutor.sim.tape import Tape

SHED_AT_MOST = 0.001
SERVED_AT_LEAST = 0.99
UNEVEN_AT_MOST = 1.25
LOST_TO_INSTANCES = 0.0001
BALANCER_RECOVERS = 60
CARTS_LOST = 0.0001
SOCKETS_CUT = 0.1
ADDED_AT_MOST = 0.010
UNANSWERED = 0.0001

INSTANCE_HOUR, BALANCER_HOUR, STORE_HOUR = 1.0, 2.0, 10.0
"""Prices: an instance for an hour; 100 000 requests a second of balancer, for an hour; the store of one service."""

BUDGET = 220.0
"""What the hour may cost: a fifth of what a thousand instances do."""


class Judged(Struct, frozen=True):
    """One requirement: its sentence, the verdict, what was measured, and the second in which it was first broken."""

    id: str
    says: str
    verdict: Verdict
    measured: str
    first_broken_at: float | None = None


class Cost(Struct, frozen=True):
    """What the hour cost, in instance-hours' worth."""

    instance_hours: float
    balancer_hours: float
    total: float
    budget: float = BUDGET


def cost_of(design: Design, tape: Tape) -> Cost:
    """Instances by the second, balancers by their capacity, shared stores at a flat price."""
    hours = tape.seconds / 3600
    instances = sum(tape.series("instances")) / 3600
    balancers = design.balancers.count * design.balancers.capacity / 100_000 * hours
    stores = sum(pool.sessions == "shared" for pool in design.pool.values()) * hours
    total = instances * INSTANCE_HOUR + balancers * BALANCER_HOUR + stores * STORE_HOUR
    return Cost(round(instances, 1), round(balancers, 1), round(total, 1))


def judge(design: Design, tape: Tape, busiest: Mapping[str, float] | None = None) -> list[Judged]:
    """A verdict on each requirement, in the order of the chapter's list; `tape` is one run of the whole hour.

    `busiest` is what an exact simulation of the peak knows of evenness: see `Exact`.
    """
    routing = _routing(design)
    judged = [rule(design, tape) for rule in _RULES]
    judged = [_seen_exactly(one, design, busiest or {}) if one.id == "even" else one for one in judged]
    if routing.verdict == "failed":
        judged = [_unreached(one) if one.id in ("capacity", "availability") else one for one in judged]
    return [judged[0], routing, *judged[1:]]


def worst(runs: list[list[Judged]]) -> list[Judged]:
    """Over several seeds: each requirement as it was where it held least."""
    return [max(same, key=_badness) for same in zip(*runs, strict=True)]


def _badness(one: Judged) -> tuple[int, float]:
    order = {"passed": 0, "unknown": 1, "failed": 2}
    return order[one.verdict], -(one.first_broken_at if one.first_broken_at is not None else 1e9)


def _unreached(one: Judged) -> Judged:
    if one.verdict == "failed":
        return one
    return Judged(one.id, one.says, "unknown", f"{one.measured}, if every request found its service, which it does not")


# one function a requirement


def _capacity(design: Design, tape: Tape) -> Judged:
    offered, shed = tape.series("offered"), _added_up(tape, "shed", "shed_by_balancer")
    since, until = PEAK_HOURS
    turned, came = sum(shed[since:until]), sum(offered[since:until])
    by_balancers = tape.total("shed_by_balancer", between=PEAK_HOURS)
    served = sum(tape.series("served")[since:until])
    failed = _added_up(tape, "failed_before", "failed_after")
    broken = _first(
        second
        for second, came_then in enumerate(offered)
        if shed[second] > SHED_AT_MOST * came_then
        or (since <= second < until and shed[second] + failed[second] > (1 - SERVED_AT_LEAST) * came_then)
    )
    measured = (
        f"{_count(served)} of {_count(came)} served at the peak, "
        f"{_count(turned)} turned away ({_percent(turned / came)}), {_count(by_balancers)} of them by the balancers"
        f"{_shortest(design, tape)}"
    )
    held = turned <= SHED_AT_MOST * came and served >= SERVED_AT_LEAST * came
    return _verdict("capacity", "handles 1 000 000 requests a second", held, measured, broken)


def _shortest(design: Design, tape: Tape) -> str:
    """Which service, and whether the balancers, had least of what the peak took; nothing when all had enough."""
    since, until = PEAK_HOURS
    short = []
    for name in SERVICES:
        needed = PEAK * MIX[name] / INSTANCE
        least = min(tape.series("up", name)[since:until])
        short += [(least / needed, f"; {name} had {least:g} instances up where {needed:g} are busy all the time")]
    left = (design.balancers.count - 1) * design.balancers.capacity
    short += [(left / PEAK, f"; without the dead one, the balancers can take {_count(left)} a second")]
    return "".join(text for share, text in short if share < 1)


def _routing(design: Design) -> Judged:
    wrong = list(_wrong_ways(design))
    measured = "; ".join(wrong[:4]) if wrong else "every path went where it should, and unknown ones nowhere"
    return _verdict("routing", "each path reaches its service", not wrong, measured, 0)


def _wrong_ways(design: Design) -> Iterator[str]:
    """Paths that go elsewhere than the chapter wants, told in words; asked of the real router."""
    router = Router(design.route)
    wanted: dict[str, str] = {}
    for name in SERVICES:
        wanted |= {f"/api/{name}": name, f"/api/{name}/123": name, f"/api/{name}/123?full=1": name}
    wanted |= dict.fromkeys(("/", "/admin", "/api", *(f"/api/{name}x" for name in SERVICES)), "")
    for path, pool in wanted.items():
        request = Request(id=1, at=0.0, client="192.0.2.1", method="GET", host="shop.example", path=path, headers={})
        rule = router.match(request)
        found = "" if rule is None else rule.pool_for(request)
        if found != pool:
            yield f"{path} goes to {found or 'nobody'}" + (f", not to {pool}" if pool else "")


def _even(_design: Design, tape: Tape) -> Judged:
    most, where, broken = 1.0, "", None
    for name in tape.fleets:
        for second in range(PEAK_HOURS[0], min(PEAK_HOURS[1], tape.seconds), 10):
            rates = [rate for rate in tape.picked_of(name, (second, second + 1)) if rate]
            if len(rates) < 2:
                continue
            ratio = max(rates) * len(rates) / sum(rates)
            if ratio > UNEVEN_AT_MOST:
                broken = second if broken is None else min(broken, second)
            if ratio > most:
                most, where = ratio, f" ({name}, second {second})"
    measured = f"the busiest instance had {most:.2f} times its service's mean{where}"
    return _verdict("even", _EVEN_SAYS, broken is None, measured, broken)


_EVEN_SAYS = "traffic is even over the instances of a service"
_HASHES = {"ip_hash", "consistent_hash"}


def _seen_exactly(one: Judged, design: Design, busiest: Mapping[str, float]) -> Judged:
    """The verdict on evenness with what is known beyond means; a hash that was not played is not known."""
    if one.verdict == "failed":
        return one
    unseen = [name for name in SERVICES if design.pool[name].algorithm in _HASHES and name not in busiest]
    if unseen:
        measured = f"means deal a hash out evenly, which no hash does ({', '.join(unseen)}); `--exact` plays it"
        return Judged("even", _EVEN_SAYS, "unknown", measured)
    if not busiest:
        return one
    name, most = max(busiest.items(), key=lambda service: service[1])
    measured = f"{one.measured}; {most:.2f} times ({name}) when each request of two seconds was played"
    return _verdict("even", _EVEN_SAYS, most <= UNEVEN_AT_MOST, measured, PEAK_HOURS[1] - 30)


def _failures(design: Design, tape: Tape) -> Judged:
    offered = tape.total("offered")
    failed = _added_up(tape, "failed_before", "failed_after")
    at_balancers = [
        sum(row) for row in zip(*(tape.at_balancer("failed", b) for b in range(tape.balancers)), strict=True)
    ]
    at_instances = [max(0.0, all_ - theirs) for all_, theirs in zip(failed, at_balancers, strict=True)]
    allowed = LOST_TO_INSTANCES * offered
    used_up = _first(second for second, sofar in enumerate(accumulate(at_instances)) if sofar > allowed)
    dark = [second for second, lost in enumerate(at_balancers) if lost > 0]
    recovery = dark[-1] - dark[0] + 1 if dark else 0
    slow = dark[0] + BALANCER_RECOVERS if recovery > BALANCER_RECOVERS else None
    measured = (
        f"{_count(tape.total('failed_before'))} customers met an error before anybody knew, "
        f"{_count(tape.total('failed_after'))} after; {_count(sum(at_instances))} of them at dead or late instances "
        f"(allowed: {_count(allowed)}); the dead balancer's clients took {recovery} s to be served again; "
        f"{_slowest_check(design)}"
    )
    held = used_up is None and slow is None
    broken = _first(second for second in sorted(one for one in (used_up, slow) if one is not None))
    return _verdict("failures", "failures are handled by themselves", held, measured, broken)


def _slowest_check(design: Design) -> str:
    """How long the slowest of the pools' health checks takes to notice: from the best moment to the worst."""
    checks = {name: pool.health for name, pool in design.pool.items()}
    unchecked = [name for name in SERVICES if checks[name] is None]
    if unchecked:
        return f"no health check ever notices a dead instance of {', '.join(unchecked)}"
    name, check = max(((name, check) for name, check in checks.items() if check), key=lambda one: _noticed(one[1])[1])
    soonest, latest = _noticed(check)
    return f"a health check notices a hung instance after {soonest:g} to {latest:g} s ({name})"


def _noticed(check: HealthCheck) -> tuple[float, float]:
    return (check.fall - 1) * check.interval + check.timeout, check.fall * check.interval + check.timeout


def _carts(_design: Design, tape: Tape) -> Judged:
    lost = tape.series("carts_lost", "orders")
    allowed = CARTS_LOST * CARTS.open
    broken = _first(second for second, sofar in enumerate(accumulate(lost)) if sofar > allowed)
    measured = f"{_count(sum(lost))} times a cart was not there, of {_count(CARTS.open)} open"
    return _verdict("carts", "carts are kept for their 30 minutes", broken is None, measured, broken)


def _websocket(design: Design, tape: Tape) -> Judged:
    if design.listen.idle_timeout <= PING:
        measured = f"`idle_timeout` ({design.listen.idle_timeout}) cuts every one, for clients ping every {PING}"
        return _verdict(
            "websocket", _SOCKETS_SAY, held=False, measured=measured, broken=int(design.listen.idle_timeout)
        )
    sums = [0.0, *accumulate(tape.series("sockets_lost", "users"))]
    minutes = [(sums[end] - sums[max(0, end - 60)], end - 1) for end in range(1, len(sums))]
    most, when = max(minutes, key=lambda minute: minute[0])
    broken = _first(second for cut, second in minutes if cut > SOCKETS_CUT * SOCKETS.open)
    measured = (
        f"{_count(sums[-1])} cut in the hour, at worst {_count(most)} of {_count(SOCKETS.open)} within a minute "
        f"({most / SOCKETS.open:.1%}, up to second {when})"
    )
    return _verdict("websocket", _SOCKETS_SAY, broken is None, measured, broken)


_SOCKETS_SAY = "WebSockets are kept"


def _tls(design: Design, _tape: Tape) -> Judged:
    tls = design.listen.tls
    if tls is None:
        return _verdict("tls", _TLS_SAYS, held=False, measured="the doors speak plain HTTP", broken=0)
    if tls.passthrough:
        return _verdict("tls", _TLS_SAYS, held=False, measured="`passthrough` leaves it to the instances", broken=0)
    return _verdict(
        "tls", _TLS_SAYS, held=True, measured=f"TLS {tls.min_version} or later ends at the doors", broken=None
    )


_TLS_SAYS = "TLS ends at the balancer"


def _latency(_design: Design, tape: Tape) -> Judged:
    means = [
        added / served if served else 0.0
        for added, served in zip(tape.series("added"), tape.series("served"), strict=True)
    ]
    broken = _first(second for second, mean in enumerate(means) if mean >= ADDED_AT_MOST)
    measured = f"{1000 * max(means):.2f} ms on average in the worst second"
    return _verdict("latency", "the balancer adds less than 10 ms", broken is None, measured, broken)


def _availability(_design: Design, tape: Tape) -> Judged:
    unanswered = _added_up(tape, "shed", "shed_by_balancer", "failed_before", "failed_after")
    day = tape.total("offered") + 23 * 3600 * QUIET
    allowed = UNANSWERED * day
    broken = _first(second for second, sofar in enumerate(accumulate(unanswered)) if sofar > allowed)
    share = 1 - sum(unanswered) / day
    measured = (
        f"{share:.4%} of the day, with 23 quiet hours after this one; "
        f"{_count(sum(unanswered))} got no answer in this hour, {_count(allowed)} may"
    )
    return _verdict("availability", "99.99 % available", broken is None, measured, broken)


def _cost(design: Design, tape: Tape) -> Judged:
    cost = cost_of(design, tape)
    measured = (
        f"{cost.total:g} of {cost.budget:g}: {cost.instance_hours:g} instance-hours, {cost.balancer_hours:g} "
        "balancer-hours (100 000 requests a second each, at 2), 10 for each shared store"
    )
    return _verdict("cost", "costs no more than it must", cost.total <= cost.budget, measured, None)


_RULES: tuple[Callable[[Design, Tape], Judged], ...] = (
    _capacity,
    _even,
    _failures,
    _carts,
    _websocket,
    _tls,
    _latency,
    _availability,
    _cost,
)


def _verdict(name: str, says: str, held: bool, measured: str, broken: float | None) -> Judged:
    return Judged(name, says, "passed" if held else "failed", measured, None if held else broken)


def _added_up(tape: Tape, *names: str) -> list[float]:
    return [sum(row) for row in zip(*(tape.series(name) for name in names), strict=True)]


def _first(seconds: Iterable[int]) -> int | None:
    return next(iter(seconds), None)


def _count(number: float) -> str:
    """1 234 567, with thin gaps that a terminal can show."""
    return f"{round(number):,}".replace(",", " ")


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 or not share else "under 0.01%"
