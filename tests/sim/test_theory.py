"""The simulator against queueing theory: formulas of a century, many seeds, stated confidence.

Each number is measured in `SEEDS` independent runs, and theory must lie within the 99.9 % confidence interval of their
mean: for n runs, mean ± t(n - 1) * s / sqrt(n), with Student's t because the deviation s is itself estimated. An
interval so wide that it proves nothing would hold anything, so each test also says how narrow it must be; and that is
chosen against what a machine slower by 5 % does, which none of these tests lets pass:

    M/M/1 at 70 % load      mean response + 19 %, share above the 99th percentile x 2.2
    M/M/4 at 80 % load      mean wait + 51 %, share that takes longer than the work's mean + 11 %
    M/D/1 at 75 % load      mean wait + 33 %
    M/G/1 at 60 % load      mean wait + 22 %
    busy workers            + 5 %
    two choices at 80 %     share of machines with 1, 2, 3 requests or more: + 5 %, + 16 %, + 41 %

Runs begin empty, which costs about 0.1 % of the mean in runs of 40 000 requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import exp, factorial, log, sqrt
from random import Random
from statistics import fmean, stdev

import pytest

from lbtutor.core import Act, Algorithm, Backend, Fault, Plan, Retry, Seconds, Service
from lbtutor.core.algorithms.chance import PowerOfTwo
from lbtutor.core.events import Arrived, Event, FaultKind, Finished, Rejected
from lbtutor.core.messages import Request
from lbtutor.sim import simulate

MakePlan = Callable[..., Plan]
Play = Callable[[Plan], list[Event]]

SEEDS = range(1, 11)
STUDENT = 4.781
"""The 99.95th percentile of Student's t with 9 degrees of freedom: 99.9 % between its two sides, for ten seeds."""

WORK = 0.010
REQUESTS = 40_000


def assert_theory(theory: float, runs: Sequence[float], within: float) -> None:
    """The 99.9 % interval of the mean of `runs` holds `theory`, and is no wider to a side than `within` of it."""
    mean, reach = fmean(runs), STUDENT * stdev(runs) / sqrt(len(runs))
    assert mean - reach <= theory <= mean + reach, f"{mean:.5g} ± {reach:.2g}, where theory says {theory:.5g}"
    assert reach <= within * theory, f"± {reach / theory:.1%} is too wide to tell"


def responses(plan: Plan, algorithms: Mapping[str, Algorithm] | None = None) -> list[float]:
    """Seconds from arrival to answer, of all requests of a run."""
    took: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            took.append(event.took)

    simulate(plan, note, algorithms=algorithms, kinds=frozenset({Finished}))
    return took


@pytest.fixture
def queue(make_plan: MakePlan) -> Callable[..., list[list[float]]]:
    """What one machine's clients see at that load, run by run: `queue(0.7, Service(...), workers=1)`."""

    def play(load: float, service: Service, workers: int = 1) -> list[list[float]]:
        rate = load * workers / service.mean
        stage = {"arrivals": "poisson", "clients": 1, "workers": workers, "service": service, "lasts": REQUESTS / rate}
        return [responses(make_plan("a", rate=rate, drain=100, seed=seed, **stage)) for seed in SEEDS]

    return play


Queue = Callable[..., list[list[float]]]


def share_above(limit: float, values: Sequence[float]) -> float:
    return sum(value > limit for value in values) / len(values)


def erlang_c(servers: int, load: float) -> float:
    """The chance to find all `servers` busy when `load` of them are on the mean (A. K. Erlang, 1917)."""
    busy = load**servers / factorial(servers) * servers / (servers - load)
    return busy / (sum(load**count / factorial(count) for count in range(servers)) + busy)


def pollaczek_khinchine(rate: float, service: Service) -> float:
    """The mean wait for one worker: rate * E[S²] / 2 (1 - load) (F. Pollaczek 1930, A. Khinchine 1932)."""
    return rate * service.second_moment / (2 * (1 - rate * service.mean))


def test_erlang_c_gives_the_textbook_values() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(10, 8.0) == pytest.approx(0.4092, abs=1e-4)


@pytest.mark.slow
def test_one_worker_answers_as_slowly_as_the_m_m_1_queue(queue: Queue) -> None:
    """The response time is exponential as well, with the rate that is left: mean 1 / (μ - λ), and so its quantiles."""
    left = (1 - 0.7) / WORK
    runs = queue(0.7, Service("exponential", WORK))
    assert_theory(1 / left, [fmean(run) for run in runs], within=0.05)
    for share, within in ((0.5, 0.03), (0.1, 0.1), (0.01, 0.4)):
        assert_theory(share, [share_above(-log(share) / left, run) for run in runs], within)


@pytest.mark.slow
def test_four_workers_keep_waiting_as_long_as_the_m_m_c_queue(queue: Queue) -> None:
    """Mean wait C / (cμ - λ). The response T exceeds t with e^-μt (1 + C (1 - e^-μt(c - 1 - a)) / (c - 1 - a))."""
    workers, load = 4, 0.8
    busy = workers * load
    waits = erlang_c(workers, busy)
    runs = queue(load, Service("exponential", WORK), workers)
    assert_theory(waits * WORK / (workers - busy), [fmean(run) - WORK for run in runs], within=0.12)
    for times, within in ((1, 0.03), (3, 0.1), (5, 0.2)):
        more = workers - 1 - busy
        beyond = exp(-times) * (1 + waits * (1 - exp(-times * more)) / more)
        assert_theory(beyond, [share_above(times * WORK, run) for run in runs], within)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "service"),
    [
        (0.75, Service("constant", WORK)),
        (0.6, Service("lognormal", WORK, 1.2)),
        (0.6, Service("bimodal", 0.005, 0.055, 0.1)),
        (0.6, Service("empirical", 0.002, 0.004, 0.008, 0.026)),
    ],
)
def test_one_worker_keeps_waiting_as_long_as_pollaczek_and_khinchine_say(
    queue: Queue, load: float, service: Service
) -> None:
    wait = pollaczek_khinchine(load / service.mean, service)
    runs = queue(load, service)
    assert_theory(wait, [fmean(run) - service.mean for run in runs], within=0.1)


class Watched(PowerOfTwo):
    """Two choices, and at every so many arrivals a look at all machines: how many have so many requests."""

    EVERY = 100

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.arrivals = 0
        self.seen: Counter[int] = Counter()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        self.arrivals += 1
        if request.at > 100 * WORK and self.arrivals % self.EVERY == 0:
            self.seen.update(backend.in_flight for backend in backends)
        return super().pick(request, backends)

    def share_with(self, least: int) -> float:
        """The share of machines that had `least` requests or more."""
        return sum(count for load, count in self.seen.items() if load >= least) / self.seen.total()


@pytest.mark.slow
def test_two_choices_leave_the_tail_that_the_mean_field_predicts(make_plan: MakePlan) -> None:
    """Of very many machines at load ρ, the share with i requests or more is ρ^(2^i - 1), where random has ρ^i.

    (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.) Poisson arrivals see averages over
    time, so a look at each hundredth arrival will do. Of 200 machines it is true but for a share of the order of 1/200.
    """
    machines, load = 200, 0.8
    rate = load * machines / WORK
    runs: list[Watched] = []
    for seed in SEEDS:
        watched = Watched(Random(seed))
        names = "".join(map(chr, range(0x4E00, 0x4E00 + machines)))
        stage = {"arrivals": "poisson", "clients": 1, "workers": 1, "service": Service("exponential", WORK)}
        plan = make_plan(names, rate=rate, lasts=REQUESTS / rate, seed=seed, **stage)
        simulate(plan, None, algorithms={"web": watched})
        runs.append(watched)
    for least, within in ((1, 0.02), (2, 0.06), (3, 0.15)):
        assert_theory(load ** (2**least - 1), [run.share_with(least) for run in runs], within)


class Visitor:
    """What each arrival finds at the first machine: the requests in flight, and the workers that are busy."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.in_flight: list[int] = []
        self.busy: list[int] = []

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        self.in_flight.append(backends[0].in_flight)
        self.busy.append(min(backends[0].in_flight, self.workers))
        return backends[0]


@pytest.mark.slow
def test_as_many_are_in_flight_as_arrive_in_the_time_that_one_takes(make_plan: MakePlan) -> None:
    """Little's law (J. D. C. Little, 1961) for the machine, and for its workers alone, whatever the shape of the work.

    What an arrival finds is the mean over time, because the arrivals are Poisson. The law holds at any rate of service;
    that each request keeps a worker busy for its work, and so rate * work of them are, does not.
    """
    rate, workers, service = 140.0, 2, Service("lognormal", WORK, 1.2)
    in_flight, busy = [], []
    for seed in SEEDS:
        visitor = Visitor(workers)
        stage = {"arrivals": "poisson", "clients": 1, "workers": workers, "service": service, "lasts": REQUESTS / rate}
        plan = make_plan("a", rate=rate, seed=seed, drain=100, **stage)
        took = responses(plan, {"web": visitor})
        in_flight.append(fmean(visitor.in_flight) / fmean(took))
        busy.append(fmean(visitor.busy))
    assert_theory(rate, in_flight, within=0.02)
    assert_theory(rate * WORK, busy, within=0.02)


class Books:
    """How often each request arrived and ended, and in which ways they did."""

    def __init__(self) -> None:
        self.arrived: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()
        self.how: Counter[str] = Counter()

    def take(self, event: Event) -> None:
        match event:
            case Arrived():
                self.arrived[event.request] += 1
            case Rejected():
                self._end(event.request, event.because)
            case Finished(final=True):
                self._end(event.request, event.outcome)

    def _end(self, request: int, how: str) -> None:
        self.ended[request] += 1
        self.how[how] += 1


@pytest.mark.slow
def test_every_arrival_ends_exactly_once_whatever_befalls_the_machines(make_plan: MakePlan) -> None:
    """Conservation, through limits, a queue, retries, timeouts, faults by chance and the end of the scenario."""
    kinds: tuple[FaultKind, ...] = ("crash", "hang", "refuse", "slow", "error", "heal")
    how: Counter[str] = Counter()
    for seed in SEEDS:
        dice = Random(seed)
        plan = make_plan(
            "abc",
            rate=300,
            arrivals="poisson",
            workers=2,
            service=Service("bimodal", 0.005, 0.3, 0.05),
            errors=0.05,
            limit=6,
            queue=Seconds(0.2),
            retry=Retry(3, on=("connect", "close", "timeout", "500")),
            response_timeout=0.5,
            acts=[Act(at / 4, Fault(dice.choice(kinds), "web", dice.choice("abc"), 0.5)) for at in range(1, 40)],
            lasts=10,
            drain=0.1,
            seed=seed,
        )
        books = Books()
        simulate(plan, books.take)
        assert books.ended == books.arrived == Counter(range(1, len(books.arrived) + 1))
        how += books.how
    assert len(how) >= 7, "a day on which little happens shows little"


def test_poisson_arrivals_come_at_their_rate_and_with_exponential_gaps(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", rate=100, arrivals="poisson", lasts=100))
    times = [event.at for event in trace if isinstance(event, Arrived)]
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) == pytest.approx(10_000, rel=0.03)
    assert fmean(gap > 0.01 for gap in gaps) == pytest.approx(0.3679, rel=0.05)
    assert fmean(gap > 0.03 for gap in gaps) == pytest.approx(0.0498, rel=0.15)
