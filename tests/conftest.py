"""Parts that many tests use: all of them real."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from photoramd.config.schema import Config, Debounce, Model, State, Tags, Watch
from photoramd.daemon import assembly
from photoramd.database.connection import Database
from photoramd.models import registry
from photoramd.models.tagger import Tagger
from photoramd.models.weights.catalog import RAM_PLUS, PinnedFile
from photoramd.models.weights.store import default_store
from tests.support.album import Scan, scanned
from tests.support.samples import sample_photos
from tests.support.taggers import CountingTagger

# A slow or busy machine is no fault of what is tested, and the next run is to try the same.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

FOREIGN = re.compile(
    r"(XDG|HF)_.*|PHOTORAMD_MIRROR|NOTIFY_SOCKET|WATCHDOG_.*|JOURNAL_STREAM|container"
    # Programs that the tests start thousands of times would compile all modules each time.
    r"|PYTHONDONTWRITEBYTECODE"
)
"""Variables by which the machine's own settings would reach into tests."""


def pytest_configure() -> None:
    """The environment is that of a machine where nothing is set."""
    for name in filter(FOREIGN.fullmatch, list(os.environ)):
        del os.environ[name]


LONG = ("system", "cluster", "browser", "integration")
"""Directories whose files take long: they begin first, so that no processor waits in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, each in the order in which it was written."""
    top = Path(__file__).parent
    place = {top / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.parent, len(LONG)))


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


@pytest.fixture(scope="session")
def embedded_tagger() -> Tagger:
    """The real embedded tagger, loaded once; in the precision that every machine has."""
    return registry.load("embedded", threads=1, precision="float32")


@pytest.fixture
def tagger(embedded_tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> CountingTagger:
    """What every daemon assembled in this test tags with."""
    counting = CountingTagger(embedded_tagger)
    monkeypatch.setattr(assembly, "load_tagger", lambda _: counting)
    return counting


@pytest.fixture
def configure(tmp_path: Path, album: Path) -> Callable[..., Config]:
    """Make a configuration that watches the album: configure(write="none", top_n=3)."""

    def make(**changes: object) -> Config:
        given = {k: changes.pop(k) for k in ("write", "sidecar_names") if k in changes}
        watch = Watch(path=album, **given)  # type: ignore[arg-type]
        debounce = {"quiet_seconds": 0.2, "max_wait_seconds": 2.0, "batch_size": 4}
        debounce |= changes.pop("debounce", {})  # type: ignore[operator]
        return Config(
            watch=(watch,),
            debounce=Debounce(**debounce),  # type: ignore[arg-type]
            model=Model(**{k: changes[k] for k in ("top_n", "threshold") if k in changes}),  # type: ignore[arg-type]
            tags=Tags(overrides=None),
            state=State(path=tmp_path / "state" / "photoramd.db"),
        )

    return make


@pytest.fixture
def scan(tagger: CountingTagger) -> Scan:
    """Run `photoramd scan` in this process; returns what became of photos."""

    return scanned


@pytest.fixture(scope="session")
def exiftool() -> Callable[..., str]:
    """The real ExifTool, as an independent reader and as "another program"."""
    program = shutil.which("exiftool")
    assert program, "the tests need exiftool: apt-get install libimage-exiftool-perl"

    def run(*arguments: object) -> str:
        command = [program, *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Torch's threads wait for each other actively, which takes long on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PinnedFile:
    """A small random checkpoint of RAM++ in a model store."""
    from tests.support.random_weights import TINY, save_checkpoint

    monkeypatch.setattr("photoramd.models.weights.store.SYSTEM_STORE", tmp_path / "models")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = default_store().path("ram++", "tiny.pth")
    path.parent.mkdir(parents=True)
    path.parent.parent.chmod(0o755)
    path.parent.chmod(0o755)
    save_checkpoint(path, TINY)
    path.chmod(0o644)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return PinnedFile(
        name="tiny.pth",
        size_bytes=path.stat().st_size,
        sha256=digest,
        source="random",
        remedy="make it again",
        folder="ram++",
    )


@pytest.fixture
def tag_files(checkpoint: PinnedFile, monkeypatch: pytest.MonkeyPatch) -> PinnedFile:
    """Everything that RAM++ wants to be loaded, in small."""
    from tests.support.random_weights import TINY

    package = "photoramd.models.ram_plus"
    contents = {
        "RAM_PLUS_TAGS": b"cat\ndog\nsky\nsea\ncar\nroom\nzoo",
        "RAM_PLUS_THRESHOLDS": b"0.65\n0.65\n0.8\n0.9\n0.65\n1\n0.45\n",
    }
    for name, data in contents.items():
        path = default_store().path("ram++", f"{name}.txt")
        path.write_bytes(data)
        path.chmod(0o644)
        digest = hashlib.sha256(data).hexdigest()
        pin = replace(checkpoint, name=path.name, size_bytes=len(data), sha256=digest)
        monkeypatch.setattr(f"{package}.identity.{name}", pin)
    for user in ("tagger", "calibration"):
        monkeypatch.setattr(f"{package}.{user}.RAM_PLUS_SHAPE", TINY)
    for user in ("identity", "tagger", "calibration"):
        monkeypatch.setattr(f"{package}.{user}.RAM_PLUS", replace(RAM_PLUS, weights=checkpoint))
    return checkpoint
