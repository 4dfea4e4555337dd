"""Least response time and peak EWMA: behaviour in a closed loop, since formulas are free.

Each request ends before the next, after its server's true latency. Start values, means, ageing and up to a third of
the picks for trying others are free, and so is what a failure counts as: products take a fast error for a fast answer
(NGINX, and the core's `latency`), so no law says that failing fast does not pay. To look at two servers only, even
with repetition, is a right peak EWMA too (Envoy), so the bounds leave it a quarter of the picks for the slower of two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lbtutor.testing.lawbook import law
from lbtutor.testing.laws.universal import must_have_answered
from lbtutor.testing.program import Broken, Op, Program, Run
from lbtutor.testing.worlds.balancer import Choice, servers

SCALES = (1, 0.005, 100)
"""Milliseconds, microseconds, and seconds."""

A_SECOND = 1000
"""Milliseconds. Over a hundred requests, a minute and more: so long takes a start value to fade that fades at all."""

SLOW = 1000
"""Servers that take seconds: hardly anybody's start value is worse."""

A_QUARTER = 0.4
"""With room for chance: of 200 picks, a share of a quarter passes 0.4 less than once in a million times."""


AT_FIRST: Op = ("wait", 60_000)
"""After a minute, a start value that fades is gone."""

MEASURED: tuple[Op, ...] = (("answer", 0, 10), ("answer", 1, 10))


def _two_speeds() -> Iterator[Program]:
    for scale in SCALES:
        for a, b in ((100 * scale, 10 * scale), (10 * scale, 100 * scale)):
            told = (AT_FIRST, ("answer", 0, a), ("answer", 1, b), ("closed", 230, 5 * scale, {"a": a, "b": b}))
            yield Program({"servers": servers(2)}, told)


@law(
    "least_response_time",
    "peak_ewma",
    cases=_two_speeds,
    needs=("finish",),
    statistical=True,
    hint="Print what your code thinks of each server after every answer. In which unit is it, and is it rounded?",
)
def the_faster_one_gets_the_work(run: Run[Choice]) -> None:
    """Of two servers the one that answers ten times as fast gets most requests, be it in microseconds or seconds."""
    must_have_answered(run)
    speeds: dict[str, float] = run.program.ops[-1][-1]
    fast, slow = sorted(speeds, key=lambda name: speeds[name])
    if run.claims["explores"] or fast in {moment.answer or moment.name for moment in run.moments}:
        _at_most(A_QUARTER, slow, _picks(run)[30:], _speeds(speeds))


def _grows_slow() -> Iterator[Program]:
    for changes, stays in (("a", "b"), ("b", "a")):
        before, after = {changes: 10, stays: 100}, {changes: 500, stays: 100}
        yield Program({"servers": servers(2)}, (("closed", 600, 2, before), ("closed", 120, 2, after)))


@law(
    "least_response_time",
    cases=_grows_slow,
    needs=("finish",),
    statistical=True,
    hint="How much does one answer weigh after six hundred others?",
)
def it_notices_who_grows_slow(run: Run[Choice]) -> None:
    """A server that was fast for long and becomes fifty times slower is left within twenty requests."""
    must_have_answered(run)
    now = run.program.ops[-1][3]
    changed = max(now, key=lambda name: now[name])
    _at_most(0.5, changed, _picks(run, op=len(run.program.ops) - 1)[20:], f"now {_speeds(now)}")


def _unmeasured() -> Iterator[Program]:
    for unit in (1, SLOW):
        speeds = {"a": 10 * unit, "b": 20 * unit, "c": 15 * unit, "d": 5 * unit}
        asked = ("closed", 100, A_SECOND, speeds)
        yield Program({"servers": servers(3), "unit": unit}, (asked,))
        yield Program({"servers": servers(2), "unit": unit}, (("closed", 40, 5, speeds), ("add", 1), asked))


@law(
    "least_response_time",
    "peak_ewma",
    cases=_unmeasured,
    needs=("finish",),
    statistical=True,
    hint="What does your code take for the latency of a server that has never answered?",
)
def who_was_never_measured_is_tried(run: Run[Choice]) -> None:
    """A server of which nothing is known yet is tried within a hundred requests.

    A start value may be worse than what the others are measured at if it fades (linkerd: 30 ms, over 10 s), or if there
    are other ways to be tried. One that neither fades nor is left to chance keeps a newcomer out for ever. Who does not
    claim better must try one at least when the others take ten seconds, so that the start value is none that bars.
    """
    must_have_answered(run)
    if not run.claims["explores"] and run.program.setting["unit"] != SLOW:
        return
    picks = _picks(run, op=len(run.program.ops) - 1)
    tried = {choice.answer for choice in _picks(run)}
    untried = [name for name in (picks[-1].eligible if len(picks) >= 100 else ()) if name not in tried]
    if untried:
        raise Broken(picks[-1], f"some requests for {' and '.join(untried)}", _shares(picks), "nobody knows how fast")


def _one_is_busy() -> Iterator[Program]:
    for busy in (0, 1):
        yield Program({"servers": servers(2), "busy": "ab"[busy]}, (*MEASURED, *[("start", busy)] * 3, ("crowd", 400)))


def _nobody_is_busy(program: Program) -> Iterator[Program]:
    yield Program(program.setting, tuple(op for op in program.ops if op[0] != "start"))


@law(
    "least_response_time",
    "peak_ewma",
    cases=_one_is_busy,
    companions=_nobody_is_busy,
    needs=("answer",),
    statistical=True,
    hint="Which way does the number of open requests move your score: up or down?",
)
def open_requests_do_not_attract(run: Run[Choice]) -> None:
    """Of two servers that are equally fast, the one with requests open gets no more for it."""
    must_have_answered(run)
    busy = run.program.setting["busy"]
    for crowd, idle in zip(run.answered("crowd"), run.others[0].answered("crowd"), strict=False):
        got, usual = (Counter(choice.answer)[busy] for choice in (crowd, idle))
        if got > usual + 0.3 * len(crowd.answer) and crowd.active.get(busy):
            because = f"{busy} has {crowd.active[busy]} open, and gets {usual} when it has none"
            raise Broken(crowd, f"at most {usual} for {busy}", str(got), because)


def _both(fast: int, slow: int) -> tuple[Op, ...]:
    return (("answer", fast, 10), ("answer", slow, 50)) * 2


def _a_peak() -> Iterator[Program]:
    for fast, slow in ((0, 1), (1, 0)):
        rows = AT_FIRST, *_both(fast, slow), ("answer", fast, 75)
        yield Program({"servers": servers(2), "spared": "ab"[fast]}, (*rows, ("crowd", 200)))


@law(
    "peak_ewma",
    cases=_a_peak,
    needs=("answer",),
    statistical=True,
    hint="What happens to your estimate when an answer takes longer than it says?",
)
def bad_news_counts_at_once(run: Run[Choice]) -> None:
    """One answer that is slower than ever is believed at once, and the server is spared."""
    _is_spared(run, "its last answer took longer than the other's ever did")


def _after_a_peak() -> Iterator[Program]:
    for fast, slow in ((0, 1), (1, 0)):
        rows = AT_FIRST, *_both(fast, slow), ("answer", fast, 500), ("answer", fast, 10)
        yield Program({"servers": servers(2), "spared": "ab"[fast]}, (*rows, ("crowd", 200)))


@law(
    "peak_ewma",
    cases=_after_a_peak,
    needs=("answer",),
    statistical=True,
    hint="How much of a bad answer is left in your estimate after one good answer?",
)
def good_news_counts_slowly(run: Run[Choice]) -> None:
    """One fast answer right after a very slow one does not make up for it."""
    _is_spared(run, "it was ten times as slow as the other one answer ago")


def _is_spared(run: Run[Choice], because: str) -> None:
    must_have_answered(run)
    spared = run.program.setting["spared"]
    for crowd in run.answered("crowd"):
        got = Counter(crowd.answer)[spared]
        if got > len(crowd.answer) / 2:
            raise Broken(crowd, f"less than half for {spared}", f"{got} of {len(crowd.answer)}", because)


def _long_ago() -> Iterator[Program]:
    """Twenty requests fail on a fast server, and a hundred and twenty are answered by both since."""
    for fast, slow in ((0, 1), (1, 0)):
        failed = (("pile", fast, 20), *[("finish", 0, False, 200)] * 20)
        since = (("answer", slow, 100), ("answer", fast, 10), ("wait", 3000)) * 120
        now = (("answer", slow, 100), ("answer", fast, 10), ("crowd", 200))
        yield Program({"servers": servers(2), "spared": "ab"[slow]}, (*failed, *since, *now))


@law(
    "least_response_time",
    "peak_ewma",
    cases=_long_ago,
    needs=("answer",),
    statistical=True,
    hint="What does your code still have of a request that failed, when many have been answered since?",
)
def what_is_long_over_weighs_nothing(run: Run[Choice]) -> None:
    """Requests that failed or were slow weigh no more when a hundred good answers came since."""
    _is_spared(run, "it takes 100 ms and the other one 10; what was worse is minutes ago")


def _was_slow() -> Iterator[Program]:
    for fast, slow in (("a", "b"), ("b", "a")):
        before, after = {fast: 10, slow: 500}, {fast: 10, slow: 1}
        setting = {"servers": servers(2), "slow": slow}
        yield Program(setting, (("closed", 40, 5, before), ("closed", 600, 500, after)))


@law(
    "peak_ewma",
    claims={"revisits": True},
    cases=_was_slow,
    needs=("finish",),
    statistical=True,
    hint="Nobody asks a server that is thought slow, so nobody hears that it is fast again. What ends that?",
)
def who_was_slow_is_tried_again(run: Run[Choice]) -> None:
    """A bad opinion fades: a server that was slow is tried again within five minutes."""
    must_have_answered(run)
    slow = run.program.setting["slow"]
    picks = _picks(run, op=len(run.program.ops) - 1)
    if len(picks) >= 600 and not any(choice.answer == slow for choice in picks):
        raise Broken(picks[-1], f"some requests for {slow}", _shares(picks), f"{slow} is fast again, and nobody knows")


def _picks(run: Run[Choice], op: int | None = None) -> list[Choice]:
    return [choice for choice in run.answered("pick") if op is None or choice.op == op]


def _at_most(share: float, name: str, picks: list[Choice], because: str) -> None:
    got = sum(choice.answer == name for choice in picks)
    if len(picks) >= 50 and got > share * len(picks):
        expected = f"at most {share * 100:.0f} of 100 for {name}"
        raise Broken(picks[-1], expected, f"{got * 100 / len(picks):.0f} of 100", because)


def _shares(picks: list[Choice]) -> str:
    return ", ".join(f"{times} {name}" for name, times in sorted(Counter(choice.answer for choice in picks).items()))


def _speeds(speeds: dict[str, float]) -> str:
    return ", ".join(f"{name} takes {ms:g} ms" for name, ms in sorted(speeds.items()))
