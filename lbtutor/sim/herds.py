"""One fleet as a fluid: instances with the same fate so far are one herd, and a second is one step.

What a step does to the requests of a second, in this order:

    who is offered     belief of the balancers, ejections, drains, slow start
    whom they pick     carts first to where they were, the rest as the algorithm would
    who is dead        refuses at once, or keeps the request until the time-out
    who is full        what is beyond capacity and line is answered 503; the line's wait counts against the time-out
    who tries again    as the pool's `retry` says, with its budget; the tries are load like any other

`draw` knows the algorithms, `toil` the lines and the tries. Chance is left out: no bursts, no unlucky hash.
"""

from __future__ import annotations

from collections import defaultdict
from math import exp
from random import Random

from lbtutor.core.health import HealthCheck
from lbtutor.sim.crowd import noticed_after
from lbtutor.sim.draw import Draw
from lbtutor.sim.herd import Herd, Second, over_all
from lbtutor.sim.toil import Toil
from lbtutor.sim.world import Fleet, Stroke

_SMALLEST_START = 0.1
"""What a newcomer is given at first during slow start, as a share of its weight (Envoy)."""


class Herds:
    """A fleet's instances, in herds."""

    def __init__(self, fleet: Fleet, balancers: int, rng: Random) -> None:
        self.fleet = fleet
        self.balancers = balancers
        count = fleet.instances
        self.open = float(fleet.sockets.open) if fleet.sockets else 0.0
        self.away = 0.0
        self.herds = [Herd(tuple(range(count)), 1 / count, self.open / count)]
        self._free = list(range(count, fleet.room))
        self._phase = rng.random()
        self._draw = Draw(fleet, balancers)
        self._toil = Toil(fleet)
        self._extra = 0.0
        self._another = 0.0
        self._late: defaultdict[int, float] = defaultdict(float)
        on = fleet.retry.on if fleet.retry.attempts > 1 else ()
        self._on_refused, self._on_timeout, self._on_503 = "connect" in on, "timeout" in on, "503" in on

    def __repr__(self) -> str:
        return f"<Herds of {self.fleet.name}: {self.herds}>"

    # what befalls them

    def strike(self, now: float, stroke: Stroke, told: Second) -> None:
        """A mishap or the operator's hand; what is lost at once is added to `told`."""
        found = next((herd for herd in self.herds if stroke.machine in herd.members), None)
        if found is None or (stroke.kind == "heal" and found.state == "up" and found.factor == 1.0):
            return
        herd = self._apart(found, (stroke.machine,))
        if stroke.kind in ("crash", "hang", "stop"):
            self._fall(now, herd, stroke.kind, told)
        elif stroke.kind == "slow":
            herd.factor = stroke.amount
        elif stroke.kind == "drain":
            herd.leaving = True
        else:
            self._rise(now, herd, at_once=stroke.kind == "start")

    def add(self, now: float, count: int) -> None:
        """So many more instances serve from now on."""
        members, self._free = tuple(self._free[:count]), self._free[count:]
        if members:
            self.herds.append(Herd(members, 0.0, 0.0, now))

    def remove(self, now: float, count: int, drain: float) -> None:
        """The youngest instances leave, when they have been drained for so long."""
        staying = [herd for herd in self.herds if not herd.leaving]
        chosen = set(sorted((member for herd in staying for member in herd.members), reverse=True)[:count])
        for herd in staying:
            leaving = tuple(member for member in herd.members if member in chosen)
            if leaving:
                gone = self._apart(herd, leaving)
                gone.leaving, gone.leaves_at = True, now + drain

    def replace_dead(self, at: float) -> None:
        """Whoever is dead and believed so by every balancer has a fresh machine in its place from that time on."""
        for herd in self.herds:
            if herd.state in ("crashed", "hung") and not herd.belief and herd.back_at is None:
                herd.back_at = at

    def cut_sockets(self, share: float, told: Second) -> None:
        """That share of all WebSockets is lost, with the balancer that they went through."""
        for herd in self.herds:
            self._lose_sockets(herd, share, told)

    def _apart(self, herd: Herd, members: tuple[int, ...]) -> Herd:
        if len(members) == len(herd.members):
            return herd
        other = herd.without(members)
        self.herds.append(other)
        return other

    def _fall(self, now: float, herd: Herd, kind: str, told: Second) -> None:
        count = len(herd.members)
        told.failed_before += herd.rate * count * self.fleet.work
        if kind != "hang":
            self._lose_sockets(herd, 1.0, told)
        if kind == "stop":
            herd.state, herd.belief, herd.ramp = "away", 0.0, None
        else:
            herd.state = "crashed" if kind == "crash" else "hung"
            herd.hung_since, herd.failures = now, 0.0
            self._notice(now, herd, 0.0)
        if kind != "hang":
            self._lose_carts(herd, told)

    def _rise(self, now: float, herd: Herd, *, at_once: bool) -> None:
        """A fresh machine: fast, and with nothing of what it knew."""
        if herd.state != "up":
            herd.born = now
        herd.state, herd.factor, herd.leaving = "up", 1.0, False
        herd.leaves_at = herd.back_at = None
        if at_once:
            herd.belief, herd.ramp = 1.0, None
        else:
            self._notice(now, herd, 1.0)

    def _notice(self, now: float, herd: Herd, becomes: float) -> None:
        """The balancers' probes come at phases of their own: their mean belief goes along a straight line."""
        check: HealthCheck | None = self.fleet.health
        if check is None or herd.belief == becomes:
            herd.ramp = None
            return
        begins: float = now + noticed_after(check, bool(becomes), 0.0, silent=herd.state == "hung")
        lasts: float = check.interval
        if self.balancers == 1:
            begins, lasts = begins + self._phase * check.interval, 1e-9
        herd.ramp = (begins, begins + lasts, becomes)

    def _lose_carts(self, herd: Herd, told: Second) -> None:
        fleet = self.fleet
        if fleet.carts is not None and not fleet.store and fleet.sticky is not None:
            told.carts_lost += herd.carts * len(herd.members) * fleet.carts.open

    def _lose_sockets(self, herd: Herd, share: float, told: Second) -> None:
        lost = herd.sockets * share
        herd.sockets -= lost
        self.away += lost * len(herd.members)
        told.sockets_lost += lost * len(herd.members)

    # one second

    def step(self, now: float, requests: float, told: Second) -> Second:
        """What becomes of `requests` that reach the balancers in the second from `now` on."""
        self._believe(now, told)
        told.released = self._late.pop(int(now), 0.0)
        believed = any(herd.belief > 0 for herd in self.herds if herd.state == "hung")
        told.failed_before += told.released * believed
        told.failed_after += told.released * (not believed)
        pulls = [self._pull(now, herd) for herd in self.herds]
        if not sum(pulls) and self.fleet.all_down == "fail_open":
            pulls = [0.0 if herd.leaving or herd.state == "away" else 1.0 for herd in self.herds]
        if sum(pulls):
            self._serve(now, requests, pulls, told)
        else:
            told.shed += requests
        self._move_sockets(pulls, told)
        return told

    def _believe(self, now: float, told: Second) -> None:
        for herd in self.herds:
            if herd.ramp is not None and now >= herd.ramp[0]:
                begins, ends, becomes = herd.ramp
                done = min(1.0, (now + 1 - begins) / max(1.0, ends - begins))
                herd.belief = done if becomes else min(herd.belief, 1 - done)
                if done >= 1:
                    herd.belief, herd.ramp = becomes, None
            if herd.back_at is not None and now >= herd.back_at:
                self._rise(now, herd, at_once=True)
            if herd.leaves_at is not None and now >= herd.leaves_at and herd.state != "away":
                self._fall(now, herd, "stop", told)
        for herd in [herd for herd in self.herds if herd.leaves_at is not None and herd.state == "away"]:
            self._free = sorted([*self._free, *herd.members])
            self.herds.remove(herd)

    def _pull(self, now: float, herd: Herd) -> float:
        """How much one instance of the herd is offered, where 1 is all that anybody is."""
        if herd.leaving or herd.state == "away" or now < herd.ejected_until:
            return 0.0
        pull = herd.belief
        if self.fleet.slow_start is not None and now - herd.born < self.fleet.slow_start:
            pull *= max(_SMALLEST_START, (now - herd.born) / self.fleet.slow_start)
        return pull

    def _serve(self, now: float, requests: float, pulls: list[float], told: Second) -> None:
        """Three more rounds settle how many tries there are, for tries make load, and load makes tries.

        They begin with the tries of the second before: a storm of retries feeds itself, though what began it is over.
        """
        kept, loose = self._carts(requests, pulls, told)
        extra = self._extra
        dead, lost, rates = self._spread(loose, kept, pulls, extra)
        shed, late, served, work, wait, busy = self._toil.work_off(self.herds, rates)
        for _ in range(3):
            wanted = (dead if self._on_refused else 0.0) + (shed if self._on_503 else 0.0)
            wanted += (late + lost) if self._on_timeout else 0.0
            if not wanted and not extra:
                break
            again = ((dead + lost) * self._another + shed + late) / (requests + extra)
            extra = self._toil.tries(requests, wanted, again)
            dead, lost, rates = self._spread(loose, kept, pulls, extra)
            shed, late, served, work, wait, busy = self._toil.work_off(self.herds, rates)
        self._extra = extra
        failed = dead + shed + late + lost
        served = min(served, requests)
        share = (requests - served) / failed if failed else 0.0
        told.retried += extra
        told.served_late += min(max(0.0, failed - requests + served), served)
        told.shed += shed * share
        told.failed_before += (dead + late) * share
        self._late[int(now + self.fleet.timeout) + 1] += lost * share
        told.hung += lost * share
        told.served += served
        told.work, told.wait, told.busy = work, wait, busy
        for herd, rate in zip(self.herds, rates, strict=True):
            herd.rate = rate
            herd.failures += herd.tries
        self._eject(now, told)

    def _carts(self, requests: float, pulls: list[float], told: Second) -> tuple[list[float], float]:
        """Requests of carts that go where they were, for one instance of each herd; and all that are balanced anew."""
        fleet, carts = self.fleet, self.fleet.carts
        if carts is None:
            return [0.0] * len(pulls), requests
        ours = requests * carts.share
        if fleet.sticky is None:
            if not fleet.store:
                told.carts_lost += ours * (1 - 1 / max(1, sum(len(herd.members) for herd in self.herds)))
            return [0.0] * len(pulls), requests
        kept = [ours * herd.carts * min(1.0, pull) for herd, pull in zip(self.herds, pulls, strict=True)]
        seen = 1 - exp(-ours / carts.open)
        total = over_all(self.herds, pulls) or 1.0
        moved = 0.0
        for herd, pull in zip(self.herds, pulls, strict=True):
            gone = herd.carts * ((1 - min(1.0, pull)) * seen if pull < 1 else 0.0)
            herd.carts -= gone
            moved += gone * len(herd.members)
            if not fleet.store and herd.state == "up":
                told.carts_lost += gone * len(herd.members) * carts.open
        for herd, pull in zip(self.herds, pulls, strict=True):
            herd.carts += moved * pull / total + (pull / total - herd.carts) / carts.lasts
        return kept, requests - over_all(self.herds, kept)

    def _spread(
        self, loose: float, kept: list[float], pulls: list[float], extra: float
    ) -> tuple[float, float, list[float]]:
        """Attempts refused, attempts swallowed by hung machines, and requests for one instance of each live herd.

        Each of the `extra` tries goes to another instance than the one before.
        """
        fleet, herds = self.fleet, self.herds
        total = over_all(herds, pulls)
        dead = lost = 0.0
        drawable = 1.0
        weights = [0.0] * len(herds)
        bad = sum(len(herd.members) for herd, pull in zip(herds, pulls, strict=True) if pull and herd.state != "up")
        self._another = (bad - 1) / bad if bad else 0.0
        for number, (herd, pull) in enumerate(zip(herds, pulls, strict=True)):
            count = len(herd.members)
            herd.tries = 0.0
            if herd.state == "up":
                weights[number] = pull / herd.factor if self._draw.looks else pull
                continue
            if not pull:
                continue
            tries = (loose + extra * self._another) * min(drawable, self._draw.dead(herds, herd, pull, total))
            drawable = max(0.0, drawable - self._draw.dead(herds, herd, pull, total))
            tries += kept[number] * count
            if herd.state == "hung":
                if self._draw.looks:
                    tries = min(tries, count * self.balancers * (1 + self._draw.each_has(herds)) / fleet.timeout)
                lost += tries
            else:
                tries = min(tries, self._patience(herd))
                dead += tries
            herd.tries = tries
        weights = self._draw.lean(herds, loose, weights)
        alive = over_all(herds, weights)
        brought = sum(rate * len(herd.members) for rate, herd in zip(kept, herds, strict=True) if herd.state != "up")
        flowing = max(0.0, loose + extra + brought - dead - lost)
        if not alive:
            return dead + flowing, lost, [0.0] * len(herds)
        return dead, lost, self._draw.fill(herds, flowing, kept, weights)

    # passive checks

    def _patience(self, herd: Herd) -> float:
        """How many more attempts fail until every balancer has ejected the herd."""
        passive = self.fleet.passive
        if passive is None or not self._may_eject(herd):
            return float("inf")
        return max(0.0, passive.fails * self.balancers * len(herd.members) - herd.failures)

    def _may_eject(self, herd: Herd) -> bool:
        passive = self.fleet.passive
        if passive is None:
            return False
        members = sum(len(each.members) for each in self.herds)
        out = sum(len(each.members) for each in self.herds if each.ejected_until > 0 and each is not herd)
        return members > 1 and (out + len(herd.members)) / members <= max(passive.max_ejected, 1 / members)

    def _eject(self, now: float, told: Second) -> None:
        passive = self.fleet.passive
        if passive is None:
            return
        for herd in self.herds:
            if herd.state == "up":
                if now >= herd.ejected_until:
                    herd.ejected_until, herd.failures = 0.0, 0.0
                continue
            needed = passive.fails * self.balancers * len(herd.members)
            told_by = self.fleet.timeout if herd.state == "hung" else 0.0
            if herd.failures >= needed * 0.999 and now >= herd.hung_since + told_by and self._may_eject(herd):
                herd.times = min(10, herd.times + 1)
                herd.ejected_until = now + passive.eject * herd.times
                herd.failures, herd.hung_since = 0.0, herd.ejected_until
                told.ejected += len(herd.members) * self.balancers

    # WebSockets

    def _move_sockets(self, pulls: list[float], told: Second) -> None:
        """Some end and as many are opened, and those that were cut come back to whoever is offered."""
        sockets = self.fleet.sockets
        if sockets is None:
            return
        ended = 0.0
        for herd in self.herds:
            gone = herd.sockets / sockets.lasts
            herd.sockets -= gone
            ended += gone * len(herd.members)
        takers = [pull if herd.state == "up" else 0.0 for herd, pull in zip(self.herds, pulls, strict=True)]
        total = over_all(self.herds, takers)
        if not total:
            self.away += ended
            return
        back = min(self.away, self.away / sockets.reconnect)
        self.away -= back
        takers = self._draw.lean(self.herds, (ended + back) / self.fleet.work, takers)
        total = over_all(self.herds, takers)
        for herd, pull in zip(self.herds, takers, strict=True):
            herd.sockets += (ended + back) * pull / total
        told.sockets_opened += ended + back

    # what is seen

    def tidy(self) -> None:
        """Herds that cannot be told apart any longer become one, so that there are never many."""
        groups: dict[tuple[object, ...], list[Herd]] = {}
        for herd in self.herds:
            settled = herd.state == "up" and herd.ramp is None and herd.factor == 1.0 and herd.ejected_until == 0
            if settled and not herd.leaving and herd.belief == 1.0:
                slow = self.fleet.slow_start is not None and herd.born
                groups.setdefault((round(herd.carts * 2000), slow), []).append(herd)
        for group in groups.values():
            first, *others = group
            for other in others:
                ours, theirs = len(first.members), len(other.members)
                for name in ("carts", "sockets", "rate"):
                    middle = (getattr(first, name) * ours + getattr(other, name) * theirs) / (ours + theirs)
                    setattr(first, name, middle)
                first.members += other.members
                self.herds.remove(other)

    def gauges(self, now: float) -> dict[str, float]:
        """Instances there are, up, offered (summed over the balancers), their slots, and open WebSockets."""
        up = sum(len(herd.members) for herd in self.herds if herd.state == "up")
        return {
            "instances": sum(len(herd.members) for herd in self.herds),
            "up": up,
            "offered_to": sum(self._pull(now, herd) * len(herd.members) for herd in self.herds) * self.balancers,
            "slots": up * self.fleet.slots,
            "sockets": sum(herd.sockets * len(herd.members) for herd in self.herds),
        }

    @property
    def running(self) -> int:
        """Instances that serve and are not about to leave."""
        return sum(len(herd.members) for herd in self.herds if herd.state == "up" and not herd.leaving)

    @property
    def staying(self) -> int:
        """Instances that there are and that do not drain, whatever their state."""
        return sum(len(herd.members) for herd in self.herds if not herd.leaving)
