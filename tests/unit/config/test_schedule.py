from __future__ import annotations

from datetime import datetime

from photoramd.config.schedule import ALWAYS, Schedule


def at(text: str) -> float:
    return datetime.fromisoformat(f"2026-01-15 {text}").timestamp()


def test_without_spans_it_is_always_open_and_never_changes() -> None:
    assert ALWAYS.is_open(at("03:00"))
    assert ALWAYS.next_change(at("03:00")) == float("inf")


def test_a_span_is_open_from_its_beginning_up_to_its_end() -> None:
    schedule = Schedule.parse(["09:00-17:30"])
    assert [schedule.is_open(at(t)) for t in ("08:59:59", "09:00", "17:29:59", "17:30")] == [
        False,
        True,
        True,
        False,
    ]


def test_a_span_may_go_over_midnight() -> None:
    schedule = Schedule.parse(["22:00-07:00"])
    assert [schedule.is_open(at(t)) for t in ("21:59", "22:00", "00:00", "06:59", "07:00")] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_span_that_ends_where_it_begins_is_the_whole_day() -> None:
    schedule = Schedule.parse(["06:00-06:00"])
    assert all(schedule.is_open(at(t)) for t in ("00:00", "05:59", "06:00", "23:59"))


def test_several_spans_are_open_together() -> None:
    schedule = Schedule.parse(["22:00-07:00", "12:00-13:00"])
    assert [schedule.is_open(at(t)) for t in ("12:30", "13:00", "23:00")] == [True, False, True]


def test_the_next_change_is_today_or_tomorrow() -> None:
    schedule = Schedule.parse(["22:00-07:00"])
    assert schedule.next_change(at("12:00")) == at("22:00")
    assert schedule.next_change(at("03:00")) == at("07:00")
    assert schedule.next_change(at("23:00")) == at("07:00") + 86_400
