"""The algorithms: how one backend is chosen among those available.

One family a file: `turns` (round robin, plain and weighted), `load` (least connections, least response time), `ewma`
(peak EWMA), `chance` (random, power of two choices), `hashing` (IP hash), `consistent` (ring, Maglev, rendezvous).
`ALGORITHMS` is the catalogue by the names that scenario files and commands use.

To add one: write a class with `pick` in the file of its family (and `compare`, so that its decisions can be read), cite
its source in the docstring, and name it in `ALGORITHMS`. `tests/core/test_algorithms.py` then holds it to the laws.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from lbtutor.core.algorithms import chance
from lbtutor.core.algorithms.base import Algorithm, Comparison, Explains, Observes
from lbtutor.core.algorithms.consistent import ConsistentHash, Maglev, Rendezvous
from lbtutor.core.algorithms.ewma import PeakEwma
from lbtutor.core.algorithms.hashing import IpHash
from lbtutor.core.algorithms.load import LeastConnections, LeastResponseTime
from lbtutor.core.algorithms.turns import RoundRobin, WeightedRoundRobin
from lbtutor.core.errors import ConfigError

__all__ = ["ALGORITHMS", "Algorithm", "AlgorithmConfig", "Comparison", "Explains", "Observes", "build_algorithm"]

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": WeightedRoundRobin,
    "least_connections": LeastConnections,
    "ip_hash": IpHash,
    "least_response_time": LeastResponseTime,
    "peak_ewma": PeakEwma,
    "random": chance.Random,
    "power_of_two": chance.PowerOfTwo,
    "consistent_hash": ConsistentHash,
    "maglev": Maglev,
    "rendezvous": Rendezvous,
}

AlgorithmConfig = str | dict[str, Any]
"""A name, or a table `{ name = "...", ... }` whose other keys are the constructor's parameters."""


def build_algorithm(config: AlgorithmConfig, rng: Random) -> Algorithm:
    """Build the named algorithm; one that names `rng` in its constructor gets `rng` for its only source of chance.

    Raises `ConfigError` for an unknown name (with the nearest known one) or a parameter that is unknown or missing.
    """
    table: Mapping[str, Any] = {"name": config} if isinstance(config, str) else config
    name = table.get("name")
    if not isinstance(name, str) or name not in ALGORITHMS:
        import difflib  # a rare path, and five milliseconds of every start

        near = difflib.get_close_matches(str(name), ALGORITHMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ALGORITHMS)}"
        raise ConfigError(f"there is no algorithm named {name!r}; {hint}")
    make = ALGORITHMS[name]
    signature = inspect.signature(make)
    arguments = {key: value for key, value in table.items() if key != "name"}
    for key in arguments:
        if key == "rng" or key not in signature.parameters:
            raise ConfigError(f"algorithm {name!r} takes no parameter {key!r}")
    if "rng" in signature.parameters:
        arguments["rng"] = rng
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"algorithm {name!r}: {error}") from error
    return make(**arguments)
