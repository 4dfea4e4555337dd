"""How long a machine works on a request: what a file says, and what comes out of the dice."""

from __future__ import annotations

import math
import pickle
from random import Random
from statistics import fmean, pstdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.errors import ConfigError
from lbtutor.core.service import Service

WRITTEN: list[tuple[object, Service]] = [
    ("20ms", Service("constant", 0.02)),
    ({"constant": "20ms"}, Service("constant", 0.02)),
    ({"exponential": "1s"}, Service("exponential", 1.0)),
    ({"lognormal": {"mean": "20ms", "cv": 1.5}}, Service("lognormal", 0.02, 1.5)),
    ({"bimodal": {"fast": "5ms", "slow": "1s", "share": 0.02}}, Service("bimodal", 0.005, 1.0, 0.02)),
    ({"bimodal": {"share": 1, "slow": "1s", "fast": "5ms"}}, Service("bimodal", 0.005, 1.0, 1)),
    ({"empirical": ["8ms", "10ms", "250ms"]}, Service("empirical", 0.008, 0.01, 0.25)),
    ({"empirical": ["8ms"]}, Service("empirical", 0.008)),
]

SHAPES = [
    Service("constant", 0.02),
    Service("exponential", 0.02),
    Service("lognormal", 0.02, 0.5),
    Service("bimodal", 0.005, 0.08, 0.2),
    Service("empirical", 0.008, 0.009, 0.008, 0.055),
]


@pytest.mark.parametrize(("value", "service"), WRITTEN)
def test_a_service_is_a_duration_or_a_shape_with_its_numbers(value: object, service: Service) -> None:
    assert Service.parse(value) == service


@pytest.mark.parametrize("service", [service for _, service in WRITTEN])
def test_what_is_written_is_read_back(service: Service) -> None:
    assert Service.parse(service.as_written()) == service


@pytest.mark.parametrize("value", [20, {"gamma": "1s"}, {}, {"constant": "1s", "exponential": "1s"}, None])
def test_another_shape_is_refused_with_all_that_there_are(value: object) -> None:
    with pytest.raises(ConfigError, match=r"service is a duration or one of .*constant.*lognormal.*bimodal.*empirical"):
        Service.parse(value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"lognormal": "20ms"}, r"lognormal is written \{ lognormal = "),
        ({"lognormal": {"mean": "20ms"}}, r"lognormal is written \{ lognormal = "),
        ({"lognormal": {"mean": "20ms", "cw": 1.5}}, r"lognormal is written \{ lognormal = "),
        ({"lognormal": {"mean": "20ms", "cv": "1.5"}}, "`cv` is a plain number, not '1.5'"),
        ({"lognormal": {"mean": "20ms", "cv": True}}, "`cv` is a plain number, not True"),
        ({"lognormal": {"mean": 20, "cv": 1}}, "20 is not a duration"),
        ({"lognormal": {"mean": "0s", "cv": 1}}, "`mean` is above 0"),
        ({"lognormal": {"mean": "1s", "cv": 0}}, "`cv` above 0, at most 100, not 0"),
        ({"lognormal": {"mean": "1s", "cv": math.nan}}, "not nan"),
        ({"lognormal": {"mean": "1s", "cv": 101}}, "not 101"),
        ({"bimodal": {"fast": "1s", "slow": "5ms", "share": 0.5}}, "`fast` is not longer than `slow`"),
        ({"bimodal": {"fast": "1s", "slow": "5s", "share": 1.1}}, "between 0 and 1"),
        ({"bimodal": ["1s", "5s"]}, r"bimodal is written \{ bimodal = "),
        ({"empirical": []}, "no duration to choose from"),
        ({"empirical": "20ms"}, r"empirical is written \{ empirical = "),
        ({"empirical": ["20ms", 5]}, "5 is not a duration"),
        ({"exponential": {"mean": "20ms"}}, r"exponential is written \{ exponential = "),
        ({"exponential": 20}, r"exponential is written \{ exponential = "),
    ],
)
def test_numbers_that_cannot_be_are_refused_with_what_would_be_accepted(value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Service.parse(value)


def test_services_are_the_same_when_shape_and_numbers_are() -> None:
    assert len({*SHAPES, *SHAPES, Service("exponential", 0.021)}) == len(SHAPES) + 1
    assert Service("constant", 0.02) != Service("exponential", 0.02)
    assert Service("constant", 0.02) != 0.02


@pytest.mark.parametrize("service", SHAPES)
def test_a_service_can_be_sent_to_another_process(service: Service) -> None:
    sent = pickle.loads(pickle.dumps(service))
    assert sent == service
    assert sent.sample(Random(1)) == service.sample(Random(1))


@pytest.mark.parametrize("service", SHAPES)
def test_a_service_tells_its_shape_and_numbers(service: Service) -> None:
    assert eval(repr(service)) == service


@pytest.mark.parametrize("service", SHAPES)
def test_samples_have_the_moments_that_are_told(service: Service) -> None:
    """Each within 5 standard errors, which are taken from the sample itself."""
    rng = Random(7)
    drawn = [service.sample(rng) for _ in range(20_000)]
    for power, moment in ((1, service.mean), (2, service.second_moment)):
        powers = [value**power for value in drawn]
        assert fmean(powers) == pytest.approx(moment, abs=5 * pstdev(powers) / math.sqrt(len(powers)) + 1e-12)


def test_a_constant_service_takes_its_mean_and_draws_nothing() -> None:
    rng = Random(1)
    before = rng.getstate()
    assert Service("constant", 0.02).sample(rng) == 0.02
    assert rng.getstate() == before


def test_an_exponential_service_of_no_work_takes_none() -> None:
    assert Service("exponential", 0.0).sample(Random(1)) == 0.0


def test_the_median_of_a_lognormal_service_is_below_its_mean_by_the_root_of_one_and_cv_squared() -> None:
    rng = Random(3)
    service = Service("lognormal", 0.02, 1.5)
    drawn = sorted(service.sample(rng) for _ in range(20_001))
    assert drawn[10_000] == pytest.approx(0.02 / math.sqrt(1 + 1.5**2), rel=0.03)


def test_a_bimodal_service_is_fast_or_slow_and_as_often_slow_as_was_said() -> None:
    rng = Random(1)
    service = Service("bimodal", 0.005, 1.0, 0.02)
    drawn = [service.sample(rng) for _ in range(20_000)]
    assert set(drawn) == {0.005, 1.0}
    assert drawn.count(1.0) == pytest.approx(400, abs=100)


@given(st.lists(st.floats(min_value=0, max_value=10), min_size=1, max_size=5), st.integers(min_value=0, max_value=99))
def test_an_empirical_service_takes_nothing_but_what_was_measured(measured: list[float], seed: int) -> None:
    service = Service("empirical", *measured)
    rng = Random(seed)
    assert {service.sample(rng) for _ in range(20)} <= set(measured)


@given(st.integers(min_value=0, max_value=99))
def test_every_shape_draws_alike_from_dice_that_are_alike(seed: int) -> None:
    for service in SHAPES:
        one, other = Random(seed), Random(seed)
        assert [service.sample(one) for _ in range(5)] == [service.sample(other) for _ in range(5)]


def test_durations_of_a_service_are_plain_floats_that_a_journal_can_hold() -> None:
    drawn: list[Any] = [Service.parse(value).sample(Random(1)) for value, _ in WRITTEN]
    assert {type(value) for value in drawn} == {float}
