"""Sessions and wrong tokens, as time goes by."""

from __future__ import annotations

from photoramd.clock import Monotonic
from photoramd.web import access
from photoramd.web.access import MOST_FAILURES, PERIOD_SECONDS, SESSION_SECONDS, Failures, Sessions

NOW = Monotonic(1000.0)


def later(seconds: float) -> Monotonic:
    return Monotonic(NOW + seconds)


def test_a_session_lasts_while_it_is_used() -> None:
    sessions = Sessions()
    number = sessions.begin(NOW)
    assert len(number) >= 43
    assert sessions.has(number, later(SESSION_SECONDS - 1))
    assert sessions.has(number, later(2 * SESSION_SECONDS - 2))
    assert not sessions.has(number, later(3 * SESSION_SECONDS))
    assert not sessions.has(number, NOW)


def test_a_session_ends_when_it_is_ended() -> None:
    sessions = Sessions()
    one, other = sessions.begin(NOW), sessions.begin(NOW)
    sessions.end(one)
    sessions.end("unknown")
    assert not sessions.has(one, NOW)
    assert sessions.has(other, NOW)
    assert not sessions.has("", NOW)
    assert not sessions.has("\udcff", NOW)


def test_sessions_are_bounded_and_the_one_that_was_not_used_for_longest_goes() -> None:
    sessions = Sessions()
    first, second = sessions.begin(NOW), sessions.begin(NOW)
    assert sessions.has(first, NOW)
    for _ in range(access._MOST_SESSIONS - 1):
        sessions.begin(NOW)
    assert sessions.has(first, NOW)
    assert not sessions.has(second, NOW)


def test_an_address_with_many_failures_waits_and_others_do_not() -> None:
    failures = Failures()
    for number in range(MOST_FAILURES):
        assert failures.seconds_to_wait("10.0.0.1", later(number)) == 0
        failures.note("10.0.0.1", later(number))
    assert failures.seconds_to_wait("10.0.0.1", later(10)) == PERIOD_SECONDS - 10
    assert failures.seconds_to_wait("10.0.0.2", later(10)) == 0
    assert failures.seconds_to_wait("10.0.0.1", later(PERIOD_SECONDS)) == 0


def test_a_host_has_a_whole_network_of_ipv6() -> None:
    failures = Failures()
    for number in range(MOST_FAILURES):
        failures.note(f"fd00::{number}", NOW)
    assert failures.seconds_to_wait("fd00::ffff", NOW) > 0
    assert failures.seconds_to_wait("fd00:0:0:1::1", NOW) == 0


def test_failures_are_bounded() -> None:
    failures = Failures()
    for number in range(2 * access._MOST_ADDRESSES):
        failures.note(f"10.0.{number >> 8}.{number & 255}", NOW)
    assert len(failures._times) == access._MOST_ADDRESSES
    for _ in range(100):
        failures.note("unix", NOW)
    assert len(failures._times["unix"]) == MOST_FAILURES
