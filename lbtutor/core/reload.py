"""Reload: how a pool that is at work takes on a new configuration, and what is told of it.

A new pool is made of the new configuration first, by itself. If that can be made, so can the change, and nothing in
here can fail half-way. Then the old pool takes over what is new, and keeps what goes on:

    what                                    when it is kept                     otherwise
    a member with its counts and its past   same name and address               one leaves, one joins
    its health                              always: a belief outlives a check   believed up
    its ejection                            while there is a passive check      readmitted
    the algorithm with its state            same `algorithm`                    begins anew
    cookie key, stick table                 same `sticky`                       begins anew
    the retry budget                        same `retry`                        begins anew

The configuration is the truth about all that it can say: who is a member, weights, limits, and where routes lead,
whatever the operator's hand has done to these. What it cannot say stays as the hand left it: a drain, maintenance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.core.backend import Backend
from lbtutor.core.messages import BackendConfig
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.routing import Route


class Turnover(Struct, frozen=True):
    """What became of a pool's members; those of other weight come with the one that they had."""

    joined: tuple[Backend, ...]
    left: tuple[Backend, ...]
    readmitted: tuple[Backend, ...]
    reweighed: tuple[tuple[Backend, float], ...]


def take_over(pool: Pool, fresh: Pool, now: float) -> Turnover:
    """Let `pool` be configured as `fresh` is, which nobody has used so far."""
    was = pool.members
    stay = {name: was[name] for name, new in fresh.members.items() if name in was and was[name].address == new.address}
    weights = {name: member.weight for name, member in stay.items()}
    ejected = [member for member in stay.values() if member.ejected_until is not None]
    for name, member in stay.items():
        _go_on(member, fresh.members[name], fresh.config, now)
    for newcomer in fresh.members.values():
        _begin(newcomer, now)
    pool.members = {name: stay.get(name, newcomer) for name, newcomer in fresh.members.items()}
    _take_rules(pool, fresh)
    return Turnover(
        joined=tuple(member for name, member in pool.members.items() if name not in stay),
        left=tuple(member for name, member in was.items() if name not in stay),
        readmitted=tuple(member for member in ejected if member.ejected_until is None),
        reweighed=tuple((stay[name], weight) for name, weight in weights.items() if stay[name].weight != weight),
    )


def _go_on(member: Backend, new: Backend, config: PoolConfig, now: float) -> None:
    """A member stays: what it went through stays with it."""
    member.limit, member.backup = new.limit, new.backup
    if member.full_weight != new.full_weight:
        member.weigh(new.full_weight)
    if member.health is not None and config.health is not None:
        member.health.check_by(config.health, now)
    else:
        member.health = new.health
        if member.health is not None:
            member.health.believed = "up"
    if member.ejection is not None and config.passive is not None:
        member.ejection.judge_by(config.passive)
    else:
        member.ejection = new.ejection


def _begin(newcomer: Backend, now: float) -> None:
    """Who joins a pool that is at work is probed at once, and may have to start slowly."""
    newcomer.known = True
    if newcomer.health is not None:
        newcomer.health.next_probe = now


def _take_rules(pool: Pool, fresh: Pool) -> None:
    """Whatever is configured as before goes on as it is, with all that it remembers."""
    before, after = pool.config, fresh.config
    if before.algorithm != after.algorithm:
        pool.algorithm, pool.compare, pool.observe = fresh.algorithm, fresh.compare, fresh.observe
    if before.sticky != after.sticky:
        pool.affinity = fresh.affinity
    if pool.affinity is not None:
        for name in pool.members:
            pool.affinity.learn(name)
    if before.retry != after.retry:
        pool.retries, pool.budget = fresh.retries, fresh.budget
    pool.key, pool.config = fresh.key, after
    pool.changed()


def what_changed(
    before: Sequence[PoolConfig], after: Sequence[PoolConfig], was: Sequence[Route], routes: Sequence[Route]
) -> str:
    """What is different in the configuration, in words."""
    words = [*_pools(before, after), *_routes(was, routes)]
    return "; ".join(words) or "nothing is different"


def _pools(before: Sequence[PoolConfig], after: Sequence[PoolConfig]) -> Iterator[str]:
    was, now = {pool.name: pool for pool in before}, {pool.name: pool for pool in after}
    yield from (f"pool {name} is new" for name in now if name not in was)
    yield from (f"pool {name} is gone" for name in was if name not in now)
    for name, pool in now.items():
        if name in was and was[name] != pool:
            yield f"pool {name}: {', '.join(_pool(was[name], pool))}"


def _pool(was: PoolConfig, now: PoolConfig) -> Iterator[str]:
    before, after = _by_name(was.backends), _by_name(now.backends)
    yield from (f"{name} joins" for name in after if name not in before)
    yield from (f"{name} leaves" for name in before if name not in after)
    for name, member in after.items():
        if name in before and before[name] != member:
            yield f"{name} has another {_different(before[name], member)}"
    if [name for name in before if name in after] != [name for name in after if name in before]:
        yield "another order"
    if (keys := _different(replace(was, backends=()), replace(now, backends=()))) != "":
        yield f"another {keys}"


def _routes(was: Sequence[Route], routes: Sequence[Route]) -> Iterator[str]:
    yield from (f"route {route.says} to {route.target} is new" for route in routes if route not in was)
    yield from (f"route {route.says} to {route.target} is gone" for route in was if route not in routes)
    if [route for route in was if route in routes] != [route for route in routes if route in was]:
        yield "the routes are in another order"


def _by_name(members: Iterable[BackendConfig]) -> dict[str, BackendConfig]:
    return {member.name: member for member in members}


def _different(was: Struct, now: Struct) -> str:
    """The keys in which two configurations of one kind differ."""
    keys = now.__struct_fields__
    return " and ".join(key for key in keys if getattr(was, key) != getattr(now, key))
