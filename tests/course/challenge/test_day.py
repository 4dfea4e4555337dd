"""The day as data: what the module's table promises, whatever the seed."""

from __future__ import annotations

import pytest

from lbtutor.course.challenge.day import MIX, PEAK, QUIET, world_of
from lbtutor.course.challenge.design import HIDDEN, Design, find_design, load_design


@pytest.fixture(scope="module")
def design() -> Design:
    return load_design(find_design(HIDDEN))


def test_the_mix_is_that_of_the_chapters_instances() -> None:
    chapter = load_design(find_design("chapter"))
    assert {name: pool.instances / 50 for name, pool in chapter.pool.items()} == MIX


def test_the_hour_climbs_from_a_quarter_to_a_million_and_back(design: Design) -> None:
    load = world_of(design, 1).load
    assert [load.at(60 * minute) for minute in (0, 10, 25, 35, 45, 55, 60)] == [
        QUIET,
        QUIET,
        PEAK,
        PEAK,
        PEAK,
        QUIET,
        QUIET,
    ]


@pytest.mark.parametrize("seed", range(1, 21))
def test_every_day_has_the_same_troubles_at_its_own_times(design: Design, seed: int) -> None:
    mishaps = world_of(design, seed).mishaps
    assert [(mishap.kind, mishap.fleet) for mishap in mishaps] == [
        ("crash", "products"),
        ("deploy", "users"),
        ("deploy", "orders"),
        ("crash", "users"),
        ("crash", "orders"),
        ("hang", "products"),
        ("hang", "payments"),
        ("crash", ""),
        ("slow", "products"),
    ]
    assert all(mishap.share == 0.01 for mishap in mishaps[3:7])
    assert all(26 * 60 <= mishap.at <= 43 * 60 for mishap in mishaps[3:7])
    assert 30 * 60 <= mishaps[7].at <= 33 * 60
    assert 36 * 60 <= mishaps[8].at <= 40 * 60


def test_other_seeds_are_other_days(design: Design) -> None:
    assert len({world_of(design, seed).mishaps for seed in range(1, 11)}) == 10


@pytest.mark.parametrize("name", ["users", "orders"])
def test_a_deploy_takes_a_tenth_of_the_instances_at_a_time(design: Design, name: str) -> None:
    world = world_of(design, 1)
    index = list(MIX).index(name)
    drains = [stroke for stroke in world.timeline() if stroke.fleet == index and stroke.kind == "drain"]
    first = [stroke for stroke in drains if stroke.at == drains[0].at]
    assert len(first) == -(-design.pool[name].instances // 10)
