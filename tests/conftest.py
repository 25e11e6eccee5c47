"""Parts that many tests use: all of them real."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.samples import sample_photos
from photoramd.database import Database
from photoramd.photo import Fingerprint, Photo


@pytest.fixture(scope="session")
def samples() -> dict[str, Path]:
    """Real photos, by name."""
    return sample_photos()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """An empty directory for photos, without symbolic links in its path."""
    directory = tmp_path.resolve() / "album"
    directory.mkdir()
    return directory


@pytest.fixture
def put(samples: dict[str, Path], album: Path) -> Callable[[str, str], Path]:
    """Copy a sample photo into the album: put("china", "sub/a.jpg")."""

    def copy(sample: str, name: str) -> Path:
        target = album / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(samples[sample], target)
        return target

    return copy


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new database."""
    with Database(tmp_path / "state" / "photoramd.db") as opened:
        yield opened


def photo_at(path: Path) -> Photo:
    """A photo as a scan would find it."""
    return Photo(path, Fingerprint.of(path.lstat()))
