"""The second database: whatever befalls it costs only what is in it."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.features import Features, features_path, prune_features
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.database.vectors import StoredVectors
from photoramd.errors import StoreError
from photoramd.photo import Fingerprint, Photo

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))
ONE, TWO = (bytes([number]) * 64 for number in (1, 255))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return features_path(tmp_path / "photoramd.db")


@pytest.fixture
def features(path: Path) -> Iterator[Features]:
    with closing(Features(path, "1")) as opened:
        yield opened


def stored(path: Path, version: str = "1") -> dict[bytes, bytes]:
    """What another process reads."""
    with StoredVectors(path, version) as vectors:
        return {
            digest.tobytes(): vector.tobytes()
            for block in vectors.blocks()
            for digest, vector in zip(block.digests, block.vectors, strict=True)
        }


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno >= logging.WARNING]


def test_the_file_is_beside_the_database() -> None:
    assert features_path(Path("/a/photos.db")) == Path("/a/photos-similar.db")


def test_what_was_saved_is_read_beside_the_owner(path: Path, features: Features) -> None:
    features.save({A: ONE, B: ONE})
    features.save({B: TWO})
    assert stored(path) == {A: ONE, B: TWO}
    assert features.lacking([A, C]) == {C}
    with StoredVectors(path, "1") as vectors:
        found = vectors.find(B)
        assert found is not None
        assert found.dtype == np.int8
        assert found.tobytes() == TWO
        assert vectors.find(C) is None
        assert vectors.fetch([2, 99]).digests.tobytes() == B
        assert vectors.fetch([]).vectors.size == 0


def test_what_is_forgotten_is_gone(path: Path, features: Features) -> None:
    features.save({A: ONE, B: TWO})
    features.forget([A, C])
    assert stored(path) == {B: TWO}


def test_nothing_is_made_before_something_is_saved(path: Path, features: Features) -> None:
    features.save({})
    assert features.lacking([]) == set()
    assert not path.exists()
    with pytest.raises(StoreError, match="no similar photos"):
        StoredVectors(path, "1")


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=oct)
def test_all_files_are_the_owners_alone(path: Path, features: Features, umask: int) -> None:
    before = os.umask(umask)
    try:
        features.save({A: ONE})
    finally:
        os.umask(before)
    files = list(path.parent.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}


def test_another_version_begins_anew(path: Path, features: Features) -> None:
    features.save({A: ONE, B: ONE})
    features.close()
    with closing(Features(path, "2")) as newer:
        assert newer.lacking([A]) == {A}
        newer.save({B: TWO})
    assert stored(path, "2") == {B: TWO}
    with pytest.raises(StoreError, match="another version"):
        StoredVectors(path, "1")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def torn(path: Path) -> None:
    """The header stays, the tables do not."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))


@pytest.mark.parametrize("damage", [garbage, torn])
def test_who_reads_a_damaged_file_is_told_what_to_do(
    path: Path, features: Features, damage: Callable[[Path], None]
) -> None:
    features.save({A: ONE})
    features.close()
    damage(path)
    with pytest.raises(StoreError, match="cannot read what similar") as caught:
        stored(path)
    assert "remove it" in str(caught.value.remedy)


@pytest.mark.parametrize("damage", [garbage, torn])
def test_a_damaged_file_makes_room_for_a_new_one(
    path: Path,
    features: Features,
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    features.save({A: ONE})
    features.close()
    damage(path)
    features.save({B: TWO})
    features.save({C: TWO})
    assert stored(path) == {B: TWO, C: TWO}
    assert len(warnings(caplog)) == 1
    assert "a new one begins" in warnings(caplog)[0]
    assert [each for each in path.parent.iterdir() if ".damaged-" in each.name]


def test_a_file_that_is_removed_under_it_is_made_again(path: Path, features: Features) -> None:
    features.save({A: ONE})
    path.unlink()
    features.save({B: TWO})
    assert stored(path) == {B: TWO}


def test_another_programs_file_is_left_alone(
    path: Path, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    content = path.read_bytes()
    features.save({A: ONE})
    features.save({B: ONE})
    assert features.lacking([A]) == set()
    assert path.read_bytes() == content
    assert len(warnings(caplog)) == 1
    with pytest.raises(StoreError, match="no similar photos"):
        StoredVectors(path, "1")


def test_a_full_disk_is_told_once_and_costs_what_it_refused(
    path: Path, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    features.save({A: ONE})
    connection = features._opened()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    many = {number.to_bytes(16, "big"): ONE for number in range(2000)}
    for _ in range(3):
        # What SQLite says of it is the same as of a full disk. It is forgotten with the connection.
        features._opened().execute(f"PRAGMA max_page_count = {pages}")
        features.save(many)
    assert len(warnings(caplog)) == 1
    assert "full" in warnings(caplog)[0]
    assert stored(path) == {A: ONE}
    features.save({B: TWO})
    assert stored(path) == {A: ONE, B: TWO}


def test_a_file_that_another_process_holds_costs_only_what_is_new(
    path: Path,
    features: Features,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features.save({A: ONE})
    features.close()
    monkeypatch.setattr("photoramd.database.features._BUSY_SECONDS", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        features.save({B: ONE})
        other.execute("ROLLBACK")
    assert len(warnings(caplog)) == 1
    features.save({C: ONE})
    assert stored(path) == {A: ONE, C: ONE}


def test_prune_keeps_what_a_photo_shows(tmp_path: Path, features: Features) -> None:
    state = tmp_path / "photoramd.db"
    assert prune_features(state) == 0
    with Database(state) as database:
        queue, results = Queue(database), Results(database)
        photo = Photo(Path("/a.jpg"), Fingerprint(1, 1, 1, 1))
        queue.enqueue([photo], UnixTime(1))
        (job,) = queue.due(UnixTime(2), 1)
        results.save([Tagged(job, A, {"cat": 0.9}, [])], "embedded", "1", UnixTime(3))
        features.save({A: ONE, B: ONE, C: TWO})
        assert prune_features(state) == 2
        assert features.lacking([A, B, C]) == {B, C}
        assert prune_features(state) == 0


def test_many_are_read_in_blocks(path: Path, features: Features) -> None:
    generator = np.random.default_rng(1)
    rows = generator.integers(-127, 128, (9000, 64), np.int8)
    saved = {number.to_bytes(16, "big"): row.tobytes() for number, row in enumerate(rows)}
    features.save(saved)
    assert stored(path) == saved
