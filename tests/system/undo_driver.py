"""Kill an undo at every step that matters, undo again, and compare with what was there.

Run by test_crashes.py in a process of its own, because it forks; see crash_driver.py.

    python -m tests.system.undo_driver SAMPLE_PHOTO DIRECTORY STRAND STRANDS

Prints one JSON object a kill point.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from itertools import count
from pathlib import Path

from photoramd.config.schema import Config, State, Watch
from photoramd.daemon.undo_assembly import opened_for_undo
from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin
from photoramd.photo import Fingerprint, Photo, Tag
from photoramd.pipeline import undo
from photoramd.pipeline.planner import WriteSettings
from photoramd.pipeline.writer import Writer
from tests.system import warm_workers
from tests.system.crash_driver import EVERY_STEP, SIDECAR, Killer

TAGS = [Tag("building", 0.9, ("Places",)), Tag("sky", 0.8)]


def prepare(sample: Path, album: Path, config: Config) -> dict[str, bytes]:
    """Write tags in a new sidecar, an old one and a photo; return what was there before."""
    album.mkdir()
    for name in ("new.jpg", "old.jpg", "inside.jpg"):
        shutil.copyfile(sample, album / name)
    (album / "old.jpg.xmp").write_text(SIDECAR)
    before = {path.name: path.read_bytes() for path in album.iterdir()}
    with Database(config.state.path) as database, ExifTool() as exiftool:
        photos = [album / name for name in before if name.endswith("g")]
        Queue(database).enqueue([Photo(path, Fingerprint.of(path.lstat())) for path in photos], 1)
        with database.transaction() as db:
            db.execute("UPDATE photos SET state = 'tagged'")

        def mode(path: Path) -> str:
            return "embed" if path.name == "inside.jpg" else "sidecar"

        writer = Writer(Ledger(database), WriteSettings(mode, lambda: Origin("m", "1")), exiftool)
        outcomes = writer.write([(job, TAGS) for job in Photos(database).under(album)], time.time())
        assert all(error is None for _, error in outcomes), outcomes
    assert before != {path.name: path.read_bytes() for path in album.iterdir()}
    return before


def take_back(config: Config, album: Path) -> list[str]:
    """Undo; return what went wrong."""
    with opened_for_undo(config) as (known, writer):
        done = undo.undo(writer, undo.select(known, [album]), time.time())
        return [str(each.error) for each in done if each.error is not None]


def take_back_until_killed(config: Config, album: Path, point: int) -> bool:
    """Undo in a child; return whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.setprofile(Killer(point))
            take_back(config, album)
            code = 0
        finally:
            os._exit(code)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main() -> None:
    warm_workers.prepare()
    sample, directory = Path(sys.argv[1]), Path(sys.argv[2])
    strand, strands = int(sys.argv[3]), int(sys.argv[4])
    stride = 1 if EVERY_STEP else 2
    for point in count(1 + strand * stride, strands * stride):
        album = directory / f"album{point}"
        config = Config(watch=(Watch(path=album),), state=State(path=directory / f"{point}.db"))
        before = prepare(sample, album, config)
        killed = take_back_until_killed(config, album, point)
        errors = take_back(config, album)
        after = {
            path.name: path.read_bytes()
            for path in album.iterdir()
            if not path.name.startswith(".photoramd-")
        }
        with Database(config.state.path) as database:
            left = database.rows("SELECT field, value, rejected_at IS NOT NULL FROM ledger")
            undone = database.rows("SELECT count(*) FROM photos WHERE undone_at IS NOT NULL")
        print(
            json.dumps(
                {
                    "point": point,
                    "killed": killed,
                    "errors": errors,
                    "same": after == before,
                    "ledger": left,
                    "undone": undone[0][0],
                }
            )
        )
        if not killed:
            return
        shutil.rmtree(album)


if __name__ == "__main__":
    main()
