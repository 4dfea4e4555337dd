"""What a new plan changes, in words for the operator: what the balancer says of pools and routes, and the doors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from lbtutor.core import reload
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.workload import Plan


def what_changed(before: Plan, after: Plan, renewed: Collection[str] = ()) -> str:
    """`listener front has another at; pool web: c joins`, or that nothing is different.

    `renewed` are the listeners that stayed the same, but for what is in their files.
    """
    words = [*_doors(before.listeners, after.listeners)]
    words += [f"listener {name} has its certificates from new files" for name in renewed]
    if (before.pools, before.routes) != (after.pools, after.routes):
        words.append(reload.what_changed(before.pools, after.pools, before.routes, after.routes))
    if before.drain != after.drain:
        words.append(f"a stop waits for {after.drain}")
    return "; ".join(words) or "nothing is different"


def _doors(before: Sequence[ListenerConfig], after: Sequence[ListenerConfig]) -> Iterator[str]:
    was, now = {door.name: door for door in before}, {door.name: door for door in after}
    yield from (f"listener {name} is new" for name in now if name not in was)
    yield from (f"listener {name} is gone" for name in was if name not in now)
    for name, door in now.items():
        keys = [key for key in door.__struct_fields__ if name in was and getattr(was[name], key) != getattr(door, key)]
        if keys:
            yield f"listener {name} has another {' and '.join(keys)}"
