"""`Service`: how long one worker is busy with one request.

The mean alone does not say how long requests wait: at the same mean, a few that take very long keep many others waiting
(Pollaczek and Khinchine: the wait grows with the second moment). So a machine's work has a shape:

    constant       every request the same         "20ms"
    exponential    without memory                 { exponential = "20ms" }
    lognormal      a long tail                    { lognormal = { mean = "20ms", cv = 1.5 } }
    bimodal        few slow ones                  { bimodal = { fast = "5ms", slow = "1s", share = 0.02 } }
    empirical      as it was measured             { empirical = ["8ms", "9ms", "250ms"] }

The right column is what a file says. Each shape is a record of its numbers that knows its own moments and how a sample
is thrown; what is constant in a throw is worked out once, because there is one throw for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf, log, sqrt
from random import Random
from typing import Any, ClassVar, Literal

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.units import Seconds, say_duration

ServiceShape = Literal["constant", "exponential", "lognormal", "bimodal", "empirical"]
Sampler = Callable[[Random], float]


class Constant(Struct, frozen=True):
    """Every request takes `mean`; no dice are thrown."""

    mean: float

    example: ClassVar[str] = '{ constant = "20ms" }'

    @property
    def moments(self) -> tuple[float, float]:
        return self.mean, self.mean**2

    def sampler(self) -> Sampler:
        mean = self.mean
        return lambda _rng: mean


class Exponential(Struct, frozen=True):
    """What is left of a request does not depend on how long it took already: the case that formulas love."""

    mean: float

    example: ClassVar[str] = '{ exponential = "20ms" }'

    @property
    def moments(self) -> tuple[float, float]:
        return self.mean, 2 * self.mean**2

    def sampler(self) -> Sampler:
        if not self.mean:
            return lambda _rng: 0.0
        rate = 1 / self.mean
        return lambda rng: -log(1 - rng.random()) / rate  # as `Random.expovariate` does, without its call


class Lognormal(Struct, frozen=True):
    """The logarithm is normal, as response times of real services nearly are; `cv` is standard deviation over mean."""

    mean: float
    cv: float

    example: ClassVar[str] = '{ lognormal = { mean = "20ms", cv = 1.5 } }'

    def __post_init__(self) -> None:
        if not (0 < self.mean < inf and 0 < self.cv <= 100):
            raise ConfigError(f"lognormal: `mean` is above 0 and `cv` above 0, at most 100, not {self.cv!r}")

    @property
    def moments(self) -> tuple[float, float]:
        return self.mean, self.mean**2 * (1 + self.cv**2)

    def sampler(self) -> Sampler:
        variance = log(1 + self.cv**2)
        mu, sigma = log(self.mean) - variance / 2, sqrt(variance)
        return lambda rng: rng.lognormvariate(mu, sigma)


class Bimodal(Struct, frozen=True):
    """A `share` of the requests (0 to 1) is `slow`, the others are `fast`: found in a cache, or not."""

    fast: float
    slow: float
    share: float

    example: ClassVar[str] = '{ bimodal = { fast = "5ms", slow = "1s", share = 0.02 } }'

    def __post_init__(self) -> None:
        if not (self.fast <= self.slow and 0 <= self.share <= 1):
            raise ConfigError("bimodal: `fast` is not longer than `slow`, and `share` (of the slow) between 0 and 1")

    @property
    def moments(self) -> tuple[float, float]:
        def mix(fast: float, slow: float) -> float:
            return (1 - self.share) * fast + self.share * slow

        return mix(self.fast, self.slow), mix(self.fast**2, self.slow**2)

    def sampler(self) -> Sampler:
        fast, slow, share = self.fast, self.slow, self.share
        return lambda rng: slow if rng.random() < share else fast


class Empirical(Struct, frozen=True):
    """Durations that were measured; each is as likely as the others."""

    durations: tuple[float, ...]

    example: ClassVar[str] = '{ empirical = ["8ms", "9ms", "250ms"] }'

    def __post_init__(self) -> None:
        if not self.durations:
            raise ConfigError("empirical: there is no duration to choose from")

    @property
    def moments(self) -> tuple[float, float]:
        count = len(self.durations)
        return sum(self.durations) / count, sum(duration**2 for duration in self.durations) / count

    def sampler(self) -> Sampler:
        durations, count = self.durations, len(self.durations)
        return lambda rng: durations[int(count * rng.random())]


_LAWS: dict[str, Any] = {
    "constant": Constant,
    "exponential": Exponential,
    "lognormal": Lognormal,
    "bimodal": Bimodal,
    "empirical": Empirical,
}

_RATIOS = ("cv", "share")
"""The numbers that are no durations."""


class Service:
    """A shape and its numbers in the order above: `Service("constant", 0.02)`, `Service("lognormal", 0.02, 1.5)`.

    `sample(rng)` is the work of the next request in seconds; `mean` and `second_moment` (s²) are those of the samples.
    Files say it in more ways than one, and therefore it is not a struct, which msgspec would read by its fields.
    Raises `ConfigError` for numbers that cannot be.
    """

    __slots__ = ("mean", "numbers", "sample", "second_moment", "shape")

    def __init__(self, shape: ServiceShape, *numbers: float) -> None:
        numbers = tuple(map(float, numbers))  # times of events are plain floats: a journal cannot hold `Seconds`
        law = Empirical(numbers) if shape == "empirical" else _LAWS[shape](*numbers)
        self.shape: ServiceShape = shape
        self.numbers = numbers
        self.mean: float
        self.second_moment: float
        self.mean, self.second_moment = law.moments
        self.sample: Sampler = law.sampler()

    def __repr__(self) -> str:
        return f"Service({self.shape!r}, {', '.join(map(repr, self.numbers))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Service) and (self.shape, self.numbers) == (other.shape, other.numbers)

    def __hash__(self) -> int:
        return hash((self.shape, self.numbers))

    def __reduce__(self) -> tuple[type[Service], tuple[object, ...]]:
        return Service, (self.shape, *self.numbers)

    @classmethod
    def parse(cls, value: object) -> Service:
        """Read what a file says (the right column above); raises `ConfigError`."""
        shape, said = _shape_of(value)
        return cls(shape, *_numbers(shape, said))

    def as_written(self) -> dict[str, object]:
        """What `parse` reads back."""
        if self.shape == "empirical":
            return {self.shape: [say_duration(number) for number in self.numbers]}
        words = _LAWS[self.shape].__struct_fields__
        said = {word: _say(word, number) for word, number in zip(words, self.numbers, strict=True)}
        return {self.shape: said if len(said) > 1 else said["mean"]}


def _shape_of(value: object) -> tuple[ServiceShape, object]:
    if isinstance(value, str):
        return "constant", value
    if isinstance(value, dict) and len(value) == 1:
        ((shape, said),) = value.items()
        if shape in _LAWS:
            return shape, said
    examples = ", ".join(law.example for law in _LAWS.values())
    raise ConfigError(f"service is a duration or one of {examples}; not {value!r}")


def _numbers(shape: ServiceShape, said: object) -> Iterable[float]:
    """The numbers that a file says, in the order of their record."""
    words = _LAWS[shape].__struct_fields__
    match said:
        case str() if words == ("mean",):
            return (Seconds.parse(said),)
        case dict() if len(words) > 1 and set(said) == set(words):
            return (_number(word, said[word]) for word in words)
        case list() if shape == "empirical":
            return map(Seconds.parse, said)
        case _:
            raise ConfigError(f"{shape} is written {_LAWS[shape].example}, not {said!r}")


def _number(word: str, value: object) -> float:
    if word not in _RATIOS:
        return Seconds.parse(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ConfigError(f"`{word}` is a plain number, not {value!r}")


def _say(word: str, number: float) -> object:
    return number if word in _RATIOS else say_duration(number)
