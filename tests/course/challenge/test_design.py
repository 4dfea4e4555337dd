"""DESIGN.toml: what may be left out, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.core import ConfigError, Seconds
from lbtutor.course.challenge.design import (
    HIDDEN,
    SERVICES,
    STEPS,
    Balancers,
    Design,
    Dns,
    Listen,
    PoolDesign,
    design_names,
    find_design,
    load_design,
    read_design,
)

LEAST = """\
title = "As little as may be said"
[balancers]
count = 12
[[route]]
path = "/api/users"
pool = "users"
[pool.users]
instances = 20
[pool.products]
instances = 40
[pool.orders]
instances = 30
[pool.payments]
instances = 10
"""


def test_only_what_must_be_decided_must_be_said() -> None:
    design = read_design(LEAST, "least.toml")
    assert design.balancers.capacity == 100_000
    assert design.dns.ttl == Seconds(60)
    assert design.pool["users"].scale is None


@pytest.mark.parametrize("line", [line for line in LEAST.splitlines() if "=" in line and "path" not in line])
def test_and_each_of_that_is_missed(line: str) -> None:
    with pytest.raises(ConfigError, match=r"least\.toml"):
        read_design(LEAST.replace(f"{line}\n", "", 1), "least.toml")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("count = 12", "conut = 12", "d.toml:3: balancers.conut: there is no such key; did you mean `count`? (step 1"),
        ("count = 12", "count = 0", "d.toml:2: balancers: `count` is between 1 and 100, not 0 (step 1"),
        ("count = 12", 'count = "12"', "d.toml:3: balancers.count: expected `int`, got `str` (step 1"),
        (
            'pool = "users"',
            'pool = "user"',
            "d.toml:6: route[0].pool: there is no pool `user`; did you mean `users`? (step 2",
        ),
        ('path = "/api/users"', 'path = "api"', "`path` must start with a slash, not 'api' (step 2"),
        (
            "instances = 30",
            'instances = 30\nalgorithm = "least_conections"',
            "d.toml:13: pool.orders.algorithm: there is no algorithm `least_conections` here; "
            "did you mean `least_connections`? (step 3",
        ),
        (
            "instances = 30",
            'instances = 30\nsticky = { cokie = "A" }',
            "pool.orders.sticky.cokie: there is no such key; did you mean `cookie`? (step 4: sticky sessions)",
        ),
        ("instances = 30", 'instances = 30\nsessions = "redis"', "pool.orders.sessions"),
        ("instances = 30", 'instances = 30\nhealth = { interval = "5s", timeout = "9s" }', "(step 5: health checks"),
        ("instances = 30", "instances = 30\nhealth = { interval = 5 }", "5 is not a duration"),
        ("instances = 30", "instances = 30\nretry = { attempts = 9 }", "at most 4 in all, not 9 (step 5"),
        ("instances = 30", "instances = 30\nscale = { min = 31, max = 40 }", "between `scale.min` (31)"),
        ("instances = 30", "instances = 30\nscale = { min = 3, max = 40, up = 0.7 }", "(step 8: scaling)"),
        ("instances = 30", "instances = 0", "pool.orders: `instances` is between 1 and 1000, not 0 (step 1"),
        ("instances = 30", "instances = 30\nzones = 7", "`zones` is between 1 and 6, not 7 (step 1"),
        (
            "[pool.orders]",
            "[pool.order]",
            "pool.order: there is no such service; did you mean `orders`? (step 1: architecture)",
        ),
        (
            "[pool.orders]\ninstances = 30\n",
            "",
            "pool: the service `orders` has no pool; the chapter has users, products, orders, payments (step 1",
        ),
        (
            "[balancers]",
            "[listen]\ntls = { auto = true, passthrough = true }\n[balancers]",
            "(step 6: SSL termination)",
        ),
        ("[balancers]", '[listen]\nidle_timeout = "0s"\n[balancers]', "(step 7: WebSocket)"),
        ("[balancers]", "[balancers", "not valid TOML"),
    ],
)
def test_an_error_names_the_key_and_the_step(right: str, wrong: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_design(LEAST.replace(right, wrong, 1), "d.toml")
    assert told in str(refused.value)


def test_every_key_that_decides_something_belongs_to_a_step() -> None:
    told = {"title", "story", "pool"}
    keys = {*Design.__struct_fields__, *PoolDesign.__struct_fields__} - told
    assert keys <= set(STEPS)
    for table, name in ((Dns, "dns"), (Balancers, "balancers"), (Listen, "listen")):
        assert table.__struct_fields__
        assert name in STEPS
    assert {int(step.split()[1].rstrip(":")) for step in STEPS.values()} == set(range(1, 9)), "all eight steps"


@pytest.mark.parametrize("name", design_names())
def test_every_shipped_design_can_be_read(name: str) -> None:
    design = load_design(find_design(name))
    assert set(design.pool) == set(SERVICES)
    assert design.story


def test_a_name_that_is_not_known_gets_the_nearest_one_and_never_the_hidden_one() -> None:
    with pytest.raises(ConfigError, match="did you mean `chapter`"):
        find_design("chaptr")
    with pytest.raises(ConfigError) as refused:
        find_design("xyz")
    assert HIDDEN not in str(refused.value)


def test_a_file_of_ones_own_comes_before_a_shipped_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_design("chapter.toml") == find_design("chapter") == design_names()["chapter"]
    (tmp_path / "chapter.toml").write_text(LEAST)
    assert load_design(find_design("chapter.toml")).title == "As little as may be said"
    assert find_design("chapter") == design_names()["chapter"]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_design(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_design(tmp_path / "binary.toml")
