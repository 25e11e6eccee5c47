"""Metrics: valid for strict readers whatever directories are called, and what the rows say."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from sqlite_utils import Database as Migrated
from sqlite_utils import Migrations

from photoramd.clock import UnixTime
from photoramd.database import migrations
from photoramd.database.connection import APPLICATION_ID, Database
from photoramd.database.figures import Figures, store
from photoramd.database.health import Health, RootState
from photoramd.database.queue import Queue
from photoramd.database.roots import HealthStore
from photoramd.errors import StoreError
from photoramd.photo import Fingerprint, Photo, PhotoState
from photoramd.search import metrics, queries
from photoramd.search.metrics import METRICS, StatusCollector, exposition
from tests.support.known_photos import NOW, ROOT, fill

FIGURES = Figures(
    process=1, started_at=UnixTime(NOW - 60), model="embedded", revision="7", written=12,
    not_written=2, failed=3, undone=1, inferred=9, inference_seconds=0.5, workers_started=4,
    workers_lost=2,
)  # fmt: skip

ODD = [
    b'/photos/"quoted"',
    b"/photos/new\nline",
    b"/photos/\xe9",
    rb"/photos/\xe9",
    b"/photos/back\\",
    b"/photos/return\r\x0b\x0c\x1c\x85",
    "/photos/ä\u2028\u202e{}#, =".encode(),
]

Values = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def connection(database: Database) -> Iterator[sqlite3.Connection]:
    with closing(queries.open_readonly(database.path)) as opened:
        yield opened


def values(text: bytes) -> Values:
    """All samples by name and values of labels, in the order of their names."""
    found: Values = {}
    for family in text_string_to_metric_families(text.decode("utf-8")):
        for sample in family.samples:
            key = (sample.name, tuple(value for _, value in sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def alone(found: Values, name: str) -> float:
    return found[name, ()]


def test_photos_are_counted_as_the_rows_say(
    database: Database, connection: sqlite3.Connection
) -> None:
    fill(database)
    found = values(exposition(connection))
    rows = dict(database.rows("SELECT state, count(*) FROM photos GROUP BY state"))
    assert len(rows) == 5
    for state in PhotoState:
        assert found["photoramd_photos", (state,)] == rows[state]
    assert alone(found, "photoramd_photos_to_read") == queries.to_read(connection)


def test_the_queue_is_as_old_as_the_oldest_photo_of_a_watched_directory(
    database: Database, connection: sqlite3.Connection
) -> None:
    name = "photoramd_queue_oldest_timestamp_seconds"
    assert not any(key[0] == name for key in values(exposition(connection)))
    queue = Queue(database)
    for number, directory in enumerate(("/left", "/photos", "/photos")):
        photo = Photo(Path(directory, f"{number}.jpg"), Fingerprint(1, 1, 1, number))
        queue.enqueue([photo], UnixTime(NOW + number))
    queue.leave_out(lambda directory: directory == "/photos")
    found = values(exposition(connection))
    assert found[name, ("pending",)] == NOW + 1
    assert (name, ("tagged",)) not in found
    queue.hold("/photos", UnixTime(NOW + 1e6))  # it is offline, and they wait all the same
    assert values(exposition(connection)) == found


def test_the_pace_is_that_of_the_last_minutes(
    database: Database, connection: sqlite3.Connection
) -> None:
    def pace(now: float) -> float:
        found = values(exposition(connection, now=lambda: UnixTime(now)))
        return alone(found, "photoramd_photos_per_minute")

    assert pace(NOW) == 0
    photos = [Photo(ROOT / f"{n}.jpg", Fingerprint(1, 1, 1, n)) for n in range(30)]
    Queue(database).enqueue(photos, NOW)
    with database.transaction() as db:
        db.execute("UPDATE photos SET tagged_at = ? + id", (NOW,))
    assert pace(NOW + 61) == pytest.approx(30, rel=0.05)
    assert pace(NOW + 1000) == 0


def test_directories_have_one_health_each(
    database: Database, connection: sqlite3.Connection
) -> None:
    fill(database)
    found = values(exposition(connection))
    healths = {health: found["photoramd_root_health", (health, str(ROOT))] for health in RootState}
    assert healths == {"online": 0, "degraded": 1, "offline": 0}
    assert found["photoramd_root_health_timestamp_seconds", (str(ROOT),)] == NOW
    assert ("photoramd_root_last_scan_timestamp_seconds", (str(ROOT),)) not in found
    HealthStore(database, [str(ROOT)]).record_scan(str(ROOT), UnixTime(NOW + 5), 3)
    found = values(exposition(connection))
    assert found["photoramd_root_last_scan_timestamp_seconds", (str(ROOT),)] == NOW + 5
    assert found["photoramd_root_raw_left_out", (str(ROOT),)] == 3


def test_figures_are_those_that_were_stored(
    database: Database, connection: sqlite3.Connection
) -> None:
    store(database, replace(FIGURES, written=1), NOW)
    store(database, FIGURES, UnixTime(NOW + 1))
    found = values(exposition(connection))
    assert found["photoramd_model_info", ("embedded", "7")] == 1
    for outcome in ("written", "not_written", "failed", "undone"):
        assert found["photoramd_photos_done_total", (outcome,)] == getattr(FIGURES, outcome)
    expected = {
        "start_time_seconds": NOW - 60, "figures_timestamp_seconds": NOW + 1, "model_available": 1,
        "inferences_total": 9, "inference_seconds_total": 0.5, "workers_started_total": 4,
        "workers_lost_total": 2,
    }  # fmt: skip
    assert {name: alone(found, f"photoramd_{name}") for name in expected} == expected


def test_only_the_process_that_stored_the_figures_is_up(
    database: Database, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    def up(path: Path | None = None) -> float:
        return alone(values(exposition(connection, path)), "photoramd_up")

    assert up() == 0  # this process has the database, as a scan may, and is no daemon
    store(database, FIGURES, NOW)
    assert up() == 0
    store(database, replace(FIGURES, process=os.getpid()), NOW)
    assert up() == up(database.path) == 1
    assert up(tmp_path / "other.db") == 0


def test_a_database_that_is_found_by_a_link_or_an_odd_name_is_up(tmp_path: Path) -> None:
    own = replace(FIGURES, process=os.getpid())
    for name in (b"\xe9.db", b"a b%20?.db"):
        with Database(tmp_path / os.fsdecode(name)) as database:
            store(database, own, NOW)
            with closing(queries.open_readonly(database.path)) as connection:
                assert alone(values(exposition(connection)), "photoramd_up") == 1
    link = tmp_path / "link.db"
    link.symlink_to(database.path)
    with Database(link) as linked, closing(queries.open_readonly(link)) as connection:
        store(linked, own, NOW)
        assert alone(values(exposition(connection, link)), "photoramd_up") == 1


def test_odd_paths_become_labels_that_strict_readers_take(
    database: Database, connection: sqlite3.Connection
) -> None:
    paths = [os.fsdecode(path) for path in ODD]
    health = HealthStore(database, paths)
    for number, path in enumerate(paths):
        health.record(path, Health(RootState.ONLINE, 'a\n"reason"', "x"), UnixTime(NOW + number))
    text = exposition(connection)
    since = {
        labels[0]: value
        for (name, labels), value in values(text).items()
        if name == "photoramd_root_health_timestamp_seconds"
    }
    assert sorted(since.values()) == [NOW + number for number in range(len(ODD))]
    assert {'/photos/"quoted"', r"/photos/new\nline", r"/photos/\xe9"} <= since.keys()
    assert "reason" not in text.decode()
    assert b"\r" not in text


def test_openmetrics_takes_them_too(database: Database, connection: sqlite3.Connection) -> None:
    fill(database)
    store(database, FIGURES, NOW)
    registry = CollectorRegistry()
    registry.register(StatusCollector(connection))
    text = openmetrics.generate_latest(registry).decode()
    families = list(openmetrics_parser.text_string_to_metric_families(text))
    assert len(families) == len(METRICS)
    samples = {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    assert samples == values(exposition(connection))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: metrics.Metric) -> None:
    """What `promtool check metrics` looks at, and the labels in addition."""
    assert re.fullmatch(r"photoramd(_[a-z]+)+", metric.name)
    assert metric.meaning.endswith(".")
    assert not re.search(r"minutes|hours|days|milli|micro|_ms|_bytes?_|kilo|mega", metric.name)
    assert ("seconds" in metric.name) <= bool(re.search(r"_seconds(_total)?$", metric.name))
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_gauge", "_counter"))
    assert set(metric.labels) <= {"state", "root", "health", "outcome", "model", "revision"} | {
        "version", "worker",
    }  # fmt: skip


def test_every_metric_has_a_help_text_and_a_type(connection: sqlite3.Connection) -> None:
    lines = exposition(connection).decode().splitlines()
    for metric in METRICS:
        kind = "counter" if metric.is_counter else "gauge"
        assert f"# HELP {metric.name} {metric.meaning}" in lines
        assert f"# TYPE {metric.name} {kind}" in lines


@pytest.mark.parametrize("steps", range(4, len(migrations.STEPS) + 1))
def test_a_database_of_an_earlier_version_is_told_of(steps: int, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        earlier = Migrations("photoramd")
        for step in migrations.STEPS[:steps]:
            earlier()(step)
        earlier.apply(Migrated(db))
    with closing(queries.open_readonly(path)) as connection:
        found = values(exposition(connection))
    assert alone(found, "photoramd_up") == 0
    assert found["photoramd_photos", ("written",)] == 0


def test_a_database_that_cannot_answer_is_an_error_of_ours(
    database: Database, connection: sqlite3.Connection
) -> None:
    with database.transaction() as db:
        db.execute("DROP VIEW photo_list")
        db.execute("ALTER TABLE roots RENAME TO gone")
    with pytest.raises(StoreError, match="cannot read"):
        exposition(connection)
    assert not connection.in_transaction


def test_the_queue_is_asked_by_its_index(database: Database) -> None:
    with database.transaction() as db:
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        metrics._oldest(db)
        db.set_trace_callback(None)
        plans = [
            row[3]
            for sql in asked
            if "found_at" in sql
            for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")
        ]
    expected = "SEARCH photos USING COVERING INDEX photos_queue (state=?)"
    assert plans == [expected, expected]
