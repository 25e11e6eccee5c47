"""A database that knows photos of all kinds, made by the real stores: no file and no model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.health import Health, RootState
from photoramd.database.ledger import Done, Ledger
from photoramd.database.photos import Job, Photos
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.database.roots import HealthStore
from photoramd.metadata.changes import Place
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.own_keywords import FileKeywords
from photoramd.metadata.reading import Reading
from photoramd.photo import Fingerprint, Look, Photo, Tag

ROOT = Path("/photos")
NOW = UnixTime(1_722_582_930.25)
"""2024-08-02 07:15:30 UTC."""

TAKEN = 1_722_450_600.5
"""2024-07-31 18:30:00, by the camera's clock."""

FULL = Look(
    6000, 4000, "JPEG", TAKEN, 120, "Canon EOS R6", "RF24-70mm F2.8 L", 200, 2.8, 0.004, 50.0,
    48.85, 2.35,
)  # fmt: skip

DOG = ROOT / "2024" / "dog.jpg"
CAFE = ROOT / "2024" / os.fsdecode(b"caf\xe9.jpg")
"""Its name is Latin-1."""
CAT = ROOT / os.fsdecode(b"f\xfcr") / "cat.png"
"""The name of its directory is."""
BAD = ROOT / "2024" / "bad.jpg"
NEW = ROOT / "2024" / "new.jpg"
GONE = ROOT / "2023" / "gone.jpg"


@dataclass(frozen=True)
class _Known:
    machine: Mapping[str, float]
    user: Sequence[str] = ()
    hierarchy: Sequence[str] = ()
    look: Look | None = None
    is_written: bool = True


TAGGED = {
    DOG: _Known({"dog": 0.9, "beach": 0.8}, ["Aunt Mary"], ["Places|Italy"], FULL),
    CAFE: _Known({"beach": 0.7, "dog": 0.4}, ["dog"], look=Look(3000, 4000, "HEIF")),
    CAT: _Known({"cat": 0.95}, look=Look(10, 10, "PNG", lat=-33.8, lon=151.2), is_written=False),
    GONE: _Known({"dog": 0.99}),
}


def fill(database: Database) -> None:
    """Put the photos into a new database."""
    queue, results, ledger = Queue(database), Results(database), Ledger(database)
    paths = [*TAGGED, BAD, NEW]
    stats = [Fingerprint(1_000 + n, 10**18 + n, 1, 100 + n) for n in range(len(paths))]
    queue.enqueue([Photo(*each) for each in zip(paths, stats, strict=True)], NOW)
    jobs = {job.photo.path: job for job in queue.due(NOW, 100)}
    for path, known in TAGGED.items():
        results.save([_tagged(jobs[path], known)], "embedded", "1", UnixTime(NOW + 1))
        if known.is_written:
            sidecar = path.with_name(path.name + ".xmp")
            why = "it is locked" if path == CAFE else None
            done = Done(jobs[path].id, Place.SIDECAR, sidecar=sidecar, created=True, fallback=why)
            ledger.finish([done], UnixTime(NOW + 2))
    queue.fail(jobs[BAD], "image file is truncated", NOW)
    Photos(database).lose(jobs[GONE].id, NOW)
    roots = HealthStore(database, [str(ROOT)])
    roots.record(str(ROOT), Health(RootState.DEGRADED, "a directory is closed", "open it"), NOW)


def _tagged(job: Job, known: _Known) -> Tagged:
    entries = {SUBJECT.name: tuple(known.user), "lr:hierarchicalSubject": tuple(known.hierarchy)}
    reading = Reading(known.look, inside=FileKeywords({k: v for k, v in entries.items() if v}))
    tags = [Tag(name, confidence) for name, confidence in known.machine.items()]
    scores = {**known.machine, "sand": 0.1}
    return Tagged(job, os.fsencode(job.photo.path).rjust(16)[-16:], scores, tags, reading)
