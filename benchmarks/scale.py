"""Scale: a million photos known, a hundred thousand new ones, idling, and latency under load.

    python -m benchmarks.scale [--photos 1000000] [--new 100000] [--directory /tmp]

Makes real trees of small files and removes them. Every measurement runs in a process of its
own, so that its peak memory is its own; the network is not loaded where it does not matter.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.processes import processor_seconds
from photoramd.clock import Monotonic, UnixTime, monotonic, unix_time
from photoramd.database.connection import Database
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.roots import HealthStore
from photoramd.photo import Fingerprint, Photo
from photoramd.watch.debouncer import Debouncer
from photoramd.watch.filters import Filter
from photoramd.watch.reconciler import Reconciler
from photoramd.watch.roots import Root
from photoramd.watch.stability import StabilityTracker
from photoramd.watch.supervisor import Supervisor
from photoramd.watch.watcher import Inbox, Watcher
from tests.support.samples import sample_photos

PER_DIRECTORY = 200
DIFFERENT = 2000
QUIET_SECONDS = 2.0
CONTENT = b"\xff\xd8\xff" + bytes(200)


def make_tree(top: Path, photos: int) -> None:
    """Make a tree of small files: 50 directories at each of two levels, 200 files in each."""
    for start in range(0, photos, PER_DIRECTORY):
        number = start // PER_DIRECTORY
        directory = top / f"{number // 50:04}" / f"{number % 50:02}"
        directory.mkdir(parents=True)
        for index in range(min(PER_DIRECTORY, photos - start)):
            fd = os.open(directory / f"IMG_{index:04}.jpg", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, CONTENT)
            os.close(fd)


def know_tree(database: Database, top: Path) -> None:
    """Record every file of a tree as written."""
    queue = Queue(database)
    for directory, _, names in os.walk(top):
        if names:
            photos = []
            for name in names:
                path = Path(directory, name)
                photos.append(Photo(path, Fingerprint.of(path.lstat())))
            queue.enqueue(photos, UnixTime(1))
    with database.transaction() as db:
        # Without settings the daemon would look at all of them again, and they are no photos.
        db.execute("UPDATE photos SET state = 'written', written_at = 1, settings = 'known'")


class Parts:
    """The parts of a daemon that find photos, without the network."""

    def __init__(self, database: Database, top: Path) -> None:
        photos, self.queue = Photos(database), Queue(database)
        self.stability = StabilityTracker(photos, self.queue, Debouncer(quiet_seconds=5))
        root = Root(os.fspath(top), Filter(top))
        health = HealthStore(database, [root.path])
        self.reconciler = Reconciler(photos, self.stability, [root], health)
        self.supervisor = Supervisor([root], health, self.queue, self.reconciler.request)
        self.reconciler.request(root.path)

    def advance(self, now: Monotonic) -> None:
        """Walk a few directories further."""
        finished = self.reconciler.advance(now, unix_time())
        if finished is not None:
            self.supervisor.record_scan(finished, now, unix_time())


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reconcile(top: Path, path: Path) -> dict[str, float]:
    """Compare a tree with a database that knows all of it."""
    with Database(path) as database:
        parts = Parts(database, top)
        began, longest = time.perf_counter(), 0.0
        while parts.reconciler.is_scanning:
            step = time.perf_counter()
            parts.advance(monotonic())
            longest = max(longest, time.perf_counter() - step)
        seconds = time.perf_counter() - began
        assert parts.queue.waiting() == 0
    return {"seconds": seconds, "peak_mb": peak_megabytes(), "longest_step_seconds": longest}


def find_new(top: Path, path: Path) -> dict[str, float]:
    """Find and queue a tree that the database does not know; the quiet period not counted."""
    with Database(path) as database:
        parts = Parts(database, top)
        began, now = time.perf_counter(), Monotonic(0)
        while parts.reconciler.is_scanning or len(parts.stability):
            parts.advance(now)
            if not parts.reconciler.can_advance:
                now = Monotonic(now + 10)
            parts.stability.settle(now, unix_time())
        seconds = time.perf_counter() - began
        found = parts.queue.waiting()
    return {"seconds": seconds, "peak_mb": peak_megabytes(), "photos": found}


def watch(top: Path) -> dict[str, float]:
    """Arm the watches of a tree."""
    with Watcher(Inbox(lambda: None)) as watcher:
        began = time.perf_counter()
        assert watcher.arm(os.fspath(top)) is None
        return {"seconds": time.perf_counter() - began, "peak_mb": peak_megabytes()}


def configuration(directory: Path, album: Path, path: Path) -> Path:
    file = directory / "config.toml"
    watch, state = json.dumps(os.fspath(album)), json.dumps(os.fspath(path))
    file.write_text(
        f"[[watch]]\npath = {watch}\nwrite = 'none'\n[state]\npath = {state}\n"
        f"[debounce]\nquiet_seconds = {QUIET_SECONDS}\n"
    )
    return file


def start(config: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "photoramd", "--config", os.fspath(config), "run"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    while b"Watching" not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    return process


def idle(directory: Path, top: Path, path: Path, seconds: float) -> dict[str, float]:
    """Measure the processor time of an idle daemon, including audits."""
    process = start(configuration(directory, top, path), directory / "log")
    try:
        time.sleep(30)
        before = processor_seconds(process.pid)
        time.sleep(seconds)
        share = (processor_seconds(process.pid) - before) / seconds
    finally:
        process.terminate()
        process.wait()
    return {"percent_of_a_core": 100 * share, "seconds": seconds}


def latency(directory: Path, waiting: int) -> dict[str, float]:
    """Measure one new photo from the end of its quiet period to tagged, while others wait."""
    top, path = directory / "queue", directory / "queue.db"
    top.mkdir()
    # As many different pictures as the network can see in the meantime; they come first.
    different = min(DIFFERENT, waiting)
    with Image.open(sample_photos()["imagenet_129"]) as image:
        picture = image.convert("RGB")
    photos = []
    for index in range(waiting):
        target = top / str(index // 1000) / f"{index}.jpg"
        target.parent.mkdir(exist_ok=True)
        number = index - (waiting - different)
        if number >= 0:
            left, upper = number % 50, number // 50
            picture.crop((left, upper, left + 170, upper + 170)).save(target, quality=85)
        elif index:
            os.link(top / "0" / "0.jpg", target)
        else:
            picture.save(target)
        photos.append(Photo(target, Fingerprint.of(target.lstat())))
    with Database(path) as database:
        queue = Queue(database)
        for first in range(0, waiting, 1000):
            queue.enqueue(photos[first : first + 1000], UnixTime(1))
    process = start(configuration(directory, top, path), directory / "log")
    samples, found = sample_photos(), []
    try:
        time.sleep(5)
        for name in ("imagenet_630", "imagenet_22", "imagenet_317", "imagenet_305", "china"):
            target = top / f"new-{name}.jpg"
            shutil.copyfile(samples[name], target)
            written = time.time()
            log = directory / "log"
            text = f"{target.name}: ".encode()
            while text not in log.read_bytes():
                time.sleep(0.01)
            found.append(time.time() - written - QUIET_SECONDS)
        status = subprocess.run(
            [sys.executable, "-m", "photoramd", "--config", directory / "config.toml",
             "status", "--json"],
            capture_output=True, check=True,
        )  # fmt: skip
        still = json.loads(status.stdout)["photos"]["pending"]
    finally:
        process.terminate()
        process.wait()
    assert still, "the queue was empty before the end; let more photos wait"
    found.sort()
    return {"median_seconds": found[len(found) // 2], "worst_seconds": found[-1], "waiting": still}


def alone(name: str, *arguments: object) -> dict[str, float]:
    """Run a measurement in a process of its own."""
    code = (
        "import json, sys; from pathlib import Path; from benchmarks import scale;"
        f"print(json.dumps(scale.{name}(*map(Path, sys.argv[1:]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def show(title: str, figures: dict[str, float]) -> None:
    text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"{title:<44} {text}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure with very many photos.")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--idle-seconds", type=float, default=130)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="photoramd-scale-", dir=options.directory)).resolve()
    try:
        for photos in (options.new, options.photos):
            top, path = directory / f"tree{photos}", directory / f"{photos}.db"
            make_tree(top, photos)
            if photos == options.new:
                show(f"{photos} new photos found and queued", alone("find_new", top, path))
            with Database(path) as database:
                know_tree(database, top)
            for _ in range(3):
                show(f"{photos} known photos, reconciled", alone("reconcile", top, path))
            show(f"{photos} photos' directories watched", alone("watch", top))
            if photos == options.new:
                show(
                    f"{photos} photos watched, idle",
                    idle(directory, top, path, options.idle_seconds),
                )
        show(f"one new photo, {options.waiting} waiting", latency(directory, options.waiting))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
