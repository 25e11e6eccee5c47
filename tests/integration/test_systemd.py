"""The service as systemd sees it: the unit, the notify protocol, the journal, reloads.

The numbers in names are those of the faults in docs/watching.md.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from photoramd.daemon.sd_notify import Notifier, connect
from photoramd.daemon.status_line import Situation, StatusLine
from photoramd.database.health import Health
from photoramd.errors import ConfigError, ExitCode
from photoramd.pipeline.inference import LONGEST_SECONDS, BatchSizer
from photoramd.system.log import journal_handler
from tests.support.clock import bound
from tests.support.daemons import Photoramd, wait_for
from tests.support.documents import blocks
from tests.support.supervisor import Journal, Supervisor
from tests.support.xmp import subjects

Put = Callable[[str, str], Path]

CONTRIB = Path(__file__).parents[2] / "contrib" / "systemd"

ALLOWED_EXPOSURE = 1.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it is installed: with a program that is there."""
    program = tmp_path / "prefix" / "bin" / "photoramd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    target = tmp_path / "photoramd.service"
    text = (CONTRIB / "photoramd.service").read_text(encoding="utf-8")
    target.write_text(text.replace("/opt/photoramd", str(tmp_path / "prefix")), encoding="utf-8")
    return target


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "the tests need systemd-analyze: apt-get install systemd"
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_fault_24_the_unit_is_valid_and_shut_off_from_the_rest(unit: Path) -> None:
    verified = analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    # The threshold is given in tenths.
    threshold = f"--threshold={round(ALLOWED_EXPOSURE * 10)}"
    security = analyze("security", "--offline=true", "--no-pager", threshold, unit)
    assert security.returncode == 0, security.stdout + security.stderr


@pytest.fixture
def gallery(unit: Path) -> Path:
    """The gallery's unit beside the daemon's and its socket, as they are installed."""
    for name in ("photoramd-gallery.service", "photoramd-gallery.socket"):
        text = (CONTRIB / name).read_text(encoding="utf-8")
        text = text.replace("/opt/photoramd", str(unit.parent / "prefix"))
        unit.with_name(name).write_text(text, encoding="utf-8")
    return unit.with_name("photoramd-gallery.service")


def test_the_gallery_s_units_are_valid_and_shut_off_from_the_rest(gallery: Path) -> None:
    verified = analyze("verify", "--man=no", gallery, gallery.with_suffix(".socket"))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    threshold = f"--threshold={round(ALLOWED_EXPOSURE * 10)}"
    security = analyze("security", "--offline=true", "--no-pager", threshold, gallery)
    assert security.returncode == 0, security.stdout + security.stderr


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit sets, by key, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if "=" in line and line[0].isupper():
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_gallery_is_shut_off_at_least_as_much_as_the_daemon(unit: Path, gallery: Path) -> None:
    daemon, ours = settings(unit), settings(gallery)
    hardening = list(daemon)[list(daemon).index("ProtectSystem") :]
    assert {key: daemon[key] for key in hardening if key != "WantedBy"}.items() <= ours.items()
    assert ours["MemoryDenyWriteExecute"] == ["true"]
    # These could be written, and be given to another user of the gallery.
    assert not {"StateDirectory", "CacheDirectory", "ConfigurationDirectory"} & ours.keys()


def test_the_documented_drop_ins_of_the_gallery_are_valid(gallery: Path) -> None:
    text = (CONTRIB.parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")
    drop_ins = [block for language, block in blocks(text) if language == "ini"]
    assert len(drop_ins) >= 2
    for number, drop_in in enumerate(drop_ins):
        kind = "socket" if "[Socket]" in drop_in else "service"
        directory = gallery.with_name(f"photoramd-gallery.{kind}.d")
        directory.mkdir(exist_ok=True)
        (directory / f"{number}.conf").write_text(drop_in, encoding="utf-8")
    verified = analyze("verify", "--man=no", gallery, gallery.with_suffix(".socket"))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_the_worker_s_units_are_valid_and_what_the_socket_starts_has_a_limit(unit: Path) -> None:
    units = [unit.with_name(f"photoramd-worker.{kind}") for kind in ("service", "socket")]
    for each in units:
        text = (CONTRIB / each.name).read_text(encoding="utf-8")
        prefix = str(unit.parent / "prefix")
        each.write_text(text.replace("/opt/photoramd", prefix), encoding="utf-8")
    verified = analyze("verify", "--man=no", *units)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    service, socket = map(settings, units)
    fatal = {ExitCode.USAGE, ExitCode.MODEL, ExitCode.CONFIGURATION}
    assert set(map(int, service["RestartPreventExitStatus"][0].split())) == fatal
    # Even if each start takes as long as one may.
    hours = float(socket["TriggerLimitIntervalSec"][0].removesuffix("h"))
    slowest = int(service["TimeoutStartSec"][0]) * int(socket["TriggerLimitBurst"][0])
    assert slowest < 3600 * hours


def test_fault_24_the_example_of_a_drop_in_is_valid(unit: Path) -> None:
    drop_in = unit.with_name("photoramd.service.d") / "photos.conf"
    drop_in.parent.mkdir()
    shutil.copyfile(CONTRIB / "photos.conf.example", drop_in)
    # What it offers in comments is valid too.
    commented = [
        line.removeprefix("#") if line[:1] == "#" and line[1:2].isupper() and "=" in line else line
        for line in drop_in.read_text(encoding="utf-8").splitlines()
    ]
    drop_in.write_text("\n".join(commented) + "\n", encoding="utf-8")
    verified = analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_the_documented_drop_in_for_hooks_is_valid_and_opens_no_more_than_it_says(
    unit: Path,
) -> None:
    text = (CONTRIB.parents[1] / "docs" / "hooks.md").read_text(encoding="utf-8")
    drop_in, path = [block for language, block in blocks(text) if language == "ini"]
    (target := unit.with_name("photoramd.service.d")).mkdir()
    (target / "hooks.conf").write_text(drop_in, encoding="utf-8")
    unit.with_name("new-photos.path").write_text(path, encoding="utf-8")
    unit.with_name("new-photos.service").write_text("[Service]\nExecStart=/bin/true\n")
    verified = analyze("verify", "--man=no", unit, unit.with_name("new-photos.path"))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    # The drop-in's families come to the unit's; and the denial of all other addresses stays.
    shown = analyze("security", "--offline=true", "--no-pager", unit).stdout
    assert re.search(r"✗ RestrictAddressFamilies=~AF_\(INET\|INET6\)", shown)
    assert re.search(r"✓ RestrictAddressFamilies=~AF_NETLINK", shown)
    assert "defines IP address allow list" in shown


def test_faults_in_the_unit_and_in_a_drop_in_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text(encoding="utf-8").replace("WatchdogSec", "WatchdogSecs"))
    drop_in = unit.with_name("photoramd.service.d") / "photos.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nReadWritePath=/volume1\n", encoding="utf-8")
    found = analyze("verify", "--man=no", unit).stderr
    assert "WatchdogSecs" in found
    assert "ReadWritePath" in found


# The protocol, with the real daemon.


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as made:
        yield made


@pytest.fixture
def photoramd(tmp_path: Path, album: Path, supervisor: Supervisor) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    instance.environment = supervisor.environment
    yield instance
    instance.close()


def watched_inodes(process: int) -> set[int]:
    found = set()
    for info in Path(f"/proc/{process}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # another file, closed meanwhile
            for line in info.read_text().splitlines():
                if line.startswith("inotify "):
                    found.add(int(line.split()[2].removeprefix("ino:"), 16))
    return found


def test_fault_20_ready_pings_status_and_stopping(
    photoramd: Photoramd, supervisor: Supervisor, put: Put, album: Path
) -> None:
    put("cat", "below/cat.png")
    photoramd.configure(debounce="quiet_seconds = 3")
    # Long enough for a machine that is busy with other things.
    patience = 4
    photoramd.environment = supervisor.waiting(patience)
    photoramd.launch()
    assert photoramd.process is not None
    supervisor.wait_for("^READY=1$")
    assert photoramd.database.exists()
    # Both directories are watched; the scan came later, so nothing is tagged yet.
    watched = watched_inodes(photoramd.process.pid)
    assert {album.stat().st_ino, (album / "below").stat().st_ino} <= watched
    assert not list(album.rglob("*.xmp"))
    assert not any("WATCHDOG" in message for _, message in supervisor.messages[:-1])
    supervisor.wait_for("^WATCHDOG=1$")
    supervisor.wait_for("^STATUS=Watching 1 directory; no photo waiting$")
    since = time.monotonic()
    supervisor.drain(patience + 0.5)
    assert supervisor.longest_pause(since) < patience
    photoramd.send(signal.SIGTERM)
    supervisor.wait_for("^STOPPING=1$")
    assert photoramd.stop() == 0


BLOCKABLE = """
import sys, time
from pathlib import Path
from photoramd.daemon import assembly
from photoramd.pipeline import inference
from photoramd.daemon import sd_notify
from photoramd.cli import main

class Slow:
    # The real model, kept from answering: a processor that hangs cannot be had.
    def __init__(self, tagger):
        self.tagger = tagger

    def __getattr__(self, name):
        return getattr(self.tagger, name)

    def scores(self, batch):
        while Path({block!r}).exists():
            Path({block!r} + "ed").touch()
            time.sleep(0.05)
        time.sleep({seconds} * len(batch))
        return self.tagger.scores(batch)

load = assembly.load_tagger
assembly.load_tagger = lambda config: Slow(load(config))
inference.LONGEST_SECONDS = {longest}
main()
"""


def blockable(
    tmp_path: Path, album: Path, *, seconds: float = 0, longest: float = 0.25, **sections: str
) -> tuple[Photoramd, Path]:
    """A daemon whose model waits while a file exists, and takes so long for a photo.

    That it waits another file tells, with "ed" at the end of its name.
    """
    block = tmp_path / "block"
    program = BLOCKABLE.format(block=os.fspath(block), seconds=seconds, longest=longest)
    return Photoramd(tmp_path, album, program=program, **sections), block


def test_fault_20_when_the_worker_is_blocked_the_pings_stop(
    tmp_path: Path, album: Path, supervisor: Supervisor, put: Put
) -> None:
    instance, block = blockable(tmp_path, album)
    instance.environment = supervisor.environment
    block.touch()
    try:
        instance.launch()
        supervisor.wait_for("^READY=1$")
        put("cat", "cat.png")
        wait_for(block.with_name("blocked").exists, "the photo's turn")
        supervisor.drain(0.1)  # what had been sent before
        assert supervisor.drain(3) == []
        assert instance.states() == {"pending": 1}
        # Started again it does not claim to load the model while it works on the same photo.
        instance.stop(signal.SIGKILL)
        instance.launch()
        supervisor.wait_for("^READY=1$")
        supervisor.wait_for("^STATUS=Scanning 1 directory; 1 photo waiting$")
        block.unlink()
        supervisor.wait_for("^WATCHDOG=1$")
        instance.wait_for_states(written=1)
    finally:
        instance.close()


def test_a_slow_model_that_gets_on_keeps_the_pings_and_stops_between_photos(
    tmp_path: Path, album: Path, supervisor: Supervisor, samples: dict[str, Path]
) -> None:
    # As a large model on a small processor, thirty times as fast: a batch takes 20 s, systemd
    # waits for 4 s, the model is not kept busy for more than 0.5 s.
    instance, _ = blockable(
        tmp_path, album, seconds=0.1, longest=0.5,
        debounce="quiet_seconds = 0.3\nbatch_size = 200",
    )  # fmt: skip
    instance.environment = supervisor.waiting(4)
    with Image.open(samples["china"]) as china:
        for index in range(200):
            # Different pictures: the model sees each.
            china.crop((index, 0, index + 300, 300)).save(album / f"{index}.jpg")
    try:
        instance.launch()
        supervisor.wait_for("^READY=1$")
        wait_for(lambda: instance.states() == {"pending": 200})
        supervisor.drain(0.1)
        since = time.monotonic()
        supervisor.drain(5)
        assert supervisor.longest_pause(since) < bound(4)
        assert not list(album.glob("*.xmp"))  # the first batch is not over
        began = time.monotonic()
        assert instance.stop() == 0
        assert time.monotonic() - began < bound(8)
        assert not list(album.glob(".photoramd-*"))
        # What the model has seen is kept.
        instance.launch()
        assert instance.states().get("tagged", 0) + instance.states().get("written", 0) > 10
    finally:
        instance.close()


def test_without_the_extra_it_ends_at_once_and_says_what_to_install(
    tmp_path: Path, album: Path, supervisor: Supervisor
) -> None:
    program = (
        "import sys; sys.modules['systemd'] = None; from photoramd.cli import main; main()"
        # torch must not be waited for either
    )
    instance = Photoramd(tmp_path, album, program=program)
    began = time.monotonic()
    done = subprocess.run(
        instance.command("run"),
        env={**os.environ, **supervisor.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ConfigError.exit_code
    assert "pip install systemd-python" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < bound(20)
    assert not instance.database.exists()


def test_without_systemd_nothing_of_it_is_needed(tmp_path: Path, album: Path, put: Put) -> None:
    program = "import sys; sys.modules['systemd'] = None; from photoramd.cli import main; main()"
    put("cat", "cat.png")
    instance = Photoramd(tmp_path, album, program=program)
    try:
        instance.start()
        instance.wait_for_states(written=1)
        assert instance.stop() == 0
    finally:
        instance.close()


def test_the_exit_codes_that_a_restart_cannot_mend_are_in_the_unit() -> None:
    text = (CONTRIB / "photoramd.service").read_text(encoding="utf-8")
    (line,) = (each for each in text.splitlines() if each.startswith("RestartPreventExitStatus="))
    assert {str(ConfigError.exit_code), "3"} <= set(line.partition("=")[2].split())


def test_the_journal_gets_photo_tags_root_and_duration(
    tmp_path: Path, album: Path, put: Put, supervisor: Supervisor
) -> None:
    unshare = shutil.which("unshare")
    assert unshare, "the tests need unshare: apt-get install util-linux"
    run = tmp_path / "run"
    odd = os.fsdecode(b"cat\xff\n.png")
    with Journal(run) as journal:
        script = 'mount --bind "$0" /run && exec "$@"'
        instance = Photoramd(tmp_path, album, unshare, "-m", "sh", "-c", script, os.fspath(run))
        instance.log.touch()
        status = instance.log.stat()
        instance.environment = {
            **supervisor.environment,
            "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
        }
        try:
            instance.launch()
            supervisor.wait_for("^READY=1$")
            photo = put("cat", odd)
            entry = journal.wait_for("PHOTO")
            assert instance.stop() == 0
        finally:
            instance.close()
    assert entry["PHOTO"] == os.fsencode(photo)
    assert entry["ROOT"] == os.fsencode(album)
    assert entry["TAGS"] == b"animal, cat"
    assert 0 < float(entry["DURATION"]) < 60
    assert entry["PRIORITY"] == b"6"
    assert entry["SYSLOG_IDENTIFIER"] == b"photoramd"
    assert entry["MESSAGE"].decode().endswith("animal 0.95, cat 0.95")
    assert instance.log.read_bytes() == b""


# Reloads.


def reload(instance: Photoramd, supervisor: Supervisor, *statuses: str) -> None:
    """SIGHUP, and what must follow; each status is a pattern for a line."""
    now = time.monotonic_ns() // 1000
    instance.send(signal.SIGHUP)
    moment = 0
    while moment < now:  # an earlier one may be on its way
        message = supervisor.wait_for("^RELOADING=1$")
        moment = int(message.partition("MONOTONIC_USEC=")[2].split()[0])
    assert moment <= time.monotonic_ns() // 1000
    supervisor.wait_for("^READY=1$")
    for status in statuses:
        supervisor.wait_for(f"^STATUS={status}")


def test_a_reload_takes_the_new_settings_and_refuses_wrong_ones(
    photoramd: Photoramd, supervisor: Supervisor, put: Put, album: Path, tmp_path: Path
) -> None:
    cat, other = put("cat", "cat.png"), tmp_path.resolve() / "other"
    other.mkdir()
    photoramd.launch()
    supervisor.wait_for("^READY=1$")
    photoramd.wait_for_states(written=1)

    def tags_of(photo: Path) -> tuple[str, ...]:
        return subjects(Path(f"{photo}.xmp").read_bytes())

    # Another threshold reaches known photos, without the model.
    photoramd.configure(model="threshold = 0.951")
    reload(photoramd, supervisor, "Watching 1 directory")
    wait_for(lambda: tags_of(cat) == ("animal",))
    # A wrong configuration, a model that is not there, another database: refused with the
    # reason, the old configuration stays, and the look at everything happens all the same.
    refused = {
        "debounce.quiet_secs: unknown key": {"debounce": "quiet_secs = 3"},
        "not installed": {"model": 'name = "ram++"'},
        "which cannot change while": {"state": f"path = '{tmp_path}/another.db'"},
    }
    for index, (reason, sections) in enumerate(refused.items()):
        photoramd.configure(**sections)
        reload(photoramd, supervisor, f".*the changed configuration is refused: .*{reason}")
        another = put("cat", f"{index}.png")
        wait_for(Path(f"{another}.xmp").exists, "what comes after the refusal")
        assert tags_of(cat) == ("animal",)
    assert not (tmp_path / "another.db").exists()
    assert photoramd.log.read_text().count("is refused, the old one stays") == 3
    # Overrides that cannot be read any more are the same; and were in use.
    (tmp_path / "overrides.json").write_text("{")
    reload(photoramd, supervisor, ".*refused: .*overrides")
    (tmp_path / "overrides.json").write_text('{"animal": "beast"}')
    # Other directories: the first is left alone from now on.
    photoramd.configure(**{"[watch]": f"path = '{other}'", "model": "threshold = 0.951"})
    reload(photoramd, supervisor, "Watching 1 directory; no photo waiting$")
    put("cat", "left-alone.png")
    new = put("cat", "../other/cat.png")
    wait_for(lambda: Path(f"{new}.xmp").exists())
    assert tags_of(new) == ("beast",)
    assert tags_of(cat) == ("animal",)
    assert not (album / "left-alone.png.xmp").exists()
    # Both again, and nothing is written any more: what is written is left as it is.
    photoramd.configure(
        watches=f"[[watch]]\npath = '{other}'\n", **{"[watch]": f"path = '{album}'\nwrite = 'none'"}
    )
    reload(photoramd, supervisor, "Watching 2 directories; no photo waiting$")
    wait_for(lambda: photoramd.ask("show", album / "left-alone.png")["state"] == "written")
    assert not (album / "left-alone.png.xmp").exists()
    wait_for(lambda: tags_of(new) == ("beast", "cat"))
    # And into the photos.
    photoramd.configure(**{"[watch]": f"path = '{album}'\nwrite = 'embed'"})
    reload(photoramd, supervisor)
    wait_for(lambda: b"beast" in (album / "left-alone.png").read_bytes())
    assert photoramd.stop() == 0
    assert "Traceback" not in photoramd.log.read_text()


def test_reloads_amid_work_lose_nothing_and_do_nothing_twice(
    photoramd: Photoramd, supervisor: Supervisor, samples: dict[str, Path], album: Path
) -> None:
    for name in samples:
        shutil.copyfile(samples[name], album / f"{name}.jpg")
    photoramd.launch()
    # While the model loads: it is done as soon as somebody can.
    wait_for(photoramd.database.exists)
    photoramd.send(signal.SIGHUP)
    supervisor.wait_for("^READY=1$")
    supervisor.wait_for("^RELOADING=1$")
    wait_for(lambda: list(album.glob("*.xmp")), "the first sidecar")
    for batch_size in (1, 2, 3):
        photoramd.configure(debounce=f"quiet_seconds = 0.3\nbatch_size = {batch_size}")
        reload(photoramd, supervisor)
        # Two in a row: the second may come while the first is under way.
        photoramd.send(signal.SIGHUP)

    def all_are_written() -> bool:
        supervisor.drain(0.1)  # a daemon waits where nobody reads what it tells
        return photoramd.states() == {"written": len(samples)}

    wait_for(all_are_written, photoramd.log.read_text())
    assert photoramd.stop() == 0
    text = photoramd.log.read_text()
    for name in samples:
        assert text.count(f"/{name}.jpg: ") == 1


TELLS_WHEN_A_MODEL_IS_DROPPED = """
import gc, sys, weakref
from photoramd.daemon import assembly
from photoramd.cli import main

gc.disable()  # a daemon that mostly waits may not collect garbage for hours
load = assembly.load_tagger

def watched(config):
    tagger = load(config)
    dropped = weakref.finalize(tagger, print, "a model was dropped", file=sys.stderr, flush=True)
    dropped.atexit = False
    return tagger

assembly.load_tagger = watched
main()
"""


def test_a_model_that_a_reload_replaces_leaves_memory(
    tmp_path: Path, album: Path, supervisor: Supervisor, put: Put
) -> None:
    put("cat", "cat.png")
    program = TELLS_WHEN_A_MODEL_IS_DROPPED
    instance = Photoramd(tmp_path, album, program=program, model="threads = 1")
    instance.environment = supervisor.environment
    try:
        instance.launch()
        supervisor.wait_for("^READY=1$")
        instance.wait_for_states(written=1)
        instance.configure(model="threads = 2")
        reload(instance, supervisor)
        wait_for(lambda: "a model was dropped" in instance.log.read_text(), "the old model")
        assert instance.stop() == 0
    finally:
        instance.close()


SLOW_TO_LOAD = """
import sys, time
from photoramd.daemon import assembly
from photoramd.cli import main

load = assembly.load_tagger

def slowly(config):
    # A disk that takes minutes for a model cannot be had.
    if config.model.threads == {threads}:
        print("loading slowly", file=sys.stderr, flush=True)
        time.sleep(3600)
    return load(config)

assembly.load_tagger = slowly
main()
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stop_does_not_wait_for_a_model_that_loads(
    threads: int, tmp_path: Path, album: Path, supervisor: Supervisor
) -> None:
    """At the start, and when another is loaded for a changed configuration."""
    program = SLOW_TO_LOAD.format(threads=threads)
    instance = Photoramd(tmp_path, album, program=program, model="threads = 1")
    instance.environment = supervisor.environment
    try:
        instance.launch()
        if threads == 2:
            supervisor.wait_for("^READY=1$")
            instance.configure(model="threads = 2")
            instance.send(signal.SIGHUP)
        instance.wait_for_log("loading slowly")
        began = time.monotonic()
        assert instance.stop() == 0
        assert time.monotonic() - began < bound(20)
        supervisor.wait_for("^STOPPING=1$")
        assert "Traceback" not in instance.log.read_text()
    finally:
        instance.close()


# The parts.


def test_the_first_sign_of_life_of_a_long_start_asks_for_more_time() -> None:
    sent: list[str] = []

    def heard(seconds: float) -> list[str]:
        sent.clear()
        time.sleep(seconds)
        return sent

    notifier = Notifier(sent.append, watchdog_seconds=0.02, look_seconds=0.01)
    with notifier, notifier.busy():
        deadline = time.monotonic() + 60
        while not sent:  # at work: this takes processor time
            assert time.monotonic() < deadline
        assert sent[0] == "EXTEND_TIMEOUT_USEC=120000000"
        # Blocked it sends nothing, once what was under way has ended.
        wait_for(lambda: not heard(0.3))


def test_a_ping_needs_everything_to_be_well() -> None:
    sent: list[str] = []
    well = [True]
    notifier = Notifier(sent.append, watchdog_seconds=1e-9)
    notifier.ready(lambda: well[0])
    assert sent == ["READY=1", "WATCHDOG=1"]
    well[0] = False
    notifier.beat()
    assert sent == ["READY=1", "WATCHDOG=1"]
    well[0] = True
    notifier.beat()
    assert sent[2:] == ["WATCHDOG=1"]


def test_what_is_not_well_is_not_asked_after_all_the_time() -> None:
    asked: list[bool] = []
    notifier = Notifier(lambda _: None, watchdog_seconds=120)
    notifier.ready(lambda: bool(asked.append(True)))
    for _ in range(1000):
        notifier.beat()
    assert len(asked) == 1


def test_pings_are_a_quarter_of_the_patience_apart_at_most() -> None:
    sent: list[str] = []
    notifier = Notifier(sent.append, watchdog_seconds=120)
    notifier.ready(lambda: True)
    for _ in range(1000):
        notifier.beat()
    assert sent == ["READY=1", "WATCHDOG=1"]


def test_a_supervisor_that_is_gone_harms_nothing(tmp_path: Path) -> None:
    def send(_: str) -> None:
        raise OSError("connection refused")

    Notifier(send, watchdog_seconds=1).ready(lambda: True)


def test_the_watchdog_of_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    assert connect()._has_watchdog
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert not connect()._has_watchdog


def test_the_journal_is_used_only_where_standard_error_leads_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    assert journal_handler() is None
    assert sys.stderr is not None


def test_the_model_gets_as_many_photos_as_it_looks_at_in_seconds() -> None:
    pace = BatchSizer()
    for _ in range(5):
        pace.learn(pace.size, 0.01 * pace.size)
    assert pace.size == 32
    pace.learn(5, 0.05)  # a small batch teaches nothing
    assert pace.size == 32
    pace.learn(32, LONGEST_SECONDS + 1)
    assert pace.size == 16
    pace.learn(16, LONGEST_SECONDS - 1)
    assert pace.size == 16


def test_the_status_is_one_line_of_queue_rate_and_health() -> None:
    line = StatusLine()
    for second in range(31):
        line.note(2, second)

    def shown(**changes: object) -> str:
        values: dict[str, object] = {
            "roots": 2, "waiting": 0, "is_scanning": False, "rests_until": None, "unhealthy": {},
        }  # fmt: skip
        return line.format(30, Situation(**(values | changes)))  # type: ignore[arg-type]

    assert shown(waiting=1234, is_scanning=True) == (
        "Scanning 2 directories; 1,234 photos waiting, 120 a minute"
    )
    assert shown() == "Watching 2 directories; no photo waiting"
    assert shown(waiting=1) == "Watching 2 directories; 1 photo waiting"  # after a pause
    assert "tagging begins at" in shown(waiting=1, rests_until=0.0)
    unhealthy = {f"/{name}": Health("offline", "not there") for name in "abc"}
    assert shown(unhealthy=unhealthy) == (
        "Watching 2 directories; no photo waiting; /a is offline: not there;"
        " /b is offline: not there; 1 more with troubles"
    )
    line.complaint = "the changed configuration is refused: x"
    assert shown().endswith("; the changed configuration is refused: x")


def test_the_rate_of_batches_is_that_of_the_work_between_them() -> None:
    line = StatusLine()
    line.note(8, 100)
    assert line.rate(100) == 0  # nobody knows when it was begun
    line.note(8, 116)
    assert line.rate(116) == 30
    for seconds in range(196, 1000, 80):  # batches further apart than it looks back
        line.note(8, seconds)
    assert line.rate(seconds) == 6
    assert line.rate(seconds + 61) == 0
