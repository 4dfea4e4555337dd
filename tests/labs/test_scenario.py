"""Scenario files: what is read, and what the author of a wrong one is told."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from lbtutor.core import (
    Add,
    ConfigError,
    Drain,
    Fault,
    PassiveCheck,
    Redirect,
    Respond,
    Route,
    Seconds,
    Service,
    SetWeight,
    Shift,
    Sticky,
)
from lbtutor.labs.scenario import Scenario, find_scenario, load_scenario, scenario_names, with_every_default

Load = Callable[[str], Scenario]

GOOD = """\
title = "A slow backend under round robin"
story = "Backend b takes four times as long from the tenth second. Who notices?"
seed  = 7
lasts = "30s"

[[listen]]
name = "front"

[pool.web]
algorithm = "round_robin"
health  = { path = "/health", interval = "2s", timeout = "500ms" }

[[pool.web.backends]]
name    = "a"
workers = 8
service = { exponential = "20ms" }

[[pool.web.backends]]
name    = "b"
service = "30ms"

[[traffic]]
to   = "front"
rate = 300
requests = 2

[[timeline]]
at   = "10s"
slow = { backend = "web/b", by = 4 }

[[expect]]
between = ["10s", "20s"]
p99     = { over = "40ms" }
says    = "round robin does not notice"
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str) -> Scenario:
        path = tmp_path / "lab.toml"
        path.write_text(text, encoding="utf-8")
        return load_scenario(path)

    return load_text


def test_a_good_file_becomes_a_plan_with_every_default(load: Load) -> None:
    plan = load(GOOD).plan()
    (pool,) = plan.pools
    assert [backend.name for backend in pool.backends] == ["a", "b"]
    assert pool.health is not None
    assert (pool.health.interval, pool.health.timeout, pool.health.rise, pool.health.fall) == (2.0, 0.5, 2, 3)
    assert plan.machines[0].service == Service("exponential", 0.02)
    assert plan.machines[1].service == Service("constant", 0.03)
    assert plan.acts[0].at == 10.0
    assert plan.acts[0].what == Fault("slow", "web", "b", 4)
    assert plan.routes[0].pool == "web"


def test_seed_and_algorithm_can_be_replaced(load: Load) -> None:
    plan = load(GOOD).plan(seed=99, algorithm="least_connections")
    assert plan.seed == 99
    assert plan.pools[0].algorithm == "least_connections"


def test_what_a_pool_hashes_is_read(load: Load) -> None:
    assert load(GOOD).plan().pools[0].key == "address"
    keyed = GOOD.replace('"round_robin"', '"maglev"\nkey = "header:X-User"')
    assert load(keyed).plan().pools[0].key == "header:X-User"


ROUTES = """\
[[route]]
host      = "*.shop.example"
path      = "/api"
method    = "GET"
header    = { X-Beta = "yes" }
cookie    = { group = "b" }
split     = { web = 90, green = 10 }
split_key = "cookie:user"

[[route]]
path    = "/closed"
exact   = true
respond = { status = 503, body = "Back at noon" }

[[route]]
listen   = "front"
redirect = { to = "https://{host}{path}" }

[pool.green]
backends = [{ name = "g" }]
"""


def test_every_kind_of_route_is_read(load: Load) -> None:
    split, closed, elsewhere = load(GOOD + ROUTES).plan().routes
    assert split == Route(
        path="/api",
        host="*.shop.example",
        method="GET",
        header={"X-Beta": "yes"},
        cookie={"group": "b"},
        split={"web": 90, "green": 10},
        split_key="cookie:user",
    )
    assert closed == Route(path="/closed", exact=True, respond=Respond(503, "Back at noon"))
    assert elsewhere == Route(listener="front", redirect=Redirect("https://{host}{path}", 302))


WRONG_ROUTES = {
    "unknown pool in a split": ("green = 10", "grene = 10", ["route[0].split.grene", "pool `grene`", "`green`"]),
    "negative weight": ("green = 10", "green = -1", ["route[0]", "0 or more", "green = -1"]),
    "no weight": ("web = 90, green = 10", "web = 0, green = 0", ["route[0]", "above 0"]),
    "two targets": ("exact   = true", 'pool = "web"', ["route[1]", "exactly one target", "pool and respond"]),
    "no target": ('redirect = { to = "https://{host}{path}" }', "", ["route[2]", "exactly one target", "none"]),
    "a redirect to anywhere": ("https://{host}{path}", "//{host}", ["route[2].redirect", "`to` is"]),
    "a line too many": ("https://{host}{path}", "https://a/\\r\\nX: 1", ["route[2].redirect", "visible ASCII"]),
    "no such redirect": ("{ to =", "{ status = 200, to =", ["route[2].redirect.status", "200", "302"]),
    "no such status": ("status = 503", "status = 99", ["route[1].respond", "200 to 599"]),
    "unknown key inside": ("status = 503", "code = 503", ["route[1].respond.code", "no such key"]),
    "unknown key form": ("cookie:user", "user", ["route[0]", "cookie:NAME"]),
    "an ambiguous path": ('"/closed"', '"/a/../closed"', ["route[1]", "ambiguous"]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), WRONG_ROUTES.values(), ids=WRONG_ROUTES)
def test_a_wrong_route_is_told_where_and_what(load: Load, old: str, new: str, told: list[str]) -> None:
    assert old in ROUTES
    with pytest.raises(ConfigError) as error:
        load(GOOD + ROUTES.replace(old, new, 1))
    message = str(error.value)
    assert [part for part in told if part not in message] == [], message
    assert "\n" not in message


def test_a_backend_added_by_the_timeline_has_a_machine_and_a_weight(load: Load) -> None:
    text = GOOD + '[[timeline]]\nat = "12s"\nadd = { backend = "web/c", weight = 2, service = "5ms" }\n'
    text += '[[timeline]]\nat = "13s"\nweight = { backend = "web/c", weight = 5 }\n'
    plan = load(text).plan()
    assert isinstance(plan.acts[1].what, Add)
    assert plan.acts[2].what == SetWeight("web", "c", 5)
    assert [machine.name for machine in plan.machines] == ["a", "b", "c"]


WRONG = {
    "unknown key": ("workers = 8", "wrokers = 8", ["lab.toml:15", "pool.web.backends[0].wrokers", "`workers`"]),
    "unknown key at the top": ("seed  = 7", "sede = 7", ["lab.toml:3", "sede", "`seed`"]),
    "key inside": ('timeout = "500ms"', 'timeuot = "1s"', ["lab.toml:11", "pool.web.health.timeuot", "`timeout`"]),
    "missing unit": ('lasts = "30s"', 'lasts = "30"', ["lab.toml:4", "lasts", "'30'", "ms"]),
    "wrong unit": ('lasts = "30s"', 'lasts = "30 parsecs"', ["lab.toml:4", "lasts", "parsecs"]),
    "bare number": ('lasts = "30s"', "lasts = 30", ["lab.toml:4", "lasts", "duration", '"30s"']),
    "wrong type": ("seed  = 7", 'seed = "seven"', ["lab.toml:3", "seed", "expected `int`", "`str`"]),
    "wrong type inside": ("workers = 8", 'workers = "8"', ["lab.toml:15", "pool.web.backends[0].workers", "`int`"]),
    "missing title": ('title = "A slow backend under round robin"', "", ["lab.toml", "missing key `title`"]),
    "missing pool": ("[[traffic]]", '[[route]]\npool = "wbe"\n[[traffic]]', ["route[0].pool", "pool `wbe`", "`web`"]),
    "unknown algorithm": ('"round_robin"', '"round_robbin"', ["lab.toml:10", "round_robbin", "'round_robin'"]),
    "unknown key form": ('"round_robin"', '"maglev"\nkey = "ip"', ["lab.toml:9", "pool.web", '"header:NAME"', "'ip'"]),
    "no prime": ('"round_robin"', '{ name = "maglev", size = 100 }', ["lab.toml:10", "algorithm", "prime", "100"]),
    "unknown door": ('to   = "front"', 'to = "frnt"', ["traffic[0].to", "`frnt`", "`front`"]),
    "unknown backend": ('"web/b"', '"web/bb"', ["lab.toml:29", "timeline[0].slow", "web/bb", "did you mean"]),
    "backend without pool": ('"web/b"', '"b"', ["timeline[0].slow", "pool/name"]),
    "two things at once": ("by = 4 }", 'by = 4 }\ncrash = { backend = "web/b" }', ["timeline[0]", "exactly one"]),
    "after the end": ('at   = "10s"', 'at = "40s"', ["timeline[0].at", "after the end"]),
    "name taken": ('name    = "b"', 'name = "a"', ["pool.web.backends[1].name", "two backends", "`a`"]),
    "no measure": ('p99     = { over = "40ms" }', "", ["expect[0]", "exactly one measure"]),
    "no bound": ('{ over = "40ms" }', "{ }", ["expect[0].p99", "`under`"]),
    "backwards": ('["10s", "20s"]', '["20s", "10s"]', ["expect[0].between", "stretch of time"]),
    "timeout beyond interval": ('timeout = "500ms"', 'timeout = "3s"', ["pool.web.health", "longer than `interval`"]),
    "no traffic rate": ("rate = 300", "rate = 0", ["traffic[0]", "above 0"]),
    "not TOML": ('title = "A', 'title = A', ["lab.toml", "not valid TOML", "line 1"]),
    "slow by nothing": ("by = 4", "by = 0", ["timeline[0]", "above 0"]),
    "no such shape": ('"30ms"', '{ gamma = "30ms" }', ["lab.toml:20", "backends[1].service", "lognormal", "gamma"]),
    "half a shape": ('"30ms"', '{ lognormal = { mean = "30ms" } }', ["pool.web.backends[1].service", "cv = 1.5"]),
    "no limit": ("workers = 8", "limit = 0", ["pool.web.backends[0]", "`limit`", "at least 1"]),
    "UDP, TLS": ('name = "front"', 'name = "front"\nmode = "udp"\ntls = { auto = true }', ["listen[0].tls", "UDP"]),
    "PROXY over UDP": (
        'name = "front"',
        'name = "front"\nmode = "udp"\naccept_proxy = true',
        ["listen[0].accept_proxy", "UDP"],
    ),
    "HTTP passed through": ('name = "front"', 'name = "front"\ntls = { passthrough = true }', ["listen[0].tls", "tcp"]),
    "two kinds of TLS": ('name = "front"', 'name = "front"\ntls = { }', ["listen[0].tls", "exactly one"]),
    "no such word": ('"round_robin"', '"random"\nsend_proxy = "v3"', ["lab.toml:11", "send_proxy", "'v3'", "v1, v2"]),
    "no time": ('name = "front"', 'name = "front"\nhead_timeout = "0s"', ["listen[0]", "`head_timeout`", "longer"]),
    "no room": ('name = "front"', 'name = "front"\nmax_headers = -1', ["listen[0]", "`max_headers`", "at least 1"]),
    "door to nowhere": ('name = "front"', 'name = "front"\nmode = "tcp"\npool = "wbe"', ["listen[0].pool", "`web`"]),
    "no such route": ('slow = { backend = "web/b", by = 4 }', "shift = { route = 'a', to = {} }", ["shift.route"]),
    "no such pool": ('p99     = { over = "40ms" }', 'panics = { pool = "wb", between = ["1s", "2s"] }', ["panics"]),
    "a series of datagrams": ('name = "front"', 'name = "front"\nmode = "udp"', ["traffic[0].requests", "datagrams"]),
    "no requests": ("requests = 2", "requests = 0", ["traffic[0]", "`requests`", "1 to 1000000"]),
    "no such pause": ("requests = 2", 'pause = "-1s"', ["traffic[0].pause", "-1s"]),
    "nobody's busiest": (
        'p99     = { over = "40ms" }',
        'busiest = { pool = "wb", over = 0.5 }',
        ["expect[0].busiest.pool", "`web`"],
    ),
    "busiest, no bound": ('p99     = { over = "40ms" }', 'busiest = { pool = "web" }', ["busiest", "`under`"]),
    "names for nobody": ("[pool.web]", '[dns]\nttl = "5s"\n[pool.web]', ["lab.toml:9", "dns", "[[balancer]]"]),
    "two of a name": (
        "[pool.web]",
        '[[balancer]]\nname = "x"\n[[balancer]]\nname = "x"\n[pool.web]',
        ["balancer[1].name", "two balancers", "`x`"],
    ),
    "back before it died": (
        "[pool.web]",
        '[[balancer]]\nname = "x"\ndies = "5s"\nreturns = "4s"\n[pool.web]',
        ["balancer[0]", "`returns` comes after `dies`"],
    ),
    "port out of range": ('name = "front"', 'name = "front"\nat = "127.0.0.1:99999"', ["listen[0]", "host:port"]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_told_where_and_what(load: Load, old: str, new: str, told: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as error:
        load(GOOD.replace(old, new, 1))
    message = str(error.value)
    assert [part for part in told if part not in message] == [], message
    assert "\n" not in message


def test_a_file_that_is_not_text_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_scenario(path)


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_scenario(tmp_path / "nowhere.toml")


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean `round-robin`"):
        find_scenario("round-robbin")


def test_a_scenario_that_belongs_to_no_lesson_is_found_by_its_name() -> None:
    assert find_scenario("passive-ejection").parent.name == "labs"


def test_an_authors_own_labs_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labs").mkdir()
    (tmp_path / "labs" / "mine.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("LBTUTOR_LESSONS", str(tmp_path))
    assert find_scenario("mine") == tmp_path / "labs" / "mine.toml"


def test_a_pools_passive_check_is_that_of_its_plan(load: Load) -> None:
    scenario = load(GOOD.replace("[pool.web]", '[pool.web]\npassive = { fails = 3, eject = "1m" }', 1))
    (pool,) = scenario.plan().pools
    assert pool.passive == PassiveCheck(fails=3, window=Seconds(10), eject=Seconds(60), max_ejected=0.5)


def test_a_passive_check_that_cannot_work_is_refused_with_its_place(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"pool\.web\.passive.*`max_ejected` is a share"):
        load(GOOD.replace("[pool.web]", "[pool.web]\npassive = { max_ejected = 50 }", 1))


def test_every_shipped_scenario_loads() -> None:
    names = scenario_names()
    assert "round-robin" in names
    for path in names.values():
        load_scenario(path).plan()


@pytest.mark.parametrize("text", [GOOD, GOOD + ROUTES], ids=["plain", "with routes"])
def test_what_is_shown_with_every_default_is_the_same_scenario(load: Load, text: str) -> None:
    scenario = load(text)
    shown = tomli_w.dumps(with_every_default(scenario))
    assert tomllib.loads(shown)["pool"]["web"]["health"]["fall"] == 3
    assert load(shown).plan() == scenario.plan()


@pytest.mark.parametrize(
    ("written", "service"),
    [
        ('{ lognormal = { mean = "20ms", cv = 1.5 } }', Service("lognormal", 0.02, 1.5)),
        ('{ bimodal = { fast = "5ms", slow = "1s", share = 0.25 } }', Service("bimodal", 0.005, 1.0, 0.25)),
        ('{ empirical = ["8ms", "10ms", "250ms"] }', Service("empirical", 0.008, 0.01, 0.25)),
    ],
)
def test_every_shape_of_work_is_read_and_shown(load: Load, written: str, service: Service) -> None:
    scenario = load(GOOD.replace('"30ms"', written, 1))
    assert scenario.plan().machines[1].service == service
    assert load(tomli_w.dumps(with_every_default(scenario))).plan() == scenario.plan()


DATA_PLANE = """
title = "Everything a pool and a door may say"
[[listen]]
name = "front"
max_body_bytes = 1000
body_timeout = "3s"
tls = { certificates = [{ cert = "shop.pem", key = "shop.key", names = ["shop.example"] }], min_version = "1.3" }
[[listen]]
name = "raw"
mode = "tcp"
pool = "web"
accept_proxy = true
[[route]]
name = "shop"
split = { web = 1, green = 0 }
listen = "front"
[pool.web]
sticky = { cookie = "SERVER_ID", ttl = "30m", form = "readable" }
retry = { attempts = 3, budget = 0.2, on = ["connect", "503"], backoff = "25ms" }
slow_start = "20s"
queue = "2s"
panic = 0.5
passive = { fails = 5, share = 0.5 }
health = { mode = "tcp", interval = "5s", timeout = "1s" }
sessions = "memory"
backends = [{ name = "a", limit = 4 }, { name = "b", backup = true }]
[pool.green]
tls = { ca = "authority.pem", name = "green.example" }
send_proxy = "v2"
backends = [{ name = "g" }]
[[timeline]]
at = "2s"
shift = { route = "shop", to = { green = 1 } }
[[timeline]]
at = "3s"
drain = { backend = "web/a", within = "5s" }
"""


def test_what_a_file_says_of_the_data_plane_reaches_the_plan(load: Load, tmp_path: Path) -> None:
    plan = load(DATA_PLANE).plan()
    front, raw = plan.listeners
    assert (front.max_body_bytes, front.body_timeout) == (1000, Seconds(3))
    assert front.tls is not None
    assert front.tls.certificates[0].cert == str(tmp_path / "shop.pem"), "files are found beside the scenario"
    assert (raw.mode, raw.pool, raw.accept_proxy) == ("tcp", "web", True)
    web, green = plan.pools
    assert web.sticky is not None
    assert web.sticky == Sticky("SERVER_ID", ttl=Seconds(1800), form="readable")
    assert (web.retry.attempts, web.retry.budget, web.retry.on) == (3, 0.2, ("connect", "503"))
    assert (web.slow_start, web.queue, web.panic) == (Seconds(20), Seconds(2), 0.5)
    assert [(backend.limit, backend.backup) for backend in web.backends] == [(4, False), (None, True)]
    assert {machine.sessions for machine in plan.machines if machine.pool == "web"} == {"memory"}
    assert green.tls is not None
    assert (green.tls.ca, green.send_proxy) == (str(tmp_path / "authority.pem"), "v2")
    assert plan.routes[0].listener == "front"
    assert [act.what for act in plan.acts] == [Shift("shop", {"green": 1}), Drain("web", "a", Seconds(5))]
