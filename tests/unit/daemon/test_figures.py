"""Figures are stored when they change, and not too often; time is a parameter."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from photoramd.clock import Monotonic, UnixTime
from photoramd.contained.client import Contained
from photoramd.daemon.figures import STORE_SECONDS, FigureKeeper
from photoramd.database.connection import Database
from photoramd.database.figures import Figures, stored
from photoramd.errors import StoreError
from photoramd.models.tagger import Tagger
from photoramd.photo import PhotoState
from photoramd.pipeline.inference import BatchSizer
from photoramd.pipeline.pipeline import Outcome

WALL = UnixTime(1e9)


@pytest.fixture
def pace() -> BatchSizer:
    return BatchSizer()


@pytest.fixture
def keeper(database: Database, embedded_tagger: Tagger, pace: BatchSizer) -> Iterator[FigureKeeper]:
    with Contained() as contained:
        yield FigureKeeper(database, embedded_tagger, pace, contained)


def at(seconds: float) -> dict[str, Any]:
    return {"now": Monotonic(seconds), "wall": UnixTime(WALL + seconds)}


def outcomes(*states: PhotoState, is_undone: bool = False) -> list[Outcome]:
    return [Outcome(Path("/a.jpg"), state, is_undone=is_undone) for state in states]


def told(database: Database) -> tuple[Figures, UnixTime]:
    with closing(sqlite3.connect(database.path)) as connection:
        found = stored(connection)
        assert found is not None
        return found


def changes(database: Database) -> int:
    with database.transaction() as db:
        return db.total_changes


def test_there_are_none_before_the_daemon_watches(database: Database, keeper: FigureKeeper) -> None:
    keeper.close(WALL)
    with closing(sqlite3.connect(database.path)) as connection:
        assert stored(connection) is None


def test_the_first_ones_are_stored_at_once(
    database: Database, keeper: FigureKeeper, embedded_tagger: Tagger
) -> None:
    keeper.step([], **at(0))
    figures, when = told(database)
    assert (figures.model, figures.revision) == (embedded_tagger.name, embedded_tagger.revision)
    assert figures.started_at == when == WALL
    assert figures.written == figures.inferred == figures.workers_started == 0
    assert figures.is_model_available


def test_outcomes_are_counted_by_what_became_of_photos(
    database: Database, keeper: FigureKeeper
) -> None:
    keeper.step([], **at(0))
    written, tagged, failed, pending = (
        PhotoState.WRITTEN, PhotoState.TAGGED, PhotoState.FAILED, PhotoState.PENDING,
    )  # fmt: skip
    keeper.step(outcomes(written, written, tagged, failed, failed, failed, pending), **at(1))
    keeper.step(outcomes(written, is_undone=True), **at(2))
    keeper.close(UnixTime(WALL + 3))
    figures, when = told(database)
    counts = (figures.written, figures.not_written, figures.failed, figures.undone)
    assert counts == (2, 1, 3, 1)
    assert when == WALL + 3
    assert figures.started_at == WALL


def test_they_are_stored_at_most_every_15_seconds_and_the_last_ones_too(
    database: Database, keeper: FigureKeeper, pace: BatchSizer
) -> None:
    keeper.step([], **at(0))
    for second in range(1, 15):
        pace.learn(2, 0.25)
        keeper.step(outcomes(PhotoState.WRITTEN), **at(second))
        assert told(database)[0].written == 0
    keeper.step([], **at(STORE_SECONDS))
    figures, _ = told(database)
    assert (figures.written, figures.inferred, figures.inference_seconds) == (14, 28, 3.5)
    keeper.step(outcomes(PhotoState.WRITTEN), **at(STORE_SECONDS + 1))
    assert told(database)[0].written == 14
    keeper.step([], **at(2 * STORE_SECONDS))
    assert told(database)[0].written == 15


def test_nothing_is_written_while_nothing_changes(database: Database, keeper: FigureKeeper) -> None:
    keeper.step([], **at(0))
    before = changes(database)
    for minute in range(1, 1000):
        keeper.step([], **at(60 * minute))
    keeper.close(UnixTime(WALL + 1e6))
    assert changes(database) == before
    assert told(database)[1] == WALL


def test_a_change_after_a_long_rest_is_stored_at_once(
    database: Database, keeper: FigureKeeper
) -> None:
    keeper.step([], **at(0))
    keeper.step([], **at(1000))
    keeper.step(outcomes(PhotoState.WRITTEN), **at(1000.5))
    assert told(database)[0].written == 1


def test_the_next_daemon_begins_anew(
    database: Database, keeper: FigureKeeper, embedded_tagger: Tagger
) -> None:
    keeper.step(outcomes(PhotoState.WRITTEN), **at(0))
    assert told(database)[0].written == 1
    with Contained() as contained:
        FigureKeeper(database, embedded_tagger, BatchSizer(), contained).step([], **at(100))
    figures, _ = told(database)
    assert figures.written == 0
    assert figures.started_at == WALL + 100


def test_a_database_that_fails_is_told_in_time_and_not_at_the_end(
    database: Database, keeper: FigureKeeper
) -> None:
    with database.transaction() as db:
        db.execute("DROP TABLE figures")
    with pytest.raises(StoreError):
        keeper.step([], **at(0))
    keeper.close(WALL)
