"""The access log: one entry a request, with its attempts and why it ended so."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest
from msgspec.structs import replace

from lbtutor.core.errors import EnvironmentFault
from lbtutor.core.events import (
    Answered,
    Arrived,
    BackedOff,
    Event,
    Finished,
    Missed,
    Picked,
    Queued,
    Refused,
    Rejected,
    Why,
)
from lbtutor.trace.access import KINDS, Access, AccessFile, AccessLog, Attempt

Reason = Literal["algorithm", "only", "retry", "sticky"]


def arrived(at: float, request: int, path: str = "/") -> Arrived:
    return Arrived(at, request, "10.0.0.7", "GET", "shop", path, "front")


def picked(at: float, request: int, backend: str, attempt: int = 1, because: Reason = "algorithm") -> Picked:
    return Picked(at, request, attempt, "web", backend, because, Why("", "lowest", "", ()))


def finished(at: float, request: int, backend: str, outcome: str, took: float, final: bool = True) -> Finished:
    status = int(outcome.removeprefix("answered ")) if outcome.startswith("answered") else 502
    return Finished(at, request, 1, "web", backend, outcome, status, took, status < 500, final)


def entries(*events: Event) -> list[Access]:
    log = AccessLog(time="at {:.3f}".format)
    return [entry for entry in map(log.take, events) if entry is not None]


def test_an_answered_request_is_one_entry() -> None:
    told = entries(arrived(1.0, 1, "/cart"), picked(1.0, 1, "a"), finished(1.25, 1, "a", "answered 200", 0.25))
    assert told == [
        Access(
            "at 1.000",
            1,
            "10.0.0.7",
            "front",
            "GET",
            "shop",
            "/cart",
            200,
            0.25,
            "web",
            (Attempt("a", "answered 200", 0.25),),
            "answered 200",
        )
    ]


def test_every_attempt_is_listed_and_the_last_one_says_why_it_ended_so() -> None:
    (entry,) = entries(
        arrived(1.0, 1),
        picked(1.0, 1, "b"),
        finished(1.1, 1, "b", "connection refused", 0.1, final=False),
        picked(1.1, 1, "a", attempt=2),
        finished(1.5, 1, "a", "answered 404", 0.4),
    )
    assert entry.attempts == (Attempt("b", "connection refused", 0.1), Attempt("a", "answered 404", 0.4))
    assert (entry.status, entry.took, entry.because) == (404, 0.5, "answered 404")


def test_what_a_route_answers_has_no_attempts_and_a_reason() -> None:
    (entry,) = entries(arrived(1.0, 1), Answered(1.0, 1, 308, "a redirect for /old (no other route matches)"))
    assert (entry.status, entry.pool, entry.attempts) == (308, None, ())
    assert entry.because == "a redirect for /old (no other route matches)"


def test_a_refusal_has_no_attempts_and_a_reason() -> None:
    no_route, nobody = entries(
        arrived(1.0, 1),
        Rejected(1.0, 1, 404, "no route for shop/", None, ()),
        arrived(2.0, 2),
        Rejected(2.0, 2, 503, "no backend is available", "web", ()),
    )
    assert (no_route.status, no_route.pool, no_route.attempts) == (404, None, ())
    assert (nobody.status, nobody.pool, nobody.because) == (503, "web", "no backend is available")


def test_what_never_became_a_request_is_an_entry_without_one() -> None:
    (entry,) = entries(Refused(1.0, "front", "10.0.0.7", 431, "too many fields"))
    assert (entry.status, entry.client, entry.listener, entry.because) == (431, "10.0.0.7", "front", "too many fields")
    assert (entry.request, entry.method, entry.path, entry.pool, entry.attempts) == (0, "", "", None, ())


def test_an_answer_that_a_route_gives_is_an_entry_without_a_pool() -> None:
    (entry,) = entries(arrived(1.0, 1, "/old"), Answered(1.0, 1, 301, "the route /old redirects"))
    assert (entry.status, entry.pool, entry.attempts) == (301, None, ())
    assert entry.because == "the route /old redirects"


def test_requests_that_overlap_are_told_in_the_order_in_which_they_end() -> None:
    told = entries(
        arrived(1.0, 1, "/slow"),
        arrived(1.1, 2, "/fast"),
        finished(1.2, 2, "b", "answered 200", 0.1),
        finished(1.9, 1, "a", "answered 200", 0.9),
    )
    assert [(entry.path, entry.attempts[0].backend) for entry in told] == [("/fast", "b"), ("/slow", "a")]


def test_nothing_is_kept_of_requests_that_are_over() -> None:
    log = AccessLog(time=str)
    for request in range(100):
        log.take(arrived(1.0, request))
        log.take(finished(1.1, request, "b", "connection refused", 0.1, final=False))
        log.take(finished(1.2, request, "a", "answered 200", 0.1))
    assert repr(log) == "<AccessLog 0 under way>"


def test_after_a_gap_no_entry_is_half_true() -> None:
    told = entries(
        arrived(1.0, 1),
        finished(1.1, 1, "b", "connection refused", 0.1, final=False),
        Missed(2.0, 5),
        finished(2.1, 1, "a", "answered 200", 1.0),
        arrived(3.0, 2),
        finished(3.1, 2, "a", "answered 200", 0.1),
    )
    assert [(entry.time, len(entry.attempts)) for entry in told] == [("at 3.000", 1)]


def test_durations_are_written_to_the_microsecond() -> None:
    (entry,) = entries(arrived(0.1, 1), finished(0.3, 1, "a", "answered 200", 0.1 + 0.2 - 0.1))
    assert b'"took":0.2,' in msgspec.json.encode(entry)
    assert b'"took":0.2}' in msgspec.json.encode(entry)


def test_the_time_in_a_queue_is_told_with_the_attempt_that_it_was_for() -> None:
    (entry,) = entries(
        arrived(1.0, 1),
        Queued(1.0, 1, "web", 1, 3.0, "all are full"),
        picked(1.5, 1, "a"),
        finished(1.6, 1, "a", "answered 200", 0.1),
    )
    assert entry.attempts == (Attempt("a", "answered 200", 0.1, waited=0.5),)
    assert entry.took == 0.6


def test_a_try_that_backs_off_and_then_has_to_queue_has_waited_once() -> None:
    (entry,) = entries(
        arrived(1.0, 1),
        picked(1.0, 1, "b"),
        finished(1.1, 1, "b", "connection refused", 0.1, final=False),
        BackedOff(1.1, 1, "web", 2, 1.2),
        Queued(1.2, 1, "web", 1, 3.0, "all are full"),
        picked(1.4, 1, "a", attempt=2, because="retry"),
        finished(1.5, 1, "a", "answered 200", 0.1),
    )
    assert [(attempt.backend, attempt.waited) for attempt in entry.attempts] == [("b", 0.0), ("a", 0.3)]


def test_who_came_back_to_its_own_backend_is_told_and_others_are_not() -> None:
    told = entries(
        arrived(1.0, 1),
        picked(1.0, 1, "a", because="sticky"),
        finished(1.1, 1, "a", "answered 200", 0.1),
        arrived(2.0, 2),
        picked(2.0, 2, "a"),
        finished(2.1, 2, "a", "answered 200", 0.1),
    )
    assert [entry.attempts[0].sticky for entry in told] == [True, False]
    assert [b"sticky" in msgspec.json.encode(entry) for entry in told] == [True, False]


def test_what_stickiness_had_to_say_and_the_name_a_tls_client_asked_for_are_told_where_there_are_any() -> None:
    came = replace(arrived(1.0, 1), sni="shop.example")
    pick = replace(picked(1.0, 1, "a"), affinity="cookie SRV names b, which is down: balanced anew")
    told, plain = entries(
        *(came, pick, finished(1.1, 1, "a", "answered 200", 0.1)),
        *(arrived(2.0, 2), picked(2.0, 2, "a"), finished(2.1, 2, "a", "answered 200", 0.1)),
    )
    assert (told.sni, told.attempts[0].affinity) == ("shop.example", pick.affinity)
    assert not any(word in msgspec.json.encode(plain) for word in (b"sni", b"affinity"))


def test_why_nothing_more_was_tried_is_part_of_the_reason() -> None:
    end = Finished(1.1, 1, 1, "web", "a", "connection refused", 502, 0.1, False, True, "1 of 1 tries made")
    (entry,) = entries(arrived(1.0, 1), end)
    assert entry.because == "connection refused; 1 of 1 tries made"


def test_the_record_of_a_pick_is_not_asked_for() -> None:
    assert Why not in KINDS


# -- the file ---------------------------------------------------------------------------------------------------------


def paths(file: Path) -> list[str]:
    return [msgspec.json.decode(line)["path"] for line in file.read_text().splitlines()]


def ends(request: int, path: str) -> list[Event]:
    return [arrived(1.0, request, path), finished(1.1, request, "a", "answered 200", 0.1)]


def test_entries_are_appended_and_a_batch_without_an_end_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "access.jsonl"
    for request, path in ((1, "/one"), (2, "/two")):
        with AccessFile(str(file), str) as log:
            log.take([arrived(1.0, 9)])
            log.take(ends(request, path))
    assert paths(file) == ["/one", "/two"]


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    file, moved = tmp_path / "access.jsonl", tmp_path / "access.jsonl.1"
    with AccessFile(str(file), str) as log:
        log.take(ends(1, "/one"))
        file.rename(moved)
        log.take(ends(2, "/two"))
        log.reopen()
        log.take(ends(3, "/three"))
    assert paths(moved) == ["/one", "/two"]
    assert paths(file) == ["/three"]


def test_a_request_under_way_is_not_forgotten_when_the_file_is_opened_anew(tmp_path: Path) -> None:
    file = tmp_path / "access.jsonl"
    arrival, end = ends(1, "/one")
    with AccessFile(str(file), str) as log:
        log.take([arrival])
        log.reopen()
        log.take([end])
    assert paths(file) == ["/one"]


def test_a_file_that_cannot_be_opened_anew_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    folder, gone = tmp_path / "logs", tmp_path / "gone"
    folder.mkdir()
    with AccessFile(str(folder / "access.jsonl"), str) as log:
        folder.rename(gone)
        with pytest.raises(EnvironmentFault, match=r"cannot write the access log .*No such file"):
            log.reopen()
        log.take(ends(1, "/one"))
    assert paths(gone / "access.jsonl") == ["/one"]
