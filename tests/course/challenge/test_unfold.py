"""A day as it unfolds: it tells what the tape, the world, the flow and the verdicts hold, and nothing else."""

from __future__ import annotations

import pytest

from lbtutor.course.challenge.design import find_design, load_design
from lbtutor.course.challenge.unfold import Day, clock, play_day, thousands


@pytest.fixture(scope="module")
def day() -> Day:
    return play_day(load_design(find_design("chapter")))


@pytest.mark.parametrize("second", [0, 61, 500, 1900, 3599])
def test_a_moment_tells_what_the_tape_holds_of_that_second(day: Day, second: int) -> None:
    moment, tape = day.moment(second), day.tape

    def at(name: str, fleet: str | None = None) -> float:
        return tape.series(name, fleet)[second]

    assert (moment.offered, moment.served) == (at("offered"), at("served"))
    assert moment.refused == at("shed") + at("shed_by_balancer")
    assert moment.failed == at("failed_before") + at("failed_after")
    assert moment.carts_lost == tape.total("carts_lost", between=(0, second + 1))
    assert [one.name for one in moment.services] == list(tape.fleets)
    for one in moment.services:
        assert (one.offered, one.served) == (at("offered", one.name), at("served", one.name))
        assert (one.instances, one.up) == (at("instances", one.name), at("up", one.name))
        assert one.busy == tape.utilisation(one.name)[second]


def test_before_and_after_the_day_its_first_and_last_second_are_shown(day: Day) -> None:
    assert day.moment(-5) == day.moment(0)
    assert day.moment(99_999).second == day.seconds - 1


def test_a_balancer_is_dead_from_its_crash_until_it_is_back(day: Day) -> None:
    (crash,) = [one for one in day.world.mishaps if one.balancer is not None]
    assert crash.lasts is not None
    assert crash.balancer is not None
    alive = [day.moment(second).balancers[crash.balancer] for second in range(day.seconds)]
    dead = [second for second, up in enumerate(alive) if not up]
    assert (dead[0], dead[-1]) == (int(crash.at), int(crash.at + crash.lasts) - 1)
    assert all(sum(day.moment(second).balancers) >= day.tape.balancers - 1 for second in (0, dead[0], 3599))


def test_every_requirement_that_broke_is_told_in_the_second_in_which_it_did(day: Day) -> None:
    told = [(one.second, one.says) for one in day.happenings if one.tone == "broken"]
    broke = [
        (int(one.first_broken_at), f"no longer true: {one.says}")
        for one in day.requirements
        if one.first_broken_at is not None
    ]
    assert sorted(told) == sorted(broke)
    assert len(broke) == 7


def test_mishaps_are_told_by_what_befalls_and_whom(day: Day) -> None:
    told = {one.says: (clock(one.second), one.tone) for one in day.happenings}
    assert told["a failure domain goes dark, with all products instances in it"] == ("1:00", "trouble")
    assert told["the failure domain of products is back"] == ("2:00", "repair")
    assert told["a deploy of users begins: a batch at a time, each drained for 300 s"] == ("3:00", "change")
    assert sum("instance hangs" in says for says in told) == 2
    assert sum("instance crashes" in says for says in told) == 2
    assert sum(says.startswith("balancer ") and says.endswith("dies") for says in told) == 1
    assert "products takes 1.25 times as long" in told


def test_a_deploy_that_the_hour_does_not_see_the_end_of_is_not_said_to_be_done(day: Day) -> None:
    assert not any("deploy" in one.says and one.tone == "repair" for one in day.happenings), "ten turns of 310 s"


def test_when_nobody_asks_the_dead_balancer_any_more_is_read_off_the_tape(day: Day) -> None:
    (told,) = [one for one in day.happenings if one.says.startswith("nobody asks the dead balancer")]
    lost = [sum(row) for row in zip(*(day.tape.at_balancer("failed", number) for number in range(3)), strict=True)]
    assert lost[told.second - 1] > 0
    assert lost[told.second] == 0


def test_one_can_go_from_happening_to_happening_to_the_end_and_back(day: Day) -> None:
    forwards = [0]
    while forwards[-1] < day.seconds - 1:
        forwards.append(day.next_after(forwards[-1]))
    seconds = sorted({one.second for one in day.happenings})
    assert forwards == [0, *seconds, day.seconds - 1]
    assert [day.last_before(second) for second in seconds[1:]] == seconds[:-1]
    assert day.last_before(0) == 0


def test_what_has_happened_grows_with_time_and_ends_whole(day: Day) -> None:
    assert day.until(59) == []
    assert [one.second for one in day.until(60)] == [60]
    assert day.until(day.seconds) == day.happenings


def test_what_progress_raises_ends_the_playing() -> None:
    told: list[float] = []

    def enough(share: float) -> None:
        told.append(share)
        if share > 0.04:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        play_day(load_design(find_design("chapter")), progress=enough)
    assert told == [pytest.approx(number / 60) for number in (1, 2, 3)]


def test_numbers_and_times_are_written_as_a_person_reads_them() -> None:
    assert (thousands(1_234_567.4), thousands(0), clock(0), clock(1801)) == ("1 234 567", "0", "0:00", "30:01")
