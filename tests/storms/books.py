"""Three books about the same requests: what clients were told, what origins carried out, and what the trace says.

Each entry is a few numbers in columns that are as long as the storm from the start, so that the books of a long storm
take no more memory at its end than at its beginning. `Rules` judges the trace alone as it comes: it keeps its own idea
of who may be offered and of what the retry budget holds, and objects when the balancer says otherwise.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence

from lbtutor.core import events
from lbtutor.core.events import Event
from lbtutor.core.retry import IDEMPOTENT, NOBODY_ELSE, Retry
from tests.storms.crowd import BROKEN, LEFT, Ask, Told

_CUT = "broke off in mid-answer"
_NOT_SENT = ("connection refused", "no connection in time")

_MOST_OBJECTIONS = 20


class Member:
    """What the trace says of one backend."""

    def __init__(self, weight: float, up: bool) -> None:
        self.weight = weight
        self.against = set() if up else {"probes"}
        self.in_flight = 0


class Rules:
    """Who may be picked, and which failure may not be saved, by the trace and the configuration alone."""

    def __init__(self, retry: Retry, limit: int) -> None:
        self._retry = retry
        self._limit = limit
        self._members: dict[str, Member] = {}
        self._under_way: dict[int, tuple[str, list[str], Member | None]] = {}
        self._backed_off: set[int] = set()
        self._budget = 3.0
        self.objections: list[str] = []

    def take(self, event: Event) -> None:
        """Fold one event."""
        match event:
            case events.Arrived():
                self._budget = min(self._budget + (self._retry.budget or 0), 100)
                self._under_way[event.request] = (event.method, [], None)
            case events.Picked():
                self._picked(event)
            case events.Finished():
                self._finished(event)
            case events.BackedOff():
                self._backed_off.add(event.request)
                self._spend(event)
            case events.Rejected() | events.Answered():
                self._rejected(event)
            case events.Joined():
                self._members[event.backend] = Member(event.weight, event.health == "up")
            case events.Left():
                del self._members[event.backend]
            case events.WeightChanged():
                self._members[event.backend].weight = event.now
            case events.HealthChanged():
                self._weigh(event.backend, "probes", against=event.now != "up")
            case events.Ejected() | events.Readmitted():
                self._weigh(event.backend, "answers", against=isinstance(event, events.Ejected))
            case events.Draining() | events.Disabled():
                self._weigh(event.backend, type(event).__name__, against=True)
            case events.Enabled():
                self._members[event.backend].against -= {"Draining", "Disabled"}
            case events.Missed():
                self.objections.append(f"{event.count} events were missed, so nothing is known")

    def _weigh(self, backend: str, voice: str, *, against: bool) -> None:
        (self._members[backend].against.add if against else self._members[backend].against.discard)(voice)

    def _offered(self) -> set[str]:
        """Who may be given a request now."""
        return {name for name in self._standing() if self._members[name].in_flight < self._limit}

    def _standing(self) -> set[str]:
        return {name for name, member in self._members.items() if member.weight > 0 and not member.against}

    def _object(self, event: Event, because: str) -> None:
        if len(self.objections) < _MOST_OBJECTIONS:
            self.objections.append(f"{because}: {event}, offered {self._offered()}, budget {self._budget:.2f}")

    def _picked(self, event: events.Picked) -> None:
        method, tried, _ = self._under_way[event.request]
        if event.backend not in self._offered():
            self._object(event, "who was picked was not to be offered")
        if event.backend in tried and not self._members[event.backend].in_flight < self._limit:
            self._object(event, "picked a second time")
        if event.attempt > 1 and event.request not in self._backed_off:
            self._spend(event)
        self._backed_off.discard(event.request)
        member = self._members[event.backend]
        member.in_flight += 1
        self._under_way[event.request] = (method, [*tried, event.backend], member)

    def _spend(self, event: Event) -> None:
        if self._budget < 1 - 1e-6:
            self._object(event, "a retry that the budget did not hold")
        self._budget -= 1

    def _finished(self, event: events.Finished) -> None:
        method, tried, member = self._under_way[event.request]
        if member is not None:
            member.in_flight -= 1
        if event.final:
            del self._under_way[event.request]
            if not event.ok and event.status != 499 and event.outcome != _CUT:
                self._judge_loss(event, method, set(tried))
        elif method not in IDEMPOTENT and event.outcome not in _NOT_SENT:
            self._object(event, f"{method} is tried again though it may have been carried out")

    def _judge_loss(self, event: events.Finished, method: str, tried: set[str]) -> None:
        """A failure that the client saw: the rules must say why."""
        excuses: dict[str, bool] = {
            f"{event.attempt} of {self._retry.attempts} tries made": event.attempt == self._retry.attempts,
            f"{method} is not idempotent": method not in IDEMPOTENT,
            "its body cannot be sent again": method in ("PUT", "DELETE"),
            NOBODY_ELSE: not self._offered() - tried,
            "the retry budget is spent": self._budget < 1,
        }
        because = event.because.removeprefix("cut off by the end of its drain").removeprefix("; ")
        if not excuses.get(because, False):
            self._object(event, "lost, though it could have been saved")

    def _rejected(self, event: events.Rejected | events.Answered) -> None:
        del self._under_way[event.request]
        self._backed_off.discard(event.request)
        excuses: dict[str, bool] = {
            "no backend is available": not self._standing(),
            NOBODY_ELSE: True,  # it had its time to wait, and tried somebody before
        }
        if event.status != 499 and not event.because.startswith("waited") and not excuses.get(event.because, False):
            self._object(event, "turned away, though somebody could take it")


class Books:
    """What is known of each request, by its client's number, once in each book."""

    def __init__(self, size: int, ask: Callable[[int], Ask], rules: Rules) -> None:
        self.size = size
        self.rules = rules
        self.arrived = 0
        self.attempts = 0
        self.saved = 0
        self.told = array("h", bytes(2 * size))
        self.ended = array("h", bytes(2 * size))
        self.ends = bytearray(size)
        self.executed = bytearray(size)
        self.executed_at = bytearray(size)
        self.sent_to = bytearray(size)
        self.answered_by = bytearray(size)
        self.tries = bytearray(size)
        self.objections: list[str] = []
        self._ask = ask
        self._numbers = array("l", bytes(8 * (size + 1)))

    # -- entries --------------------------------------------------------------------------------------------------

    def client_was_told(self, ask: Ask, told: Told) -> None:
        """A client's entry."""
        if self.told[ask.number]:
            self._object(f"the client of {ask} was told twice")
        self.told[ask.number] = told.status
        if told.status == 200 and told.body != b"%d" % ask.number:
            self._object(f"the client of {ask} was told something else: {told}")
        if told.name and self._numbers[told.name] not in (0, ask.number):
            self._object(f"the client of {ask} was told the name of {self._numbers[told.name]}")

    def origin_carried_out(self, index: int, number: int, name: int) -> None:
        """An origin's entry."""
        self.executed[number] += 1
        self.executed_at[number] |= 1 << index
        if self._numbers[name] not in (0, number):
            self._object(f"origin {index} was sent {number} under the name of {self._numbers[name]}")

    def take(self, event: Event) -> None:
        """The trace's entries."""
        self.rules.take(event)
        match event:
            case events.Arrived():
                self.arrived += 1
                self._numbers[event.request] = int(event.path.rpartition("/")[2])
            case events.Picked():
                number = self._numbers[event.request]
                self.attempts += 1
                self.tries[number] += 1
                self.sent_to[number] |= _bit(event.backend)
            case events.Finished():
                number = self._numbers[event.request]
                if event.outcome.startswith("answered"):
                    self.answered_by[number] |= _bit(event.backend)
                if event.final:
                    self.saved += event.ok and event.attempt > 1
                    self._end(number, BROKEN if event.outcome == _CUT else event.status)
            case events.Rejected() | events.Answered():
                self._end(self._numbers[event.request], event.status)

    def _end(self, number: int, status: int) -> None:
        self.ends[number] += 1
        self.ended[number] = status

    def _object(self, objection: str) -> None:
        if len(self.objections) < _MOST_OBJECTIONS:
            self.objections.append(objection)

    # -- comparison -----------------------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """All that was asked has come to an end in the trace."""
        return sum(self.ends) >= self.size

    def disagreements(self) -> list[str]:
        """Where the three books contradict one another, or the rules."""
        found = [*self.rules.objections, *self.objections]
        for number in range(self.size):
            for rule, says in _AGREEMENTS:
                if not rule(self, number, self._ask(number)):
                    found.append(f"{says}: {self.entry(number)}")
        return found

    def entry(self, number: int) -> str:
        """All that is known of one request."""
        return (
            f"{self._ask(number)!r} told={self.told[number]} ended={self.ended[number]} ends={self.ends[number]} "
            f"executed={self.executed[number]} at={self.executed_at[number]:b} sent_to={self.sent_to[number]:b} "
            f"answered_by={self.answered_by[number]:b}"
        )

    def figures(self) -> str:
        """The sums, for people."""
        told, ended = Counter(self.told), Counter(self.ended)
        return (
            f"{self.size} asked, {self.arrived} arrived, {self.attempts} attempts, {sum(self.executed)} carried out, "
            f"{self.saved} saved by another try\n  told:  {_counts(told)}\n  ended: {_counts(ended)}"
        )


def _bit(backend: str) -> int:
    return 1 << "abcdefgh".index(backend)


_NAMES = {BROKEN: "cut in mid-answer", LEFT: "left first", 1: "nothing", 0: "unknown", 499: "499 (left first)"}


def _counts(counter: Counter[int]) -> str:
    return ", ".join(f"{_NAMES.get(what, what)} {times}" for what, times in sorted(counter.items()))


Agreement = tuple[Callable[[Books, int, Ask], bool], str]

_AGREEMENTS: Sequence[Agreement] = (
    (lambda books, n, ask: books.ends[n] == 1, "it did not end exactly once"),
    (
        lambda books, n, ask: books.told[n] == LEFT if books.ended[n] == 499 else True,
        "by the trace the client left first, which it did not",
    ),
    (
        lambda books, n, ask: books.told[n] in (books.ended[n], LEFT),
        "the client was told something else than the trace says",
    ),
    (
        lambda books, n, ask: books.executed[n] <= 1 or ask.method in IDEMPOTENT,
        "carried out twice, which it must not be",
    ),
    (lambda books, n, ask: not books.executed_at[n] & ~books.sent_to[n], "carried out where it was not sent"),
    (lambda books, n, ask: not books.answered_by[n] & ~books.executed_at[n], "answered without being carried out"),
    (
        lambda books, n, ask: books.executed[n] <= books.tries[n] * (1 if ask.body else 2),
        "carried out more often than it was tried",
    ),
)
"""What must hold of each request. One without a body may be sent twice in one try, when the connection was stale."""
