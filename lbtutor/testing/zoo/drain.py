"""Drain: right ones in different styles, and wrong ones as people write them."""


class Derived:
    """Right: two facts, and the state follows from them."""

    def __init__(self, deadline):
        self.deadline = deadline
        self.open = 0
        self.since = None

    def started(self):
        self.open += 1

    def finished(self):
        self.open = max(0, self.open - 1)

    def drain(self, now):
        if self.since is None:
            self.since = now

    def cancel(self, now):
        self.since = None

    def state(self, now):
        if self.since is None:
            return "active"
        return "draining" if self.open and not self.time_is_up(now) else "drained"

    def time_is_up(self, now):
        return now - self.since >= self.deadline

    def accepts(self, now):
        return self.since is None


class Machine:
    """Right: a state that is kept and moved along; drained stays drained."""

    ACTIVE, DRAINING, DRAINED = "ACTIVE", "DRAINING", "DRAINED"

    def __init__(self, drain_timeout):
        self.drain_timeout = drain_timeout
        self.current = self.ACTIVE
        self.in_flight = set()
        self.next_id = 0
        self.expires = float("inf")

    def _move(self, now):
        if self.current == self.DRAINING and (not self.in_flight or now >= self.expires):
            self.current = self.DRAINED

    def start(self, now):
        self.next_id += 1
        self.in_flight.add(self.next_id)

    def finish(self, now):
        if self.in_flight:
            self.in_flight.pop()
        self._move(now)

    def drain(self, now):
        if self.current != self.DRAINED:
            self.current = self.DRAINING
            self.expires = now + self.drain_timeout
        self._move(now)

    def undrain(self, now):
        self.current = self.ACTIVE
        self.expires = float("inf")

    def status(self, now):
        self._move(now)
        return self.current


class Minimal:
    """Right: no way back, and no questions about new requests."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.until = None
        self.n = 0

    def acquire(self):
        self.n += 1

    def release(self):
        if self.n > 0:
            self.n -= 1

    def begin_drain(self, now):
        self.until = now + self.seconds

    def state(self, now):
        if self.until is None:
            return "active"
        if self.n == 0 or now >= self.until:
            return "drained"
        return "draining"


class RaisesBelowZero(Derived):
    """Wrong: an end that is told twice raises, in the middle of serving."""

    def finished(self):
        assert self.open > 0
        self.open -= 1


class BelowZero(Derived):
    """Wrong: an end that is told twice makes the count negative, and one open request looks like none."""

    def finished(self):
        self.open -= 1


class CancelForgetsRequests(Derived):
    """Wrong: when the drain is taken back the count starts from zero, though requests still run."""

    def cancel(self, now):
        super().cancel(now)
        self.open = 0


class OnlyCountsBefore(Derived):
    """Wrong: a request that was under way to it when the drain began is not counted."""

    def started(self):
        if self.since is None:
            self.open += 1


class FirstDeadlineStays(Derived):
    """Wrong: the second drain has the deadline of the first, which was taken back."""

    def __init__(self, deadline):
        super().__init__(deadline)
        self.began = None

    def drain(self, now):
        super().drain(now)
        self.began = now if self.began is None else self.began

    def time_is_up(self, now):
        return now - self.began >= self.deadline


class CancelDoesNothing(Derived):
    """Wrong: once it drains, nobody can take that back."""

    def cancel(self, now):
        pass

    def accepts(self, now):
        return True


class StaysDraining(Derived):
    """Wrong: the drain that is taken back leaves it half: it accepts again, and calls itself draining."""

    def __init__(self, deadline):
        super().__init__(deadline)
        self.ever = False

    def drain(self, now):
        super().drain(now)
        self.ever = True

    def state(self, now):
        return "draining" if self.since is None and self.ever else super().state(now)


class IdleNeverDrains(Derived):
    """Wrong: only the end of a request looks whether it was the last, so an idle server never gets done."""

    def __init__(self, deadline):
        super().__init__(deadline)
        self.done = False

    def finished(self):
        super().finished()
        self.done = self.open == 0

    def drain(self, now):
        super().drain(now)
        self.done = False

    def state(self, now):
        if self.since is None or self.done or self.time_is_up(now):
            return super().state(now)
        return "draining"


class OnlyTheClock(Derived):
    """Wrong: it waits for the deadline even when nothing is open."""

    def state(self, now):
        if self.since is None:
            return "active"
        return "drained" if self.time_is_up(now) else "draining"


class NoDeadline(Derived):
    """Wrong: one request that never ends keeps it for ever."""

    def time_is_up(self, now):
        return False


class EachEndProlongs(Derived):
    """Wrong: whatever happens on it begins the time anew."""

    def __init__(self, deadline):
        super().__init__(deadline)
        self.touched = False

    def started(self):
        super().started()
        self.touched = True

    def time_is_up(self, now):
        if self.touched:
            self.since, self.touched = max(self.since, now), False
        return super().time_is_up(now)


class AcceptsWhileOpen(Derived):
    """Wrong: it goes on accepting as long as it is not drained."""

    def accepts(self, now):
        return self.state(now) != "drained"
