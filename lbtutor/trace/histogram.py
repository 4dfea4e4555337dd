"""`Histogram`: quantiles of any number of values, each within 1 %, in bounded memory.

Values are counted in buckets whose borders grow by a constant factor, so that a bucket's middle is never further than
1 % from anything inside it. Two histograms are merged by adding their counts, and the result is the same as if one had
seen everything: that is what makes a sliding window out of buckets of time. (Masson, Rim, Lee: "DDSketch: a fast and
fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12(12), 2019; without its collapsing of buckets,
which durations never need: from a nanosecond to a year there are about 1,900.)

Kept exactly: the count, the sum, the least and the greatest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

RELATIVE_ERROR = 0.01
"""A quantile is within this share of the exact one."""

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOG_GROWTH = math.log(_GROWTH)
"""A value is in the bucket numbered `ceil(log(value) / LOG_GROWTH)`."""

_SMALLEST = 1e-9


class Histogram:
    """Counts of values of 0 or more, in buckets of constant relative width; below 1e-9 everything counts as 0."""

    __slots__ = ("_buckets", "_zeros", "count", "greatest", "least", "total")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._buckets: dict[int, int] = {}
        self._zeros = 0
        self.count = 0
        self.total = 0.0
        self.least = math.inf
        self.greatest = -math.inf
        for value in values:
            self.add(value)

    @classmethod
    def counted(cls, buckets: Mapping[int, int], total: float) -> Histogram:
        """One of values that were counted elsewhere: how many in each bucket, `ceil(log(value) / LOG_GROWTH)`.

        Its least and its greatest are then the middles of the outermost buckets.
        """
        histogram = cls()
        histogram._buckets = {bucket: count for bucket, count in buckets.items() if count}
        if histogram._buckets:
            histogram.count, histogram.total = sum(histogram._buckets.values()), total
            histogram.least, histogram.greatest = _middle(min(histogram._buckets)), _middle(max(histogram._buckets))
        return histogram

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}, {len(self._buckets)} buckets>"

    def add(self, value: float) -> None:
        """Count one value; `ValueError` when it is negative or no number."""
        if not 0 <= value < math.inf:
            raise ValueError(f"a histogram counts finite values of 0 or more, not {value!r}")
        self.count += 1
        self.total += value
        if value < self.least:
            self.least = value
        if value > self.greatest:
            self.greatest = value
        if value < _SMALLEST:
            self._zeros += 1
        else:
            bucket = math.ceil(math.log(value) / LOG_GROWTH)
            self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count everything that `other` has counted."""
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
        self._zeros += other._zeros
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    @property
    def mean(self) -> float | None:
        """The exact mean; None while nothing was counted."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """Within 1 % of the value below which `share` (0 to 1) of the others lie; None while nothing was counted.

        Of n values in order, numbered from 0, that is the one numbered `floor(share * (n - 1))`.
        """
        if not self.count:
            return None
        rank = math.floor(share * (self.count - 1))
        if rank == 0:
            return self.least
        if rank == self.count - 1:
            return self.greatest
        return min(max(self._value_at(rank), self.least), self.greatest)

    def _value_at(self, rank: int) -> float:
        passed = self._zeros
        if rank < passed:
            return 0.0
        bucket = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if rank < passed:
                break
        return _middle(bucket)


def _middle(bucket: int) -> float:
    """The value whose relative distance to both borders of the bucket is the same."""
    return 2 * _GROWTH**bucket / (_GROWTH + 1)
