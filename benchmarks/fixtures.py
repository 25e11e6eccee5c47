"""The photos that the standard benchmarks measure with: made here, the same everywhere.

    python -m benchmarks fixtures [--fixtures DIR] [--record]

Real photos from installed packages, cut, enlarged to a camera's size, grained and encoded with
EXIF by `benchmarks.photos`, from a seed. fixtures.json holds two digests (BLAKE2b) of each set:

- of the pixels before they are encoded: the same with every encoder;
- of the files: the same with the same encoder only, so one for every version of Pillow and
  libjpeg-turbo that somebody has recorded.

A set whose pixels differ is refused: figures from other photos are not comparable. With an
encoder that was not recorded the pixels are compared alone, and the result says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import PIL
from PIL import features
from rich.console import Console

from tests.support.photos import camera_photos

DEFAULT = Path(__file__).resolve().parent.parent / "build" / "fixtures"
RECORD = Path(__file__).with_name("fixtures.json")
SEED = 1
_STAMP = "digests.json"


@dataclass(frozen=True)
class Set:
    """Photos of one size.

    Attributes:
        megapixels: Their size.
        count: How many.
    """

    megapixels: float
    count: int

    @property
    def name(self) -> str:
        """Its name in the records."""
        return f"{self.count} photos of {self.megapixels:g} MP, seed {SEED}"


SETS = {2.0: Set(2, 8), 12.0: Set(12, 24), 24.0: Set(24, 12)}
"""By megapixels."""


@dataclass(frozen=True)
class Fixtures:
    """Photos and what they were checked by.

    Attributes:
        paths: The files, in their order.
        name: Of the set.
        checked: For the report.
    """

    paths: list[Path]
    name: str
    checked: str


def photos(directory: Path, megapixels: float, count: int) -> Fixtures:
    """The first photos of a set, which is made if it is not there yet.

    Raises:
        SystemExit: They are not the recorded ones.
    """
    chosen = SETS[megapixels]
    place = directory / f"{megapixels:g}MP"
    if not (place / _STAMP).is_file():
        _make_elsewhere(chosen, place)
    digests = json.loads((place / _STAMP).read_text())
    if digests["encoder"] != encoder() or digests["files"] != _files_digest(_paths(place)):
        # Made by other versions, or changed since.
        shutil.rmtree(place)
        _make_elsewhere(chosen, place)
        digests = json.loads((place / _STAMP).read_text())
    return Fixtures(_paths(place)[:count], chosen.name, _check(chosen, digests))


def encoder() -> str:
    """What the bytes of the files depend on besides the pixels."""
    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"


def _make_elsewhere(chosen: Set, place: Path) -> None:
    """Make a set in another process.

    One that has made photos decodes them a fifth quicker, for the memory that it has by then.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        process.submit(_make, chosen, place).result()


def _make(chosen: Set, place: Path) -> None:
    """Make a set, all of it or nothing."""
    Console(stderr=True).print(f"Making {chosen.name}", highlight=False)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        made = Path(name, "photos")
        pixels = hashlib.blake2b(digest_size=16)
        paths = camera_photos(made, chosen.megapixels, chosen.count, SEED, pixels)
        digests = {
            "encoder": encoder(),
            "pixels": pixels.hexdigest(),
            "files": _files_digest(paths),
        }
        (made / _STAMP).write_text(json.dumps(digests))
        try:
            made.rename(place)
        except OSError:
            if not (place / _STAMP).is_file():  # else another process was quicker
                raise


def _paths(place: Path) -> list[Path]:
    return sorted(place.glob("*.JPG"))


def _files_digest(paths: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _check(chosen: Set, digests: dict[str, str]) -> str:
    recorded = json.loads(RECORD.read_text()).get(chosen.name)
    if recorded is None:
        raise SystemExit(f"{RECORD}: {chosen.name} is not recorded; run with --record")
    if digests["pixels"] != recorded["pixels"]:
        raise SystemExit(
            f"{chosen.name}: the pixels are not the recorded ones, so no figure would be "
            "comparable. The packages with the photos, NumPy or Pillow changed what they make "
            "of them; if that is meant, run python -m benchmarks fixtures --record and record "
            "the baselines anew."
        )
    files = recorded["files"].get(digests["encoder"])
    if files is None:
        return f"pixels as recorded; files of an encoder not recorded: {digests['encoder']}"
    if files != digests["files"]:
        raise SystemExit(
            f"{chosen.name}: {digests['encoder']} made other files than are recorded for it; "
            "it was built otherwise. Record the baselines anew with "
            "python -m benchmarks fixtures --record"
        )
    return f"pixels and files as recorded, {digests['encoder']}"


def record(directory: Path) -> None:
    """Make all sets anew and record their digests, beside those of other encoders."""
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for megapixels, chosen in SETS.items():
        place = directory / f"{megapixels:g}MP"
        shutil.rmtree(place, ignore_errors=True)
        _make(chosen, place)
        digests = json.loads((place / _STAMP).read_text())
        entry = known.get(chosen.name, {})
        files = entry.get("files", {}) if entry.get("pixels") == digests["pixels"] else {}
        known[chosen.name] = {
            "pixels": digests["pixels"],
            "files": {**files, digests["encoder"]: digests["files"]},
        }
    RECORD.write_text(json.dumps(known, indent=2) + "\n")


def main(argv: Sequence[str]) -> None:
    """Make the photos and check them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks fixtures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fixtures", type=Path, default=DEFAULT, metavar="DIR")
    parser.add_argument("--record", action="store_true", help="write the digests down")
    arguments = parser.parse_args(argv)
    if arguments.record:
        record(arguments.fixtures)
    for megapixels, chosen in SETS.items():
        made = photos(arguments.fixtures, megapixels, chosen.count)
        size = sum(os.path.getsize(path) for path in made.paths) / len(made.paths)
        print(f"{made.name}: {size / 1e6:.1f} MB each; {made.checked}")
