"""Measure what `idle_unload_minutes` gives back and costs.

    python -m benchmarks unload [--models embedded ram++] [--rounds 5] [--checkpoint FILE]

- memory: of the daemon's process and of the model's, resident (RSS) and with shared pages
  divided (PSS), after the start, after 8 photos of 24 MP, and after the idle time; beside a
  daemon that keeps the model.
- restart: from the first photo after the idle time to its scores; median.
- pipe: what a photo costs on its way to the model's process and back, in a batch of 8: with
  a tagger there that does nothing, wall and processor time of both sides; median.

RAM++ has random weights of the full size (1.3 GB), made in a temporary directory unless given.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.daemon import configure
from benchmarks.processes import mapped_mib, processor_seconds
from benchmarks.ram_plus import materials
from photoramd.clock import Monotonic
from photoramd.models import registry
from photoramd.models.isolated.tagger import UnloadingTagger
from photoramd.models.preprocessing import Pixels, Resize
from photoramd.models.tagger import Scores, Tagger
from photoramd.models.vocabulary import Vocabulary
from photoramd.system.cpu import available_cores
from tests.support.photos import camera_photos

_IDLE_SECONDS = 6.0
_BATCH = 8
_PIPE_ROUNDS = 200
_RAM_PLUS_TAGS = 4585

_DAEMON = """
import sys
from pathlib import Path
from benchmarks.unload import loader
from photoramd.daemon import assembly
from photoramd.cli import main
model, checkpoint = sys.argv[1:3]
del sys.argv[1:3]
assembly.loader = lambda config: loader(model, Path(checkpoint))
main()
"""


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks unload", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--models", nargs="+", choices=_LOADERS, default=list(_LOADERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpoint", type=Path)
    arguments = parser.parse_args(argv)
    for name, side, labels in (("embedded", 374, 1250), ("ram++", 384, _RAM_PLUS_TAGS)):
        wall, busy = pipe_seconds(side, labels)
        print(f"{name}: pipe {1e3 * wall:.2f} ms a photo, {1e3 * busy:.2f} ms of processor time")
    with ExitStack() as stack:
        photos, checkpoint = _photos_and_weights(stack, arguments.models, arguments.checkpoint)
        for name in arguments.models:
            starts = restart_seconds(loader(name, checkpoint), arguments.rounds)
            print(
                f"{name}: restart until the first scores {median(starts):.1f} s, at most "
                f"{max(starts):.1f} s in {len(starts)} rounds"
            )
            for idle_seconds in (_IDLE_SECONDS, 0):
                _report(name, idle_seconds, memory(name, checkpoint, photos, idle_seconds))


def _photos_and_weights(
    stack: ExitStack, models: Sequence[str], checkpoint: Path | None
) -> tuple[list[Path], Path]:
    if "ram++" in models:
        checkpoint, photos = stack.enter_context(materials(checkpoint, _BATCH))
        return photos, checkpoint
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="photoramd-benchmark-"))
    return camera_photos(Path(directory), 24, _BATCH, 1), Path()


# --- Models, as the model's process loads them ---


def loader(model: str, checkpoint: Path) -> Callable[[], Tagger]:
    """What loads a model."""
    return partial(_LOADERS[model], checkpoint)


def _load_embedded(_: Path) -> Tagger:
    return registry.load("embedded", threads=available_cores())


def _load_ram_plus(checkpoint: Path) -> Tagger:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Only here: it imports torch.
    from tests.support.random_weights import stored_tagger

    return stored_tagger(checkpoint, precision="auto", threads=available_cores())


_LOADERS: dict[str, Callable[[Path], Tagger]] = {
    "embedded": _load_embedded,
    "ram++": _load_ram_plus,
}


class _NoTagger:
    """Gives scores of the right shape, at once."""

    name = "none"
    revision = "1"

    def __init__(self, side: int, labels: int) -> None:
        self.crop = Resize(side, side)
        self.decode_side = side
        self.vocabulary = _vocabulary(labels)

    def pixels(self, image: Image.Image) -> Pixels:
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        return np.zeros((len(batch), len(self.vocabulary.labels)), np.float32)


def _vocabulary(labels: int) -> Vocabulary:
    return Vocabulary(tuple(map(str, range(labels))), (0.65,) * labels, ((),) * labels, 0.2)


# --- Measuring ---


def pipe_seconds(side: int, labels: int) -> tuple[float, float]:
    """Wall and processor seconds a photo."""
    batch = list(np.random.default_rng(1).integers(0, 256, (_BATCH, side, side, 3), np.uint8))
    walls = []
    with UnloadingTagger(partial(_NoTagger, side, labels), idle_seconds=3600) as tagger:
        tagger.scores(batch)
        [child] = children(os.getpid())
        busy = time.process_time() + processor_seconds(child)
        for _ in range(_PIPE_ROUNDS):
            started = time.perf_counter()
            tagger.scores(batch)
            walls.append(time.perf_counter() - started)
        busy = time.process_time() + processor_seconds(child) - busy
    return median(walls) / _BATCH, busy / _PIPE_ROUNDS / _BATCH


def restart_seconds(load: Callable[[], Tagger], rounds: int) -> list[float]:
    """From a photo after the idle time to its scores."""
    seconds = []
    with UnloadingTagger(load, idle_seconds=1) as tagger:
        pixels = tagger.pixels(Image.new("RGB", (900, 600), "green"))
        for index in range(rounds):
            tagger.step(Monotonic(10 * index))
            tagger.step(Monotonic(10 * index + 1))
            started = time.perf_counter()
            tagger.scores([pixels])
            seconds.append(time.perf_counter() - started)
    return seconds


def memory(
    model: str, checkpoint: Path, photos: Sequence[Path], idle_seconds: float
) -> dict[str, list[tuple[int, int]]]:
    """RSS and PSS in bytes, of the daemon and of its model's process, by moment."""
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        directory = Path(name).resolve()
        album = directory / "album"
        album.mkdir()
        config = configure(directory, album, 0.2)
        with config.open("a") as file:
            file.write(f"[model]\nidle_unload_minutes = {idle_seconds / 60}\n")
        with _running(directory, [model, str(checkpoint), "--config", str(config)]) as (pid, log):
            found = {}
            _wait(log, "Watching")
            found["started"] = _both(pid)
            for index, photo in enumerate(photos):
                shutil.copyfile(photo, album / f"{index}.jpg")
            for index in range(len(photos)):
                _wait(log, f"{index}.jpg: ")
            found["photos tagged"] = _both(pid)
            if idle_seconds:
                _wait(log, "Unloaded")
            found["idle"] = _both(pid)
            return found


@contextmanager
def _running(directory: Path, arguments: Sequence[str]) -> Iterator[tuple[int, Path]]:
    log = directory / "log"
    command = [sys.executable, "-c", _DAEMON, *arguments, "run"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        yield process.pid, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait(log: Path, text: str) -> None:
    deadline = time.monotonic() + 300
    while text.encode() not in log.read_bytes():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{text}: {log.read_text()}")
        time.sleep(0.1)


def _both(pid: int) -> list[tuple[int, int]]:
    return [_memory_bytes(each) for each in (pid, *children(pid))]


def children(pid: int) -> list[int]:
    """Processes that a process has started, but for ExifTool."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    pids = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [
        each for each in pids if b"isolated.worker" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]


def _memory_bytes(pid: int) -> tuple[int, int]:
    """RSS and PSS."""
    sizes = mapped_mib(pid)
    return round(sizes["Rss"] * 2**20), round(sizes["Pss"] * 2**20)


def _report(name: str, idle_seconds: float, found: dict[str, list[tuple[int, int]]]) -> None:
    how = "unloaded when idle" if idle_seconds else "kept loaded"
    for moment, processes in found.items():
        shown = "; ".join(
            f"{who} {rss / 2**20:.0f} MiB (PSS {pss / 2**20:.0f})"
            for who, (rss, pss) in zip(("daemon", "model"), processes, strict=False)
        )
        print(f"{name}, {how}, {moment}: {shown}", flush=True)
