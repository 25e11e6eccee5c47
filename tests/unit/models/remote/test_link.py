"""One worker comes and goes: when it is looked at again, and what the log says of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest

from photoramd.clock import Monotonic, UnixTime
from photoramd.models.remote.failures import Kind, LostPicturesError, WorkerError
from photoramd.models.remote.link import LONGEST_PAUSE_SECONDS, Link
from photoramd.models.remote.protocol import Identity, ModelAnswer

URL = "https://desktop.lan:8443"

OFF = WorkerError(Kind.UNREACHABLE, "it cannot be reached (refused)", "start it")
LATE = WorkerError(Kind.UNREACHABLE, "it does not answer within 30 seconds", "start it")
NO_MODEL = WorkerError(Kind.NO_MODEL, "no model is loaded now")
BUSY = WorkerError(Kind.BUSY, "too much is asked for at once")
OTHER = WorkerError(Kind.OTHER_MODEL, "the worker has the revision a, this needs b", "the same")
ODD = WorkerError(Kind.ANSWER, "its answer has scores that are no probabilities")

WELL = ModelAnswer(
    identity=Identity(protocol=1, model="m", revision="r", columns="c"),
    version="1", device="cuda: a GPU", at_once=1,
)  # fmt: skip


def wall(seconds: float) -> UnixTime:
    return UnixTime(1e9 + seconds)


def at(seconds: float) -> Monotonic:
    return Monotonic(seconds)


@pytest.fixture
def link() -> Link:
    return Link(URL, at(0), wall(0))


class Lines(logging.Handler):
    """The lines of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("photoramd.models.remote.link"), Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def look(link: Link, now: float, answer: ModelAnswer | WorkerError, takes: float = 0) -> None:
    """Look at a worker when it is due."""
    assert link.probe_due() <= now
    link.begin_probe(at(now))
    assert link.probe_due() == float("inf")  # not twice at a time
    if isinstance(answer, WorkerError):
        link.missed(answer, at(now + takes), wall(now + takes))
    else:
        link.found(answer, at(now + takes), wall(now + takes))


def away(link: Link, begin: float, end: float, error: WorkerError = OFF) -> list[float]:
    """Look at a worker whenever it is due; returns when."""
    looks = []
    while (due := link.probe_due()) < end:
        looks.append(max(due, begin))
        look(link, looks[-1], error)
    return looks


def test_it_is_looked_at_at_once(link: Link, lines: list[str]) -> None:
    assert link.probe_due() == 0
    assert not link.is_known
    look(link, 0, WELL)
    assert link.is_available
    assert link.state.is_available
    assert lines == [f"The worker {URL} is available: cuda: a GPU, photoramd 1"]


def test_a_night_offline_is_one_line_and_few_looks(link: Link, lines: list[str]) -> None:
    looks = away(link, 0, 10 * 3600)
    assert len(lines) == 1
    assert "not available: it cannot be reached (refused); start it" in lines[0]
    assert len(looks) < 150
    assert looks[1] - looks[0] == 1
    assert max(b - a for a, b in pairwise(looks)) == pytest.approx(LONGEST_PAUSE_SECONDS)
    assert link.state.since == wall(0)


@pytest.mark.parametrize("outage", [1, 5, 30, 60, 180])
def test_it_is_found_soon_after_it_is_back(link: Link, outage: float) -> None:
    look(link, 0, WELL)
    link.failed(OFF, at(100_000), wall(100_000))  # after a day of rest
    away(link, 100_000, 100_000 + outage)
    assert link.probe_due() - 100_000 - outage <= 15


def test_looks_that_take_long_do_not_add_to_the_pause(link: Link) -> None:
    away(link, 0, 120)
    due = link.probe_due()
    link.begin_probe(due)
    link.missed(LATE, at(due + 5), wall(due + 5))
    assert link.probe_due() - due == pytest.approx(due / 12)


def test_each_change_is_a_line_and_another_wording_is_none(link: Link, lines: list[str]) -> None:
    look(link, 0, WELL)
    link.failed(OFF, at(10), wall(10))
    look(link, 11, LATE)
    look(link, 20, OFF)
    assert link.state.reason == OFF.reason
    assert link.state.since == wall(10)
    look(link, 30, OTHER)  # which needs somebody
    look(link, 40, OFF)
    look(link, 50, OTHER)
    look(link, 60, WELL)
    assert [" is available" in line for line in lines] == [True, False, False, True]
    assert OTHER.reason in lines[2]


def test_requests_that_fail_together_are_one_failure(link: Link, lines: list[str]) -> None:
    look(link, 0, WELL)
    link.failed(OFF, at(10), wall(10))
    link.failed(LATE, at(30), wall(30))
    assert link.state.reason == OFF.reason
    assert len(lines) == 2


def test_one_that_only_looks_well_is_said_once_and_asked_less_and_less(
    link: Link, lines: list[str]
) -> None:
    now, asked = 0.0, 0
    look(link, now, WELL)
    while now < 10 * 3600:
        now += 0.5
        link.failed(ODD, at(now), wall(now))
        asked += 1
        now = link.probe_due()
        look(link, now, WELL)
        assert link.is_available  # it gets another try
    assert len(lines) == 4
    assert not link.state.is_available
    assert link.state.reason == ODD.reason
    assert "the next photo shows" in link.state.remedy
    assert asked < 150
    link.answered(at(now), wall(now))
    assert link.state.is_available
    assert len(lines) == 5
    link.failed(OFF, at(now + 1), wall(now + 1))
    assert link.probe_due() == pytest.approx(now + 16)  # one answer is no recovery


def test_one_that_answers_now_and_then_does_not_fill_the_log(link: Link, lines: list[str]) -> None:
    now, asked = 0.0, 0
    look(link, now, WELL)
    while now < 3600:
        link.answered(at(now), wall(now))
        link.failed(ODD, at(now), wall(now))
        asked += 1
        now = link.probe_due()
        look(link, now, WELL)
    assert asked < 300
    assert len(lines) == 3
    assert link.state.is_available
    # Well for a minute, it has recovered: what comes then is told, and does not last long.
    link.answered(at(now + 61), wall(now + 61))
    link.failed(ODD, at(now + 70), wall(now + 70))
    assert link.probe_due() == now + 71
    assert len(lines) == 4


def test_the_last_line_is_not_that_it_is_well_when_it_is_not(link: Link, lines: list[str]) -> None:
    look(link, 0, WELL)
    link.failed(OFF, at(100), wall(100))
    look(link, 101, WELL)
    link.failed(OFF, at(110), wall(110))  # known already
    assert [" is available" in line for line in lines] == [True, False, True]
    away(link, 110, 1000)
    assert [" is available" in line for line in lines] == [True, False, True, False]


@pytest.mark.parametrize("error", [NO_MODEL, LostPicturesError(Kind.NO_MODEL, "lost")])
def test_one_without_a_model_for_a_moment_is_no_line(
    link: Link, lines: list[str], error: WorkerError
) -> None:
    look(link, 0, WELL)
    link.failed(error, at(10), wall(10))
    assert not link.is_available
    assert link.state.is_available
    look(link, 11, WELL)
    assert link.is_available
    assert len(lines) == 1


def test_one_that_is_found_without_a_model_is_a_line(link: Link, lines: list[str]) -> None:
    look(link, 0, WELL)
    link.failed(NO_MODEL, at(10), wall(10))
    look(link, 11, NO_MODEL)
    assert not link.state.is_available
    assert len(lines) == 2


def test_one_that_never_has_a_model_when_asked_for_scores_is_a_line(
    link: Link, lines: list[str]
) -> None:
    now = 0.0
    look(link, now, WELL)
    while now < 100:
        link.failed(NO_MODEL, at(now), wall(now))
        now = link.probe_due()
        look(link, now, WELL)
    assert len(lines) == 2
    assert not link.state.is_available


def test_one_that_is_busy_gets_less_at_a_time_and_stays(link: Link, lines: list[str]) -> None:
    link.found(msgspec.structs.replace(WELL, at_once=3), at(0), wall(0))
    assert link.places == 4
    link.in_flight = 2  # of three, as one was refused
    link.failed(BUSY, at(10), wall(10))
    assert link.is_available
    assert link.places == 2
    link.in_flight = 1
    assert not link.has_place(at(10.5))
    assert link.place_due(at(10.5)) == 0.5
    assert link.has_place(at(11))
    assert link.place_due(at(11)) == float("inf")
    link.in_flight = 0
    link.failed(BUSY, at(12), wall(12))
    assert link.places == 1
    assert len(lines) == 1
    # More again, with time.
    link.answered(at(13), wall(13))
    assert link.places == 1
    for minute in range(1, 6):
        link.answered(at(13 + 61 * minute), wall(13 + 61 * minute))
    assert link.places == 4


def test_one_that_is_busy_for_long_is_away(link: Link, lines: list[str]) -> None:
    look(link, 0, WELL)
    for second in range(61):
        link.failed(BUSY, at(second), wall(second))
        assert link.is_available
    link.failed(BUSY, at(62), wall(62))
    assert not link.is_available
    assert not link.state.is_available
    assert len(lines) == 2
    look(link, 63, WELL)
    link.failed(BUSY, at(64), wall(64))
    assert not link.is_available
    look(link, 65, WELL)
    link.answered(at(66), wall(66))
    link.failed(BUSY, at(67), wall(67))
    assert link.is_available


def test_one_that_was_busy_hours_ago_is_not_busy_for_long(link: Link) -> None:
    look(link, 0, WELL)
    link.failed(BUSY, at(10), wall(10))
    link.failed(BUSY, at(30_000), wall(30_000))  # no photo came meanwhile
    assert link.is_available


def test_one_that_went_away_while_busy_may_be_busy_again(link: Link) -> None:
    look(link, 0, WELL)
    for second in range(50):
        link.failed(BUSY, at(second), wall(second))
    link.failed(OFF, at(50), wall(50))
    look(link, 60, WELL)
    link.failed(BUSY, at(65), wall(65))
    assert link.is_available


def test_an_answer_that_comes_in_drops_is_late(link: Link) -> None:
    look(link, 0, WELL)
    end = link.late.expect(at(30))
    other = link.late.expect(at(50))
    assert not link.late.take_late(at(39))
    assert link.deadline() == 40
    assert link.late.take_late(at(40))
    assert not link.late.take_late(at(41))
    other()
    end()
    assert link.deadline() == float("inf")


def test_many_models_have_many_places(link: Link) -> None:
    for at_once, places in ((1, 2), (2, 3), (8, 9), (1000, 16)):
        answer = ModelAnswer(identity=WELL.identity, version="1", device="", at_once=at_once)
        link.found(answer, at(0), wall(0))
        assert link.places == places


def test_who_never_was_there_or_is_away_for_minutes_is_not_waited_for(link: Link) -> None:
    assert not link.is_hopeless(at(1))  # nobody has looked
    look(link, 0, OFF)
    assert link.is_hopeless(at(1))
    look(link, 1, WELL)
    assert not link.is_hopeless(at(1000))
    link.failed(OFF, at(1000), wall(1000))
    look(link, 1001, OFF)
    assert not link.is_hopeless(at(1299))
    assert link.is_hopeless(at(1301))
