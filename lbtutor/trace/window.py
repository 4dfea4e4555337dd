"""`Window`: the last minute of requests, in buckets of time, for small charts.

Memory does not grow with the number of requests: there are as many buckets as fit into what is kept, and each holds
three counts and a `Histogram`. A question about the last W seconds adds up the buckets that overlap them; of the oldest
one, which is only partly inside, as large a part is counted as is inside.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from lbtutor.trace.histogram import Histogram


class Moment(Struct, frozen=True):
    """One bucket of time, for one column of a chart: requests that arrived, ended, and failed (or were rejected) in it.

    `at` is the scenario time of its start; `p95` is in seconds, None when nothing was answered.
    """

    at: float
    arrived: int
    ended: int
    failed: int
    p95: float | None


class _Bucket:
    __slots__ = ("arrived", "ended", "failed", "latencies")

    def __init__(self) -> None:
        self.arrived = 0
        self.ended = 0
        self.failed = 0
        self.latencies = Histogram()


class Window:
    """Rates of the last `keeps` seconds, in buckets of `width` seconds. Scenario time starts at 0."""

    def __init__(self, keeps: float = 60.0, width: float = 0.5) -> None:
        self.keeps = keeps
        self.width = width
        self._buckets: dict[int, _Bucket] = {}
        self._newest = 0

    def __repr__(self) -> str:
        return f"<Window of {self.keeps:g} s, {len(self._buckets)} buckets, newest at {self._newest * self.width:g}>"

    def arrived(self, at: float) -> None:
        """A request arrived."""
        self._bucket(at).arrived += 1

    def ended(self, at: float, *, ok: bool, latency: float | None = None) -> None:
        """A request ended; `latency` (seconds) if it was answered."""
        bucket = self._bucket(at)
        bucket.ended += 1
        bucket.failed += not ok
        if latency is not None:
            bucket.latencies.add(latency)

    def rate(self, now: float, window: float) -> float:
        """Requests that arrived a second, over the last `window` seconds (or since the start, when that is less)."""
        elapsed = min(window, self.keeps, now)
        return sum(bucket.arrived * part for bucket, part in self._last(now, window)) / elapsed if elapsed > 0 else 0.0

    def error_share(self, now: float, window: float) -> float:
        """Which part (0 to 1) of the requests that ended in the last `window` seconds failed or were rejected."""
        ended = failed = 0.0
        for bucket, part in self._last(now, window):
            ended += bucket.ended * part
            failed += bucket.failed * part
        return failed / ended if ended else 0.0

    def latency(self, now: float, window: float, share: float) -> float | None:
        """The `share` quantile of the latencies of the last `window` seconds, in seconds; None without answers."""
        merged = Histogram()
        for bucket, _ in self._last(now, window):
            merged.merge(bucket.latencies)
        return merged.quantile(share)

    def history(self, now: float, window: float) -> tuple[Moment, ...]:
        """The buckets of the last `window` seconds, oldest first, empty ones too: the columns of a chart."""
        last = int(now // self.width)
        first = max(0, last - int(min(window, self.keeps) / self.width) + 1)
        return tuple(self._moment(index) for index in range(first, last + 1))

    def _moment(self, index: int) -> Moment:
        bucket = self._buckets.get(index) or _Bucket()
        p95 = bucket.latencies.quantile(0.95)
        return Moment(index * self.width, bucket.arrived, bucket.ended, bucket.failed, p95)

    def _bucket(self, at: float) -> _Bucket:
        index = int(at // self.width)
        bucket = self._buckets.get(index)
        if bucket is None:
            bucket = self._buckets[index] = _Bucket()
            self._newest = max(self._newest, index)
            self._forget()
        return bucket

    def _forget(self) -> None:
        """Drop what is older than `keeps`."""
        oldest = self._newest - int(self.keeps / self.width)
        for index in [index for index in self._buckets if index < oldest]:
            del self._buckets[index]

    def _last(self, now: float, window: float) -> Iterator[tuple[_Bucket, float]]:
        """The buckets that overlap the last `window` seconds, each with the part of it that is inside."""
        since = now - min(window, self.keeps)
        for index, bucket in self._buckets.items():
            start = index * self.width
            end = min(start + self.width, now)
            if start <= now and end > since:
                yield bucket, (end - max(start, since)) / (end - start) if end > start else 1.0
