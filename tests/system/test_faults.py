"""The faults that a watcher must survive, with real processes; each ends in the invariant.

The numbers are those of docs/watching.md. The invariant: in the end the tags are those of
the set of stable photos, none twice, no torn file, nothing of the user's lost.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from photoramd.database.connection import Database
from photoramd.database.figures import stored
from photoramd.database.readonly import open_readonly
from tests.support.daemons import Photoramd, unprivileged, wait_for
from tests.support.files import OWN_SIDECAR
from tests.support.invariant import rows, states, violations
from tests.support.xmp import subjects

SMALL = ["imagenet_129", "imagenet_630", "imagenet_22", "imagenet_317", "imagenet_305"]
"""Samples of a few dozen kilobytes with tags."""

QUICK = "interval_minutes = 60\npoll_seconds = 1\naudit_seconds = 1"
"""Regular scans never come to the rescue here; what is checked regularly is checked often."""

PATIENT_SECONDS = 300.0
"""Hundreds of photos, on a slow machine."""


class World:
    """A directory with photos, its daemon, and what must be true of them."""

    def __init__(
        self,
        instance: Photoramd,
        top: Path,
        samples: dict[str, Path],
        tags: dict[str, tuple[str, ...]],
    ) -> None:
        self.daemon = instance
        self.top = top
        self.samples = samples
        self.tags = tags
        self.photos: dict[Path, str] = {}
        self.theirs: dict[Path, bytes] = {}
        self.view = Path("/")
        self._next = 0

    def put(self, name: str, sample: str | None = None) -> Path:
        """A photo appears, in one piece."""
        sample = sample or SMALL[self._next % len(SMALL)]
        self._next += 1
        path = self.top / name
        (self.view / path.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.samples[sample], self.view / path.relative_to("/"))
        self.photos[path] = sample
        return path

    def expect(self, path: Path, sample: str) -> None:
        """A photo has come there by other means."""
        self.photos[path] = sample

    def moved(self, old: Path, new: Path) -> None:
        """Photos have moved, and their sidecars with them."""
        self.photos = {
            new / path.relative_to(old) if path.is_relative_to(old) else path: sample
            for path, sample in self.photos.items()
        }

    def note(self, path: Path, content: bytes) -> Path:
        """A file of the user's that is none of photoramd's business."""
        path.write_bytes(content)
        self.theirs[path] = content
        return path

    def check(self, *, temporaries: bool = False) -> None:
        """The invariant holds, now or soon."""
        deadline = time.monotonic() + PATIENT_SECONDS
        while found := violations(
            self.daemon.database,
            self.top,
            self.photos,
            self.samples,
            self.tags,
            theirs=self.theirs,
            view=self.view,
            temporaries=temporaries,
        ):
            log = self.daemon.log.read_text()[-3000:] if self.daemon.log.exists() else ""
            assert time.monotonic() < deadline, "\n".join([*found[:20], log])
            time.sleep(0.2)

    def missing(self) -> list[Path]:
        found = states(self.daemon.database, self.top)
        return [path for path, state in found.items() if state == "missing"]


@pytest.fixture(scope="module")
def tags(
    samples: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, ...]]:
    """What each sample is tagged with when nothing goes wrong."""
    directory = tmp_path_factory.mktemp("reference").resolve()
    album = directory / "album"
    album.mkdir()
    for name in [*SMALL, "china", "cat"]:
        shutil.copyfile(samples[name], album / f"{name}.jpg")
    instance = Photoramd(directory, album)
    done = instance.run("scan", "--json")
    assert json.loads(done.stdout)["tagged"] == len(SMALL) + 2, done.stderr
    found = {path.name.split(".")[0]: subjects(path.read_bytes()) for path in album.glob("*.xmp")}
    assert all(found[name] for name in SMALL)
    return found


Make = Callable[..., World]


@pytest.fixture
def make(
    tmp_path: Path, album: Path, samples: dict[str, Path], tags: dict[str, tuple[str, ...]]
) -> Iterator[Make]:
    """Make a world with a daemon of its own: make("strace", ..., scan="...")."""
    made: list[Photoramd] = []

    def build(*prefix: str, **sections: str) -> World:
        sections = {"scan": QUICK, **sections}
        made.append(Photoramd(tmp_path, album, *prefix, **sections))
        return World(made[-1], album, samples, tags)

    yield build
    for instance in made:
        instance.close()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Photoramd]:
    """One daemon for the faults that need no other; each has a directory of its own."""
    directory = tmp_path_factory.mktemp("shared").resolve()
    (directory / "album").mkdir()
    instance = Photoramd(directory, directory / "album", scan=QUICK)
    instance.start()
    yield instance
    status = instance.stop() if instance.process and instance.process.poll() is None else None
    assert status == 0


@pytest.fixture
def shared(
    shared_daemon: Photoramd,
    request: pytest.FixtureRequest,
    samples: dict[str, Path],
    tags: dict[str, tuple[str, ...]],
) -> World:
    """A directory of the shared daemon."""
    top = shared_daemon.album / request.node.name
    top.mkdir()
    return World(shared_daemon, top, samples, tags)


def program(name: str) -> str:
    """A program that the tests need; they fail without it."""
    found = shutil.which(name)
    assert found, f"the tests need {name}: apt-get install util-linux strace"
    return found


def strace(*expressions: str) -> list[str]:
    """A prefix that makes system calls fail, or kills at them."""
    trace = [program("strace"), "-fqq", "--seccomp-bpf", "-o", "/dev/null"]
    return [*trace, *(part for expression in expressions for part in ("-e", expression))]


def inside(world: World, command: str, *, check: bool = True) -> None:
    """Run a shell command in the daemon's mount namespace."""
    assert world.daemon.process is not None
    enter = [program("nsenter"), "-t", str(world.daemon.process.pid), "-m", "--"]
    subprocess.run([*enter, "sh", "-c", command], check=check, capture_output=not check)


def look_inside(world: World) -> None:
    """See files as the daemon sees them."""
    assert world.daemon.process is not None
    world.view = Path(f"/proc/{world.daemon.process.pid}/root")


def private(setup: str) -> list[str]:
    """A prefix that runs a command in a mount namespace of its own, after a setup."""
    return [program("unshare"), "-m", "--", "sh", "-c", f'{setup}; exec "$@"', "sh"]


@contextmanager
def stopped(world: World) -> Iterator[None]:
    """Several things happen at once, as the daemon sees it."""
    world.daemon.send(signal.SIGSTOP)
    yield
    world.daemon.send(signal.SIGCONT)


def rescan(world: World) -> None:
    """Ask the daemon to look at everything, and wait until it has."""
    before = root_row(world, "scanned_at") or 0
    world.daemon.send(signal.SIGHUP)
    wait_for(lambda: (root_row(world, "scanned_at") or 0) > before, "a scan")


def root_row(world: World, column: str) -> Any:
    """What the database says of the root now: a command would take its time to start."""
    return rows(world.daemon.database, f"SELECT {column} FROM roots")[0][0]  # noqa: S608


def health(world: World) -> str:
    return str(root_row(world, "health"))


def counted(world: World) -> dict[str, int]:
    """How many photos are in each state."""
    return dict(Counter(states(world.daemon.database, world.top).values()))


def snapshot(*tops: Path) -> dict[Path, tuple[int, int, int]]:
    """Inode and the times of content and status of all there is; reading leaves them."""
    found = {path: path.lstat() for top in tops for path in [top, *top.rglob("*")]}
    return {
        path: (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        for path, status in found.items()
        if not path.name.endswith("-shm")  # readers lock it
    }


class Idle:
    """A daemon that has tagged all there is: its files, and what it used until then."""

    def __init__(self, daemon: Photoramd, reader: sqlite3.Connection) -> None:
        self.daemon = daemon
        self._reader = reader
        self.files = self.snapshot()
        self.version = self.commits()
        self.processor = daemon.processor_seconds()
        self.began = time.monotonic()

    def snapshot(self) -> dict[Path, tuple[int, int, int]]:
        """Whatever it could write."""
        return snapshot(self.daemon.album, self.daemon.database.parent)

    def commits(self) -> int:
        """A number that every commit of another connection changes."""
        return int(self._reader.execute("PRAGMA data_version").fetchone()[0])


def _written(reader: sqlite3.Connection) -> int:
    known = stored(reader)
    return known[0].written if known else 0


@pytest.fixture(scope="module")
def idle(
    samples: dict[str, Path],
    tags: dict[str, tuple[str, ...]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Idle]:
    """A daemon of its own that idles while other tests are at work."""
    directory = tmp_path_factory.mktemp("idle").resolve()
    album, state = directory / "album", directory / "state"
    album.mkdir()
    settings = f"path = '{state}/photoramd.db'\nbackups = 0"  # one would come in that minute
    instance = Photoramd(directory, album, scan=QUICK, state=settings)
    world = World(instance, album, samples, tags)
    for name in SMALL:
        world.put(f"{name}/photo.jpg", name)
    instance.start()
    world.check()
    # Nor does looking at everything again write anything but when that was.
    before = snapshot(album)
    rescan(world)
    assert snapshot(album) == before
    with closing(open_readonly(instance.database)) as reader:
        # The last figures follow within 15 seconds.
        wait_for(lambda: _written(reader) == len(SMALL), "the last figures")
        yield Idle(instance, reader)
        instance.close()


# Faults


def test_fault_21_after_tagging_nothing_more_is_written_at_once(idle: Idle) -> None:
    """The first test, for the daemon to idle during the others; the last looks at it again."""
    time.sleep(1)
    assert idle.snapshot() == idle.files


def test_fault_01_an_overflow_of_the_kernels_queue_loses_nothing(shared: World) -> None:
    crowd = shared.top / "crowd"
    crowd.mkdir()
    shared.put("before.jpg")
    shared.check()
    shared.daemon.send(signal.SIGSTOP)
    # Every file makes two events.
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(min(max(12_000, room // 2 + 1000), 100_000)):
        (crowd / f"{number}.txt").touch()
    shared.theirs |= dict.fromkeys(crowd.iterdir(), b"")
    for number in range(20):
        shared.put(f"late/{number}/photo.jpg")
    shared.daemon.send(signal.SIGCONT)
    shared.check()
    shared.daemon.wait_for_log("events were lost")
    shutil.rmtree(crowd)


def test_fault_02_with_too_few_watches_it_polls_says_so_once_and_recovers(make: Make) -> None:
    limit = 'echo 6 > /proc/sys/user/max_inotify_watches; exec "$@"'
    world = make(program("unshare"), "-Ur", "--", "sh", "-c", limit, "sh")
    for number in range(12):
        (world.top / f"{number}").mkdir()
    world.daemon.start()
    wait_for(lambda: health(world) == "degraded", "degraded")
    for number in range(12):
        world.put(f"{number}/photo.jpg")
    world.check()
    (root,) = world.daemon.ask("status")["roots"]
    assert "max_user_watches" in root["remedy"]
    assert world.daemon.log.read_text().count("is degraded") == 1
    assert world.daemon.process is not None
    raise_limit = "echo 1000 > /proc/sys/user/max_inotify_watches"
    enter = [
        program("nsenter"),
        "-t",
        str(world.daemon.process.pid),
        "-U",
        "--preserve-credentials",
    ]
    subprocess.run([*enter, "sh", "-c", raise_limit], check=True)
    world.daemon.send(signal.SIGHUP)
    wait_for(lambda: health(world) == "online", "online")
    world.put("11/later.jpg")
    world.check()


def test_what_goes_while_the_invariant_is_checked_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A temporary of the daemon, between the listing and the look at it.
    listing = [(os.fsencode(tmp_path), [], [b".photoramd-0123.tmp"])]
    database = tmp_path / "photoramd.db"
    with Database(database):
        monkeypatch.setattr(os, "walk", lambda _: listing)
        assert violations(database, tmp_path, {}, {}, {}) == []


def test_fault_02_without_any_inotify_instance_it_polls(make: Make) -> None:
    limit = 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"'
    world = make(program("unshare"), "-Ur", "--", "sh", "-c", limit, "sh")
    world.put("there.jpg")
    world.daemon.start()
    world.put("new/later.jpg")
    world.check()
    (root,) = world.daemon.ask("status")["roots"]
    assert root["health"] == "degraded"
    assert "max_user_instances" in root["remedy"]


def test_fault_03_a_limit_that_is_reached_late_is_noticed(make: Make) -> None:
    world = make(*strace("inject=inotify_add_watch:error=ENOSPC:when=4+"))
    world.daemon.start()
    for number in range(10):
        world.put(f"{number}/photo.jpg")
    world.check()
    wait_for(lambda: health(world) == "degraded", "degraded")
    world.put("9/later.jpg")
    world.check()


def test_fault_04_a_share_without_events_is_polled(make: Make, album: Path, tmp_path: Path) -> None:
    # Not where the tests are: that may be an overlay itself, on which there can be no other.
    layers = tmp_path / "layers"
    layers.mkdir()
    three = [layers / name for name in ("lower", "upper", "work")]
    below = f"mount -t tmpfs tmpfs {layers} && mkdir {' '.join(map(str, three))}"
    options = ",".join(f"{path.name}dir={path}" for path in three)
    world = make(*private(f"{below} && mount -t overlay overlay -o {options} {album}"))
    world.daemon.start()
    look_inside(world)
    # Written to the layer below, as another machine would write to a share.
    lower = world.view / three[0].relative_to("/")
    shutil.copyfile(world.samples["china"], lower / "china.jpg")
    world.expect(world.top / "china.jpg", "china")
    (lower / "deep").mkdir()
    shutil.copyfile(world.samples["cat"], lower / "deep" / "cat.jpg")
    world.expect(world.top / "deep" / "cat.jpg", "cat")
    world.check()
    assert health(world) == "online"


def test_fault_05_killed_at_exact_points_it_goes_on_at_the_next_start(make: Make) -> None:
    world = make()
    for round_, call in enumerate(
        ("fsync:signal=SIGKILL:when=2", "/^rename:signal=SIGKILL:when=2")
    ):
        for number in range(4):
            world.put(f"{round_}/{number}.jpg")
        done = make(*strace(f"inject={call}")).daemon.run("scan")
        assert done.returncode in (-signal.SIGKILL, 137), done.stderr
    assert world.daemon.run("scan").returncode == 0
    world.check(temporaries=True)


@pytest.mark.parametrize(
    "faults",
    [["fsync:error=EIO:when=3+", "/^rename:error=EROFS:when=1"], ["fsync:error=ENOSPC:when=2+"]],
)
def test_fault_06_input_and_output_errors_cost_only_time(faults: list[str], make: Make) -> None:
    world = make(*strace(*(f"inject={fault}" for fault in faults)))
    for number in range(5):
        world.put(f"{number}.jpg")
    done = world.daemon.run("scan")
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 4), done.stderr
    plain = make().daemon
    plain.start()
    assert plain.run("retag", world.top).returncode == 0
    world.check(temporaries=True)


IMPATIENT = """
from photoramd.pipeline import writer
writer.REST_SECONDS = 1.0  # instead of a minute
from photoramd.cli import main
main()
"""


@pytest.mark.parametrize("is_asked", [True, False])
def test_fault_07_08_a_disk_that_is_full_or_read_only_is_waited_for(
    make: Make, album: Path, is_asked: bool
) -> None:
    """When somebody says that it was mended (SIGHUP), and by itself."""
    options = {} if is_asked else {"program": IMPATIENT}
    world = make(*private(f"mount -t tmpfs -o size=600k tmpfs {album}"), **options)

    def mend(command: str) -> None:
        inside(world, command)
        if is_asked:
            world.daemon.send(signal.SIGHUP)

    world.daemon.start()
    look_inside(world)
    ballast = world.view / (world.top / "ballast").relative_to("/")
    # It must not get to the photo before the disk is full, or read-only.
    with stopped(world):
        world.put("full.jpg")
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
    wait_for(lambda: counted(world) == {"tagged": 1}, "the photo's tags")
    wait_for(lambda: world.daemon.ask("status")["problems"], "the write that fails")
    assert "No space" in world.daemon.ask("status")["problems"][0]["reason"]
    mend(f"rm {world.top}/ballast")
    world.check()
    # Read-only and back.
    with stopped(world):
        world.put("readonly.jpg")
        inside(world, f"mount -o remount,ro {world.top}")
    wait_for(lambda: counted(world) == {"written": 1, "tagged": 1}, "the photo's tags")
    wait_for(lambda: world.daemon.ask("status")["problems"], "the write that fails")
    assert "Read-only" in world.daemon.ask("status")["problems"][0]["reason"]
    mend(f"mount -o remount,rw {world.top}")
    world.check()


def test_fault_09_unmounted_photos_are_neither_deleted_nor_failed(
    make: Make, tmp_path: Path
) -> None:
    top, store = tmp_path.resolve() / "album", tmp_path.resolve() / "store"
    for path in (store / "root", store / "sub"):
        path.mkdir(parents=True)
    mount = f"mount -t tmpfs tmpfs {store}/sub && mount -t tmpfs tmpfs {store}/root"
    bind_root, bind_sub = f"mount --bind {store}/root {top}", f"mount --bind {store}/sub {top}/sub"
    world = make(*private(f"{mount} && mkdir {store}/root/sub && {bind_root} && {bind_sub}"))
    world.daemon.start()
    look_inside(world)
    for number in range(3):
        world.put(f"{number}.jpg")
        world.put(f"sub/{number}.jpg")
    world.check()
    # A part: its photos are not there, and neither missing nor failed.
    world.put("sub/late.jpg")
    inside(world, f"umount -l {top}/sub")
    for _ in range(3):
        rescan(world)
    assert health(world) == "degraded"
    assert world.missing() == []
    inside(world, bind_sub)
    rescan(world)
    world.check()
    assert health(world) == "online"
    # All of it.
    world.put("late.jpg")
    inside(world, f"umount -l {top}/sub; umount -l {top}")
    wait_for(lambda: health(world) == "offline", "offline")
    world.daemon.send(signal.SIGHUP)
    time.sleep(2)
    assert world.missing() == []
    assert set(counted(world)) <= {"written", "pending", "tagged"}
    # The bare mount point stays as it is.
    assert list((world.view / top.relative_to("/")).iterdir()) == []
    inside(world, f"{bind_root} && {bind_sub}")
    wait_for(lambda: health(world) == "online", "online")
    world.put("sub/after.jpg")
    world.check()
    log = world.daemon.log.read_text()
    assert log.count("is offline") == 1


def test_fault_09_what_is_mounted_inside_a_root_takes_no_photo_away(
    make: Make, tmp_path: Path
) -> None:
    top, store = tmp_path.resolve() / "album", tmp_path.resolve() / "store"
    for name in ("bind", "one", "two"):
        (top / name).mkdir()
    store.mkdir()
    bind = f"mount --bind {store} {top}/bind"  # of the file system that the root is on
    mounts = [bind, *(f"mount -t tmpfs tmpfs {top}/{name}" for name in ("one", "two"))]
    world = make(*private(" && ".join(mounts)))
    world.daemon.start()
    look_inside(world)
    for name in ("bind", "one", "two", "local"):
        world.put(f"{name}/photo.jpg")
    world.put("photo.jpg")
    world.check()

    def devices() -> dict[Path, object]:
        found = rows(
            world.daemon.database,
            "SELECT d.path, p.device FROM photos p JOIN directories d ON d.id = p.directory_id",
        )
        return {Path(os.fsdecode(path)): device for path, device in found}  # type: ignore[arg-type]

    # Two disks were found in the other order: each has the number that the other had.
    true = devices()
    with closing(sqlite3.connect(world.daemon.database)) as other, other:
        one, two = true[top / "one"], true[top / "two"]
        other.execute(
            "UPDATE photos SET device = iif(device = ?1, ?2, ?1) WHERE device IN (?1, ?2)",
            (one, two),
        )
    for _ in range(2):
        rescan(world)
        assert devices() == true
    # Gone, and hidden: neither is there to be seen, and neither is missing.
    inside(world, f"umount -l {top}/bind; mount -t tmpfs tmpfs {top}/local")
    for _ in range(3):
        rescan(world)
    assert world.missing() == []
    assert health(world) == "degraded"
    inside(world, f"{bind}; umount {top}/local")
    world.put("local/later.jpg")
    wait_for(lambda: health(world) == "online", "online")
    world.check()
    # All of it hidden, and there again.
    inside(world, f"mount -t tmpfs tmpfs {top}")
    wait_for(lambda: health(world) == "offline", "offline")
    inside(world, f"umount {top}")
    wait_for(lambda: health(world) == "online", "online")
    world.put("local/last.jpg")
    world.check()


def test_fault_10_a_root_that_is_renamed_or_made_anew_is_watched_again(make: Make) -> None:
    world = make()
    old = world.put("old.jpg")
    world.daemon.start()
    world.check()
    aside = world.top.with_name("aside")
    world.top.rename(aside)
    wait_for(lambda: health(world) == "offline", "offline")
    world.top.mkdir()
    new = world.put("new/new.jpg")
    world.photos.pop(old)
    wait_for(lambda: states(world.daemon.database, world.top).get(new) == "written", "the new one")
    later = world.put("new/later.jpg")
    wait_for(lambda: states(world.daemon.database, world.top).get(later) == "written", "the later")
    # The true one is back.
    shutil.rmtree(world.top)
    aside.rename(world.top)
    world.photos = {old: SMALL[0]}
    for _ in range(2):
        rescan(world)
    world.put("again.jpg")
    world.check()
    # Deleted and made anew: the root is empty, and nothing follows from that.
    shutil.rmtree(world.top)
    wait_for(lambda: health(world) == "offline", "offline, for it is gone")
    world.top.mkdir()
    wait_for(lambda: "vanished" in str(root_row(world, "reason")), "all photos lost at once")
    world.photos = {}
    world.put("fresh.jpg")
    wait_for(lambda: health(world) == "online", "online")
    for _ in range(2):
        rescan(world)
    world.check()


def test_fault_11_trees_that_move_while_they_are_filled_are_tagged(
    shared: World, tmp_path: Path
) -> None:
    chance = random.Random(11)  # noqa: S311
    for number in range(12):
        if chance.random() < 0.5:
            shared.daemon.send(signal.SIGSTOP)
        outside = tmp_path / f"tree{number}"
        (outside / "a" / "b").mkdir(parents=True)
        shutil.copyfile(shared.samples["imagenet_129"], outside / "a" / "b" / "1.jpg")
        first = shared.top / f"first{number}"
        outside.rename(first)
        shutil.copyfile(shared.samples["imagenet_129"], first / "a" / "2.jpg")
        second = shared.top / f"second{number}"
        first.rename(second)
        shutil.copyfile(shared.samples["imagenet_129"], second / "a" / "b" / "3.jpg")
        last = shared.top / f"last{number}"
        second.rename(last)
        (last / "new").mkdir()
        shutil.copyfile(shared.samples["imagenet_129"], last / "new" / "4.jpg")
        for name in ("a/b/1.jpg", "a/2.jpg", "a/b/3.jpg", "new/4.jpg"):
            shared.expect(last / name, "imagenet_129")
        shared.daemon.send(signal.SIGCONT)
        time.sleep(chance.random() / 10)
    shared.check()


def test_fault_12_files_that_arrive_in_pieces_are_tagged_when_they_are_whole(
    shared: World,
) -> None:
    content = shared.samples["china"].read_bytes()
    preallocated = shared.top / "preallocated.jpg"
    with preallocated.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(content))
        for at in range(0, len(content), len(content) // 5):
            file.seek(at)
            file.write(content[at : at + len(content) // 5])
            time.sleep(0.15)
    reopened = shared.top / "reopened.jpg"
    for at in range(0, len(content), len(content) // 5):
        with reopened.open("ab") as file:
            file.write(content[at : at + len(content) // 5])
        time.sleep(0.15)
    truncated = shared.top / "truncated.jpg"
    truncated.write_bytes(content[: len(content) // 2])
    wait_for(lambda: states(shared.daemon.database, shared.top).get(truncated) == "failed")
    truncated.write_bytes(content)
    old = shared.top / "old.jpg"
    shutil.copyfile(shared.samples["china"], old)
    os.utime(old, (0, 0))
    for path in (preallocated, reopened, truncated, old):
        shared.expect(path, "china")
    shared.check()


def test_fault_13_every_way_in_which_programs_put_files_in_place(
    shared: World, tmp_path: Path
) -> None:
    source = shared.samples["imagenet_22"]
    for temporary, name in {
        ".rsync.jpg.A1b2C3": "rsync.jpg",
        ".syncthing.sync.jpg.tmp": "sync.jpg",
        "exif.jpg_exiftool_tmp": "exif.jpg",
        "browser.jpg.part": "browser.jpg",
    }.items():
        shutil.copyfile(source, shared.top / temporary)
        (shared.top / temporary).rename(shared.top / name)
        shared.expect(shared.top / name, "imagenet_22")
    shutil.copyfile(source, tmp_path / "linked.jpg")
    os.link(tmp_path / "linked.jpg", shared.top / "linked.jpg")
    shared.expect(shared.top / "linked.jpg", "imagenet_22")
    for name in (os.fsdecode(b"caf\xe9.jpg"), "new\nline.jpg", "-rf.jpg", " .jpg"):
        shared.put(name)
    shared.note(shared.top / "half.jpg.part", b"half")
    shared.check()
    # In place, by a program that keeps the inode, and by one that does not: the photo is
    # another, and its keywords take the place of the first one's.
    shutil.copyfile(shared.samples["imagenet_630"], shared.top / "rsync.jpg")
    wanted = set(shared.tags["imagenet_630"])
    wait_for(
        lambda: set(subjects((shared.top / "rsync.jpg.xmp").read_bytes())) == wanted, "new keywords"
    )
    shared.expect(shared.top / "rsync.jpg", "imagenet_630")
    shared.check()


def test_fault_14_a_directory_that_leaves_and_comes_back_changed(
    shared: World, tmp_path: Path
) -> None:
    for name in ("trip/1.jpg", "trip/2.jpg", "trip/deep/3.jpg"):
        shared.put(name)
    shared.check()
    shutil.move(shared.top / "trip", tmp_path / "trip")
    shutil.copyfile(shared.samples["imagenet_129"], tmp_path / "trip" / "added.jpg")
    (tmp_path / "trip" / "2.jpg").unlink()
    (tmp_path / "trip" / "2.jpg.xmp").unlink()
    time.sleep(1)
    (tmp_path / "trip").rename(shared.top / "back")
    shared.photos.pop(shared.top / "trip" / "2.jpg")
    shared.moved(shared.top / "trip", shared.top / "back")
    shared.expect(shared.top / "back" / "added.jpg", "imagenet_129")
    shared.put("back/deep/later.jpg")
    for _ in range(2):
        rescan(shared)
    shared.check()
    assert shared.missing() == [shared.top / "trip" / "2.jpg"]


def test_fault_15_links_pipes_and_sockets_are_no_photos(shared: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copyfile(shared.samples["cat"], outside / "outside.jpg")
    (shared.top / "loop").symlink_to(shared.top)
    (shared.top / "out").symlink_to(outside)
    (shared.top / "link.jpg").symlink_to(outside / "outside.jpg")
    os.mkfifo(shared.top / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(shared.top)  # a socket's path is short
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
        (shared.top / "directory.jpg").mkdir()
        shared.put("real.jpg")
        shared.check()
    assert list(outside.iterdir()) == [outside / "outside.jpg"]
    for link in ("loop", "out", "link.jpg"):
        (shared.top / link).unlink()


DRIVER = """
import os, time, sys, threading
from pathlib import Path
from photoramd.pipeline import inference
from photoramd.pipeline import pipeline
from photoramd.watch import watcher
from photoramd.pipeline import writer
control = Path({control!r})

# The event handler raises once: watchdog's dispatching thread dies of it.
put = watcher.Inbox.put
def raising(self, path, **options):
    if path.endswith("handler.jpg"):
        raise RuntimeError("a fault in the handler")
    return put(self, path, **options)
watcher.Inbox.put = raising
threading.excepthook = lambda arguments: None

# The decoder and the model raise for some photos.
prepare = pipeline.decode_input
def decode(tagger, path, *rest):
    if path.name == "decoder.jpg":
        raise RuntimeError("a fault in the decoder")
    return prepare(tagger, path, *rest)
pipeline.decode_input = decode
infer = inference.infer
def refuse(tagger, unseen):
    if (control / "model").exists() and unseen:
        class Broken:
            name, revision, vocabulary = tagger.name, tagger.revision, tagger.vocabulary
            def scores(self, batch):
                raise RuntimeError("a fault in the model")
        return infer(Broken(), unseen)
    return infer(tagger, unseen)
inference.infer = refuse

# The wall clock is what the test says.
real_time = time.time
def shifted():
    try:
        return real_time() + float((control / "clock").read_text())
    except (OSError, ValueError):
        return real_time()
time.time = shifted

# The disk is full when the test says so, and left alone for a second instead of a minute.
writer.REST_SECONDS = 1.0
real_fsync = os.fsync
def refuse_if_full(fd):
    if (control / "full").exists():
        raise OSError(28, "No space left on device")
    return real_fsync(fd)
os.fsync = refuse_if_full

# Another program edits a sidecar between its being read and its replacement.
prepare_write = writer._prepare
def edited(plan, photo):
    prepared = prepare_write(plan, photo)
    edit = control / (photo.name + ".edit")
    if prepared is not None and edit.exists():
        os.replace(edit, prepared.target)
    return prepared
writer._prepare = edited

from photoramd.cli import main
main()
"""


def test_fault_16_19_22_faults_of_its_own_the_clock_and_other_programs(
    make: Make, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    control.mkdir()
    world = make(program=DRIVER.format(control=os.fspath(control)))
    world.daemon.start()
    world.put("first.jpg", SMALL[0])
    world.check()
    # 16: the handler; the watch begins anew, and finds the photo that killed it.
    world.put("handler.jpg", SMALL[0])
    wait_for(lambda: "its watch has ended" in world.daemon.log.read_text(), "a new watch")
    world.check()
    world.put("after.jpg", SMALL[0])
    world.check()
    # 16: the decoder and the model: the photo fails, waits, and is tried again on request.
    decoder = world.put("decoder.jpg", SMALL[0])
    (control / "model").touch()
    model = world.put("model.jpg", "china")
    wait_for(lambda: counted(world).get("failed") == 2, "two failures")
    (control / "model").unlink()
    decoder.rename(world.top / "decoded.jpg")
    world.moved(decoder, world.top / "decoded.jpg")
    assert world.daemon.run("retag", "--failed", model).returncode == 0
    world.check()
    # 19: the clock goes a day forward and back; photos from the future and the past.
    for offset in (86_400, -86_400, 0):
        (control / "clock").write_text(str(offset))
        photo = world.put(f"clock{offset}.jpg", SMALL[0])
        os.utime(photo, (4_000_000_000, 4_000_000_000 + offset))
        world.check()
    # The last year but one that ext4 has: too late for 63 bits of nanoseconds.
    os.utime(world.put("2445.jpg", SMALL[0]), (15_000_000_000, 15_000_000_000))
    world.check()
    assert world.daemon.log.read_text().count("The clock was set") >= 3
    # What waits for a moment does not wait for a day when the clock is set back.
    (control / "full").touch()
    world.put("full.jpg", SMALL[0])
    wait_for(lambda: counted(world).get("tagged") == 1, "the write that fails")
    (control / "clock").write_text("-86400")
    (control / "full").unlink()
    world.check()
    # 22: an edit in the moment between reading and replacing survives.
    edited = world.top / "edited.jpg"
    sidecar = edited.with_name("edited.jpg.xmp")
    sidecar.write_text(OWN_SIDECAR.format(word="before"))
    (control / "edited.jpg.edit").write_text(OWN_SIDECAR.format(word="grandmother"))
    world.put("edited.jpg", SMALL[0])
    wanted = {"grandmother", *world.tags[SMALL[0]]}
    wait_for(lambda: set(subjects(sidecar.read_bytes())) == wanted, "both")
    world.theirs[sidecar] = sidecar.read_bytes()
    world.check()


def test_fault_17_stopped_and_killed_again_and_again_under_load(make: Make) -> None:
    world = make()
    chance = random.Random(17)  # noqa: S311
    for number in range(60):
        world.put(f"{number % 7}/{number}.jpg")
    world.daemon.start()
    wait_for(lambda: list(world.top.rglob("*.xmp")), "the first")
    # Again and again, to its last moment: none must do more harm than the first.
    assert world.daemon.process is not None
    while world.daemon.process.poll() is None:
        world.daemon.send(signal.SIGTERM)
        time.sleep(0.001)
    assert world.daemon.process.returncode == 0
    assert not list(world.top.rglob(".photoramd-*"))

    def come(kill: int) -> None:
        for number in range(12):
            world.put(f"{kill % 9}/kill{kill}-{number}.jpg")

    def sidecars() -> int:
        return len(list(world.top.rglob("*.xmp")))

    # At any moment from the first instruction on.
    for kill in range(6):
        world.daemon.launch()
        come(kill)
        time.sleep(chance.random() * 2.5)
        world.daemon.stop(signal.SIGKILL)
    # At work, hence from a process that has the model loaded: every other one after it has
    # written something, and before it has written all.
    left = []
    for kill, process in enumerate(warm(world, 44), start=6):
        before = sidecars()
        come(kill)
        if kill % 2:
            wait_for(lambda before=before: sidecars() > before, "something written")
        time.sleep(chance.random() * (0.05 if kill % 2 else 0.5))
        os.kill(process, signal.SIGKILL)
        left.append(len(world.photos) - sidecars())
    assert sum(count > 0 for count in left) > 20  # most were killed with work to do
    world.daemon.start()
    world.check(temporaries=True)


def warm(world: World, count: int) -> Iterator[int]:
    """Daemons that are at work at once, one after the other: their process ids."""
    command = [sys.executable, "-m", "tests.system.warm", world.daemon.config]
    with (
        world.daemon.log.open("ab") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(count):
            print(file=process.stdin, flush=True)
            yield int(process.stdout.readline())
        process.stdin.close()


def test_fault_18_a_database_that_is_held_or_damaged(make: Make) -> None:
    world = make()
    world.put("a.jpg")
    world.daemon.start()
    world.check()
    # Another connection holds it for a while.
    other = sqlite3.connect(world.daemon.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    world.put("b.jpg")
    time.sleep(2)
    other.execute("ROLLBACK")
    other.close()
    world.check()
    assert world.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    database = world.daemon.database
    log = database.with_name(f"{database.name}-wal")
    assert log.exists()
    log.unlink()
    world.put("c.jpg")
    assert world.daemon.run("scan").returncode == 0
    world.check()
    copy = database.with_name(f"{database.name}.backup-20260101-000000")
    assert world.daemon.run("db", "backup", copy).returncode == 0
    # A garbage header, beside a copy.
    with database.open("r+b") as file:
        file.write(os.urandom(100))
    world.put("d.jpg")
    done = world.daemon.run("scan")
    assert done.returncode == 0, done.stderr
    assert "in its place" in done.stderr
    world.check()
    # Random pages, and no copy: everything is found again.
    copy.unlink()
    with database.open("r+b") as file:
        for page in range(1, database.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    done = world.daemon.run("scan")
    assert done.returncode == 0, done.stderr
    world.check()
    assert len([p for p in database.parent.glob("*.damaged-*") if p.suffix != "-wal"]) >= 2


def test_fault_23_directories_that_may_not_be_read_are_named_and_looked_at_later(
    make: Make, tmp_path: Path
) -> None:
    prefix = unprivileged(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    world = make(*prefix)
    world.top.chmod(0o777)
    world.put("open/photo.jpg").parent.chmod(0o777)
    locked = world.put("locked/deep/photo.jpg").parent
    locked.chmod(0o777)
    locked.parent.chmod(0o700)
    sample = world.photos.pop(locked / "photo.jpg")
    # May be listed, but not entered.
    listed = world.put("listed/photo.jpg").parent
    listed.chmod(0o777)
    world.daemon.start()
    wait_for(lambda: health(world) == "degraded", "degraded")
    assert "locked" in world.daemon.ask("status")["roots"][0]["reason"]
    # Not for the sidecars: they are there before the daemon has had its last look at them.
    wait_for(lambda: counted(world) == {"written": 2}, "what can be read")
    listed.chmod(0o744)
    for _ in range(3):
        rescan(world)
    assert world.missing() == []
    assert "more" in str(root_row(world, "reason"))
    listed.chmod(0o777)
    locked.parent.chmod(0o777)
    world.expect(locked / "photo.jpg", sample)
    # Nobody says so; it is noticed.
    world.check()
    wait_for(lambda: health(world) == "online", "online")


def test_fault_21_idle_for_a_minute_nothing_more_is_written(idle: Idle) -> None:
    # The minute has passed meanwhile, unless this test runs alone.
    time.sleep(max(0.0, idle.began + 60 - time.monotonic()))
    assert idle.snapshot() == idle.files
    assert idle.commits() == idle.version
    # Checking every second, sixty times as often as by default.
    share = (idle.daemon.processor_seconds() - idle.processor) / (time.monotonic() - idle.began)
    assert share < 0.02
