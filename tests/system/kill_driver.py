"""Kill a writer at system calls, go on in another process, take back, and look each time.

Run by test_kills.py in a process of its own, because it forks. The libraries are loaded
once; every write is a child that strace watches from its first instruction to its last, so
that it can be killed just before its n-th call of a kind. The tags are given: what is
looked at is the writing, by the real writer and the real ExifTool.

    python -m tests.system.kill_driver SAMPLE_PHOTO DIRECTORY embed|new|existing

Prints how often each system call happens in a write that nobody kills, and what came of it;
then one JSON object a kill; last what the killed ones left behind elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from photoramd.contained.client import Contained
from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.roots import HealthStore
from photoramd.metadata import containers, plan_embedding
from photoramd.metadata.changes import Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.metadata.plan_sidecar import plan_found
from photoramd.metadata.sidecar import Found, KnownSidecar
from photoramd.photo import Fingerprint, Photo, Tag
from photoramd.pipeline.planner import WriteSettings
from photoramd.pipeline.writer import Writer
from photoramd.system.atomic import TEMPORARY_PREFIX
from photoramd.watch.debouncer import Debouncer
from photoramd.watch.filters import Filter
from photoramd.watch.reconciler import LEFTOVER_SECONDS, Reconciler
from photoramd.watch.roots import Root
from photoramd.watch.stability import StabilityTracker
from photoramd.watch.supervisor import Supervisor
from tests.support.xmp import subjects
from tests.system.crash_driver import SIDECAR

TAGS = [Tag("building", 0.9, ("Places",)), Tag("sky", 0.8)]
NOW = 1_800_000_000.0

CALLS = (
    "openat|write|truncate|sync|rename|link|mod|own|setxattr|removexattr|utimensat|sendfile"
    "|copy_file|dir"
)
"""What can change something on the disk, as a pattern for the names of system calls.

Reading leaves everything as it was at the call before it.
"""


class PlansHere(Contained):
    """Plans in this process: starting a worker would be other system calls each time."""

    def plan_sidecar(
        self, found: Found, request: PlanRequest, known: KnownSidecar, inside: Recorded
    ) -> Plan:
        return plan_found(found, request, known, inside)

    def plan_photo(
        self,
        request: PlanRequest,
        recorded: Recorded,
        exiftool: ExifTool,
        *,
        known: Fingerprint | None = None,
    ) -> Plan:
        return plan_embedding.plan_photo(request, recorded, exiftool, known=known)


class Scene:
    """A photo that waits to be written, its database, and what was there before."""

    def __init__(self, directory: Path, sample: Path, kind: str) -> None:
        self.album = directory / "album"
        self.database = directory / "photoramd.db"
        self.kind = kind
        self.album.mkdir(parents=True)
        shutil.copyfile(sample, self.album / "a.jpg")
        if kind == "existing":
            (self.album / "a.jpg.xmp").write_text(SIDECAR)
        self.before = self.files()
        with Database(self.database) as database:
            photo = self.album / "a.jpg"
            Queue(database).enqueue([Photo(photo, Fingerprint.of(photo.lstat()))], NOW)
            with database.transaction() as db:
                db.execute("UPDATE photos SET state = 'tagged'")

    def files(self) -> dict[str, bytes]:
        """The user's files; temporaries are looked at elsewhere."""
        found = self.album.iterdir()
        return {p.name: p.read_bytes() for p in found if not p.name.startswith(TEMPORARY_PREFIX)}

    def writer(self, database: Database, exiftool: ExifTool) -> Writer:
        mode = "embed" if self.kind == "embed" else "sidecar"
        settings = WriteSettings(lambda _: mode, lambda: Origin("m", "1"))
        return Writer(Ledger(database), settings, exiftool, PlansHere())

    def write(self, database: Database, writer: Writer) -> list[str]:
        """Write what is due; return what went wrong."""
        jobs = Queue(database).due_writes(NOW, 9)
        return [str(error) for _, error in writer.write([(j, TAGS) for j in jobs], NOW) if error]

    def keywords(self) -> list[str]:
        files = self.files()
        if self.kind != "embed":
            return list(subjects(files["a.jpg.xmp"]))
        return list(subjects(containers.layout(files["a.jpg"], "JPEG").packets[0]))


def traced(scene: Scene, *options: str) -> str:
    """Write in a child under strace; return strace's log of its system calls."""
    go, ready = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.read(go, 1)
            with Database(scene.database) as database, ExifTool() as exiftool:
                scene.write(database, scene.writer(database, exiftool))
        finally:
            os._exit(0)
    record = scene.album.with_name("strace")
    tracer = subprocess.Popen(
        ["strace", "-o", record, *options, "-p", str(child)], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said
    os.write(ready, b"\0")
    os.waitpid(child, 0)
    tracer.communicate()
    os.close(go)
    os.close(ready)
    return record.read_text()


def go_on(scene: Scene, exiftool: ExifTool) -> dict[str, object]:
    """Do what a restarted daemon does: recover, write, scan; then the user's undo."""
    with Database(scene.database) as database:
        writer = scene.writer(database, exiftool)
        writer.recover(NOW)
        errors = scene.write(database, writer)
        complete = scene.files()
        # Half a minute after: what is left by then is nobody's.
        differing = scan(scene, database, time.time() + 2 * LEFTOVER_SECONDS)
        rows = database.rows("SELECT value FROM ledger")
        states = database.rows("SELECT state FROM photos")
        under_way = database.rows("SELECT count(*) FROM writes")
        found = {
            "errors": errors,
            "complete": digest(complete),
            "left": [p.name for p in scene.album.iterdir() if p.name not in complete],
            "differing": differing,
            "ledger": sorted(row[0] for row in rows),
            "keywords": scene.keywords(),
            "states": [row[0] for row in states],
            "under_way": under_way[0][0],
        }
        (job,) = Photos(database).under(scene.album)
        writer.undo(job, NOW)
        found["taken_back"] = scene.files() == scene.before
        found["left"] += [p.name for p in scene.album.iterdir() if p.name not in scene.before]
    return found


def scan(scene: Scene, database: Database, wall: float) -> int:
    """Do a daemon's first scan; return how many photos differ from the database."""
    photos, queue = Photos(database), Queue(database)
    top = os.fspath(scene.album)
    intake = StabilityTracker(
        photos, queue, Debouncer(quiet_seconds=5, max_wait_seconds=60, batch_size=8)
    )
    roots = [Root(top, Filter(scene.album, ()))]
    book = HealthStore(database, [top])
    reconciler = Reconciler(photos, intake, roots, book)
    patrol = Supervisor(roots, book, queue, reconciler.request)
    reconciler.request_all()
    while reconciler.is_scanning:
        finished = reconciler.advance(time.monotonic(), wall)
        if finished is not None:
            patrol.record_scan(finished, time.monotonic(), wall)
    return len(intake)


def digest(files: dict[str, bytes]) -> list[str]:
    return [f"{name} {hashlib.sha256(files[name]).hexdigest()}" for name in sorted(files)]


def main() -> None:
    sample, top, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    scratch = top / "scratch"
    scratch.mkdir()
    tempfile.tempdir = os.fspath(scratch)  # of this process and of its children
    with ExifTool() as exiftool:
        scene = Scene(top / "whole", sample, kind)
        record = traced(scene, "-e", f"trace=/{CALLS}")
        counted = Counter(re.findall(r"^(\w+)\(", record, re.MULTILINE))
        new = digest(scene.files())
        print(json.dumps({"calls": counted, "state": "new", **go_on(scene, exiftool)}))
        for call, count in counted.items():
            for when in range(1, count + 1):
                scene = Scene(top / f"{call}{when}", sample, kind)
                inject = f"inject={call}:signal=SIGKILL:when={when}"
                killed = "killed by SIGKILL" in traced(scene, "-e", f"trace={call}", "-e", inject)
                files = scene.files()
                state = (
                    "old" if files == scene.before else "new" if digest(files) == new else "torn"
                )
                found = go_on(scene, exiftool)
                print(
                    json.dumps({"point": [call, when], "killed": killed, "state": state, **found})
                )
                shutil.rmtree(scene.album.parent)
    with ExifTool() as exiftool:
        exiftool.copy(b"", "jpg")  # needs a private directory, and clears up those of the dead
    print(json.dumps({"private": [path.name for path in scratch.iterdir()]}))


if __name__ == "__main__":
    main()
