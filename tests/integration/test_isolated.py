"""The model in a process of its own: unloaded, started again, and whatever may befall it."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

import photoramd
from photoramd.clock import Monotonic, UnixTime
from photoramd.config.schema import Config, Model
from photoramd.contained.client import Contained
from photoramd.daemon import assembly
from photoramd.daemon.figures import FigureKeeper
from photoramd.daemon.sd_notify import Notifier
from photoramd.database.connection import Database
from photoramd.database.figures import stored
from photoramd.database.readonly import open_readonly
from photoramd.errors import IntegrityError, ModelError, ModelUnavailableError
from photoramd.models import registry
from photoramd.models.isolated import client
from photoramd.models.isolated.tagger import REST_SECONDS, UnloadingTagger
from photoramd.models.preprocessing import Pixels
from photoramd.models.rules import Rules
from photoramd.models.tagger import Tagger
from photoramd.models.weights.catalog import EMBEDDED
from photoramd.models.weights.verified import locate
from photoramd.pipeline.inference import BatchSizer
from photoramd.pipeline.pipeline import Outcome
from photoramd.system.signals import Interrupts
from tests.support import misbehaving_tagger
from tests.support.daemons import Photoramd, wait_for
from tests.support.misbehaving_tagger import (
    DIE,
    FINE,
    HANG,
    KILL,
    LOG,
    RAISE,
    REFUSE,
    REMEDY,
    WORK,
    pixels,
)

Put = Callable[[str, str], Path]

IDLE_SECONDS = 300.0


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_text("1")
    return path


@pytest.fixture
def misbehaving(weights: Path) -> Iterator[UnloadingTagger]:
    load = partial(misbehaving_tagger.load, weights)
    with UnloadingTagger(load, idle_seconds=IDLE_SECONDS) as tagger:
        tagger.step(0)
        yield tagger


def children(of: int | None = None) -> list[int]:
    """Processes with a model that a process has started and that have not ended."""
    tasks = Path(f"/proc/{of or os.getpid()}/task").iterdir()
    pids = [pid for task in tasks for pid in told(task / "children").split()]
    name = "photoramd.models.isolated.worker"
    return [int(pid) for pid in pids if name in told(Path(f"/proc/{pid}/cmdline"))]


def told(path: Path) -> str:
    """What /proc says of a process or a thread: nothing if that has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    status = told(Path(f"/proc/{pid}/stat"))
    return not status or status.rpartition(")")[2].split()[0] in ("Z", "X")


# With the real model


def load_and_tell() -> Tagger:
    tagger = registry.load("embedded", threads=1)
    logging.getLogger("photoramd.test").warning("loaded in %d", os.getpid())
    return tagger


def test_it_tags_as_in_this_process_before_and_after_it_was_unloaded(
    embedded_tagger: Tagger, samples: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    load = load_and_tell
    with Image.open(samples["cat"]) as image:
        picture = image.convert("RGB")
    with UnloadingTagger(load, idle_seconds=IDLE_SECONDS) as tagger:
        for name in ("name", "revision", "vocabulary", "crop", "decode_side"):
            assert getattr(tagger, name) == getattr(embedded_tagger, name)
        seen = tagger.pixels(picture)
        assert np.array_equal(seen, embedded_tagger.pixels(picture))
        expected = embedded_tagger.scores([seen, seen[::-1]])
        tagger.step(10)
        assert np.array_equal(tagger.scores([seen, seen[::-1]]), expected)
        tagger.step(20)
        assert tagger.deadline() == 20 + IDLE_SECONDS
        tagger.step(20 + IDLE_SECONDS - 1)
        [first] = children()
        tagger.step(20 + IDLE_SECONDS)
        assert children() == []
        assert is_gone(first)
        assert tagger.deadline() == math.inf
        assert np.array_equal(tagger.scores([seen, seen[::-1]]), expected)
        [second] = children()
    assert is_gone(second)
    assert f"loaded in {first}" in caplog.messages
    assert f"loaded in {second}" in caplog.messages


def test_a_list_of_tags_reaches_the_process(weights: Path) -> None:
    wants = Rules(overrides={"Tabby": "Our cat"}, allow=frozenset(["our CAT"])).wants
    load = partial(load_with_wish, weights, wants)
    with UnloadingTagger(load, idle_seconds=IDLE_SECONDS) as tagger:
        assert tagger.revision == "True False"


def load_with_wish(weights: Path, is_wanted: Callable[[str], bool]) -> Tagger:
    return misbehaving_tagger.MisbehavingTagger(f"{is_wanted('tabby')} {is_wanted('dog')}")


# Failures


def test_wrong_weights_at_the_first_start_are_the_same_error_as_in_this_process(
    weights: Path,
) -> None:
    weights.write_text("bad")
    with pytest.raises(IntegrityError, match="not the pinned bytes") as caught:
        UnloadingTagger(partial(misbehaving_tagger.load, weights), idle_seconds=IDLE_SECONDS)
    assert (caught.value.path, caught.value.remedy) == (str(weights), REMEDY)
    assert caught.value.exit_code == 3
    assert children() == []


def test_a_process_that_ends_costs_one_batch_and_rests_when_it_ends_again(
    misbehaving: UnloadingTagger,
) -> None:
    with pytest.raises(ModelError, match="ended with code 7"):
        misbehaving.scores([pixels(DIE)])
    assert misbehaving.is_available
    with pytest.raises(ModelError, match="ended with code 7"):
        misbehaving.scores([pixels(DIE)])
    for now in (1, REST_SECONDS[1] - 1):
        misbehaving.step(now)
        assert not misbehaving.is_available
        with pytest.raises(ModelUnavailableError, match="rests"):
            misbehaving.scores([pixels(FINE)])
    assert children() == []
    now = REST_SECONDS[1]
    misbehaving.step(now)
    assert misbehaving.is_available
    # Each failure in a row costs more time, up to the most.
    for pause in (*REST_SECONDS[2:], REST_SECONDS[-1]):
        with pytest.raises(ModelError, match="code 7"):
            misbehaving.scores([pixels(DIE)])
        misbehaving.step(now + pause - 1)
        assert not misbehaving.is_available
        now += pause
        misbehaving.step(now)
    assert misbehaving.scores([pixels(FINE)]).tolist() == [[0.75, 0.75]]
    # A success makes the next failure the first.
    with pytest.raises(ModelError, match="code 7"):
        misbehaving.scores([pixels(DIE)])
    assert misbehaving.is_available


def test_the_figures_of_the_daemon_tell_of_a_model_that_failed(
    misbehaving: UnloadingTagger, database: Database
) -> None:
    def is_available() -> bool:
        keeper.step([], now=Monotonic(next(seconds)), wall=UnixTime(1e9))
        with closing(open_readonly(database.path)) as connection:
            found = stored(connection)
            assert found is not None
            return bool(found[0].is_model_available)

    seconds = count(0, 20)
    with Contained() as contained:
        keeper = FigureKeeper(database, misbehaving, BatchSizer(), contained)
        assert is_available()
        with pytest.raises(ModelError):
            misbehaving.scores([pixels(DIE)])
        assert not is_available()
        misbehaving.scores([pixels(FINE)])
        assert is_available()


def test_a_process_that_was_killed_while_idle_costs_nothing(
    misbehaving: UnloadingTagger, caplog: pytest.LogCaptureFixture
) -> None:
    [pid] = children()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid))
    assert misbehaving.scores([pixels(FINE)]).shape == (1, 2)
    assert "ended while it was idle" in caplog.text


@pytest.mark.parametrize("photos", [[pixels(FINE)], [np.zeros((2000, 2000, 3), np.uint8)] * 2])
def test_a_process_that_is_killed_before_it_took_the_batch_costs_nothing(
    photos: list[Pixels], misbehaving: UnloadingTagger, caplog: pytest.LogCaptureFixture
) -> None:
    # So it looks when its last thread has not ended yet: alive, but it will take nothing.
    [pid] = children()
    os.kill(pid, signal.SIGSTOP)
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -KILL {pid}"])
    assert misbehaving.scores(photos).shape == (len(photos), 2)
    killer.wait()
    assert "ended while it was idle" in caplog.text
    assert misbehaving.is_available
    assert misbehaving.trouble == ""


def test_want_of_memory_is_named(misbehaving: UnloadingTagger) -> None:
    with pytest.raises(ModelError, match="was killed, perhaps for want of memory"):
        misbehaving.scores([pixels(KILL)])


def test_a_process_that_hangs_is_ended_in_time(
    misbehaving: UnloadingTagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PHOTO_SECONDS", 0.2)
    [pid] = children()
    with pytest.raises(ModelError, match="did not answer within 0 s"):
        misbehaving.scores([pixels(HANG)])
    assert is_gone(pid)


def test_a_frozen_process_that_takes_nothing_is_ended_in_time(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_SEND_SECONDS", 1)
    load = partial(misbehaving_tagger.load, weights)
    with UnloadingTagger(load, idle_seconds=IDLE_SECONDS) as tagger:
        [pid] = children()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ModelError, match="did not react for 1 s"):
            tagger.scores([np.zeros((2000, 2000, 3), np.uint8)])
        assert is_gone(pid)


def test_a_stop_waits_a_moment_for_a_batch_and_no_longer(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STOP_SECONDS", 0.5)
    load = partial(misbehaving_tagger.load, weights)
    is_loaded = False
    asked = count()

    def is_stopped() -> bool:
        # The first to ask is the batch, before it begins.
        return is_loaded and next(asked) > 0

    tagger = UnloadingTagger(load, idle_seconds=IDLE_SECONDS, is_stopped=is_stopped)
    is_loaded = True
    began = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="stopped"):
        tagger.scores([pixels(HANG)])
    assert 0.5 < time.monotonic() - began < client.PHOTO_SECONDS
    assert children() == []
    with pytest.raises(ModelUnavailableError, match="stopped"):
        tagger.scores([pixels(FINE)])
    assert children() == []


def test_a_process_that_gets_on_is_a_sign_of_life_and_one_that_hangs_is_not(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[float] = []
    load = partial(misbehaving_tagger.load, weights)
    beat = partial(beats.append, 1)
    with UnloadingTagger(load, idle_seconds=IDLE_SECONDS, beat=beat) as tagger:
        beats.clear()
        tagger.scores([pixels(WORK)])
        assert len(beats) >= 2
        beats.clear()
        monkeypatch.setattr(client, "PHOTO_SECONDS", 0.6)
        with pytest.raises(ModelError, match="did not answer"):
            tagger.scores([pixels(HANG)])
        assert len(beats) <= 1


def test_an_error_about_a_batch_comes_as_it_is_and_the_process_goes_on(
    misbehaving: UnloadingTagger, caplog: pytest.LogCaptureFixture
) -> None:
    before = children()
    with pytest.raises(ModelError, match="this picture is refused") as refused:
        misbehaving.scores([pixels(REFUSE)])
    assert (refused.value.path, refused.value.remedy) == ("/a", REMEDY)
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        misbehaving.scores([pixels(RAISE)])
    assert "Traceback" in caplog.text
    assert "a bug" in caplog.text
    assert misbehaving.scores([pixels(FINE)] * 3).shape == (3, 2)
    assert children() == before


def test_its_log_is_the_log_of_this_process(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "photoramd")
    load = partial(misbehaving_tagger.load, weights)
    with UnloadingTagger(load, idle_seconds=IDLE_SECONDS) as tagger:
        tagger.scores([pixels(LOG)])
    found = [record for record in caplog.records if record.name.endswith("misbehaving")]
    assert [record.getMessage() for record in found] == ["from a thread"]


def test_signals_to_the_group_are_the_other_processs_business(misbehaving: UnloadingTagger) -> None:
    [pid] = children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert misbehaving.scores([pixels(FINE)]).shape == (1, 2)
    assert children() == [pid]


@pytest.mark.parametrize("content", ["bad", "2"])
def test_weights_that_changed_meanwhile_are_refused_until_they_are_right_again(
    content: str, misbehaving: UnloadingTagger, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    misbehaving.step(IDLE_SECONDS)
    weights.write_text(content)
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        misbehaving.scores([pixels(FINE)])
    assert misbehaving.trouble.startswith("the model cannot be loaded: ")
    assert children() == []
    reason = f"not the pinned bytes ({REMEDY})" if content == "bad" else "start photoramd again"
    assert reason in caplog.text
    weights.write_text("1")
    assert not misbehaving.is_available
    misbehaving.step(IDLE_SECONDS + REST_SECONDS[1])
    assert misbehaving.scores([pixels(FINE)]).shape == (1, 2)
    assert misbehaving.trouble == ""


BUSY = """
import sys
from functools import partial
from pathlib import Path
from photoramd.models.isolated.tagger import UnloadingTagger
from tests.support import misbehaving_tagger
load = partial(misbehaving_tagger.load, Path(sys.argv[1]))
tagger = UnloadingTagger(load, idle_seconds=60)
print(tagger._process.pid, flush=True)
tagger.scores([misbehaving_tagger.pixels(misbehaving_tagger.HANG)])
"""


def test_it_dies_with_its_parent_in_the_middle_of_its_work(weights: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY, weights], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: is_gone(pid), "the process of the model to end")


# The daemon


def test_photos_wait_without_blame_while_there_is_no_model(
    configure: Callable[..., Config],
    weights: Path,
    put: Put,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = partial(misbehaving_tagger.load, weights)
    monkeypatch.setattr(assembly, "loader", lambda _: load)
    put("cat", "cat.png")
    config = msgspec.structs.replace(configure(), model=Model(idle_unload_minutes=5))
    wall = time.time()
    with (
        assembly.opened(config) as resources,
        Interrupts() as interrupts,
        assembly.build(
            resources,
            assembly.set_up(
                resources,
                config,
                load=lambda each: assembly.lasting_tagger(each, resources, interrupts, Notifier()),
            ),
            interrupts,
        ) as daemon,
    ):

        def turn(now: float) -> list[Outcome]:
            outcomes = daemon.step(now, wall + now)
            return outcomes + daemon.step(now + 0.1, wall + now + 0.1)

        assert turn(0) == []
        assert turn(IDLE_SECONDS) == []
        assert children() == []
        weights.write_text("bad")
        daemon._reconciler.request(os.fspath(album))
        [outcome] = [*turn(301), *turn(302), *turn(303), *turn(304)]
        assert outcome.state == "pending"
        assert isinstance(outcome.error, ModelUnavailableError)
        weights.write_text("1")
        # It is due, but nobody asks until the rest is over.
        assert turn(305) == []
        [outcome] = turn(304 + REST_SECONDS[1])
        assert outcome.state == "written"
        assert [tag.name for tag in outcome.tags] == ["one", "two"]
    with closing(sqlite3.connect(config.state.path)) as connection:
        [attempts] = connection.execute("SELECT attempts FROM photos").fetchone()
    assert attempts == 0


UNLOADING = "idle_unload_minutes = 0.02"


@pytest.fixture
def start(tmp_path: Path, album: Path) -> Iterator[Callable[..., Photoramd]]:
    instances = []

    def make(*prefix: str, **sections: str) -> Photoramd:
        instance = Photoramd(tmp_path, album, *prefix, **{"model": UNLOADING} | sections)
        instances.append(instance)
        instance.start()
        return instance

    yield make
    for instance in instances:
        instance.close()


def resident_bytes(pid: int) -> int:
    [line] = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in x]
    return int(line.split()[1]) * 1024


def has_model(pid: int) -> bool:
    """Whether the runtime of the embedded model is loaded."""
    return "onnxruntime" in told(Path(f"/proc/{pid}/maps"))


def test_the_daemon_gives_the_memory_back_and_never_loads_the_model_itself(
    start: Callable[..., Photoramd], put: Put
) -> None:
    daemon = start()
    assert daemon.process is not None
    pid = daemon.process.pid
    assert not has_model(pid)
    put("cat", "cat.png")
    daemon.wait_for_log("cat.png: ")
    # Not the log: on a busy machine it is unloaded before the photo, too.
    wait_for(lambda: children(pid) == [], "the model to be unloaded")
    assert not has_model(pid)
    assert resident_bytes(pid) < 150 << 20
    put("china", "china.jpg")
    again: list[int] = []
    wait_for(lambda: again.extend(filter(has_model, children(pid))) or again, "the model")
    daemon.wait_for_states(written=2)
    assert "cat" in daemon.run("query", "cat").stdout
    assert not has_model(pid)
    assert daemon.stop() == 0
    assert is_gone(again[0])


def test_another_configuration_keeps_the_process_or_replaces_it(
    start: Callable[..., Photoramd],
) -> None:
    daemon = start(model="idle_unload_minutes = 10")
    assert daemon.process is not None
    pid = daemon.process.pid
    [first] = children(pid)
    text = daemon.config.read_text()
    for old, new in (("max_wait_seconds = 2", "max_wait_seconds = 3"), ("= 10", "= 11")):
        assert text.count(old) == 1
        text = text.replace(old, new)
        daemon.config.write_text(text)
        mark = daemon.log.stat().st_size
        daemon.send(signal.SIGHUP)
        wait_for(lambda mark=mark: b"Watching" in daemon.log.read_bytes()[mark:], "a new loop")
        [child] = children(pid)
        assert (child == first) == (old != "= 10")
    assert is_gone(first)


def test_no_process_is_left_when_the_daemon_is_killed(start: Callable[..., Photoramd]) -> None:
    daemon = start(model="idle_unload_minutes = 10")
    assert daemon.process is not None
    [child] = children(daemon.process.pid)
    daemon.process.kill()
    wait_for(lambda: is_gone(child), "the process of the model to end")


SOON_AGAIN = """
from photoramd.cli import main
from photoramd.models.isolated import tagger as unloading
unloading.REST_SECONDS = (0, 1)
main()
"""


def test_weights_that_are_tampered_with_while_it_is_unloaded_are_refused(
    tmp_path: Path, start: Callable[..., Photoramd], put: Put
) -> None:
    program = tmp_path / "program"
    package = Path(photoramd.__file__).parent
    shutil.copytree(package, program / "photoramd", ignore=shutil.ignore_patterns("__pycache__"))
    environment = ("env", "PYTHONSAFEPATH=1", f"PYTHONPATH={program}")
    daemon = start(*environment, program=SOON_AGAIN)
    daemon.wait_for_log("Unloaded the model")
    file = program / locate(EMBEDDED.weights).relative_to(package.parent)
    right = file.read_bytes()
    file.write_bytes(right[:-1] + b"x")
    put("cat", "cat.png")
    daemon.wait_for_log("The model cannot be loaded again")
    assert "SHA-256 is" in daemon.log.read_text()
    assert daemon.states() == {"pending": 1}
    file.write_bytes(right)
    daemon.wait_for_states(written=1)
    assert daemon.stop() == 0
    file.write_bytes(right[:-1] + b"x")
    assert daemon.run("run").returncode == 3


HANGING = """
from photoramd.daemon import assembly
from photoramd.daemon.sd_notify import Notifier
from photoramd.cli import main
from photoramd.models.isolated import client
from tests.support import misbehaving_tagger
assembly.loader = lambda config: misbehaving_tagger.load_hanging
client.STOP_SECONDS = 0.5
main()
"""


def test_a_stop_in_the_middle_of_a_batch_is_in_time_and_loses_nothing(
    start: Callable[..., Photoramd], put: Put
) -> None:
    daemon = start(program=HANGING)
    put("cat", "cat.png")
    daemon.wait_for_log("it hangs")
    started = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - started < 20
    assert daemon.states() == {"pending": 1}
