"""Measure the whole way of a photo against its slowest part alone.

    python -m benchmarks pipeline [--megapixels 12 24] [--photos 48] [--rounds 5] [--json FILE]

For each size, in every round, one after the other: decoding alone, inference alone, both
with all cores, and the way end to end (scan, decode, infer, save, write sidecars) into an
empty database. Prints medians over the rounds: images per minute, the ratio of end to end to
the slower of the two parts in the same round, and the same ratio in processor time, which
other load on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

from benchmarks.photos import camera_photos
from photoramd import assembly, taggers
from photoramd.config import Config, Debounce, Decode, Model, State, Tags, Watch
from photoramd.decoder import LookAhead
from photoramd.inference import prepare
from photoramd.processor import available_cores
from photoramd.taggers import Pixels, Tagger

BATCH = 8


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pipeline", description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 24])
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", choices=["sidecar", "none"], default="sidecar")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(argv)
    tagger = taggers.load("embedded", threads=1, precision=arguments.precision)
    figures = []
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        for megapixels in arguments.megapixels:
            photos = camera_photos(Path(name) / f"{megapixels:g}", megapixels, arguments.photos, 1)
            figure = measure(tagger, photos, arguments.rounds, arguments.write, Path(name))
            figures.append({"megapixels": megapixels, **figure})
            print(_line(figures[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(
    tagger: Tagger, photos: Sequence[Path], rounds: int, write: str, directory: Path
) -> dict[str, float]:
    """Medians over the rounds, in images per minute, and of their ratio."""
    cores = available_cores()
    config = Config(decode=Decode())
    pixels = [prepare(tagger, path, config.decode.max_pixels).pixels for path in photos]
    decoding: list[Run] = []
    inference: list[Run] = []
    whole: list[Run] = []
    ratios: list[float] = []
    cpu_ratios: list[float] = []
    for round_ in range(rounds):
        decoding.append(_run(len(photos), lambda: decode_all(tagger, photos, cores)))
        inference.append(_run(len(photos), lambda: infer_all(tagger, pixels, cores)))
        whole.append(end_to_end(tagger, photos, write, directory / f"round{round_}"))
        slower = min(decoding[-1], inference[-1], key=lambda run: run.per_minute)
        ratios.append(whole[-1].per_minute / slower.per_minute)
        cpu_ratios.append(slower.cpu_ms / whole[-1].cpu_ms)
    parts = {"decode": decoding, "inference": inference, "end_to_end": whole}
    per_minute = {f"{k}_per_minute": median(r.per_minute for r in v) for k, v in parts.items()}
    cpu = {f"{k}_cpu_ms": median(r.cpu_ms for r in v) for k, v in parts.items()}
    return {
        **per_minute,
        **cpu,
        "ratio": median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "cpu_ratio": median(cpu_ratios),
    }


def decode_all(tagger: Tagger, photos: Sequence[Path], cores: int) -> None:
    """Decode all photos to the model's input, each core one at a time; drop the result."""

    def work(path: Path) -> None:
        prepare(tagger, path, 120_000_000)

    with LookAhead(work, threads=cores, depth=2 * BATCH) as ahead:
        rest = list(reversed(photos))
        while rest or len(ahead):
            while rest and ahead.room:
                ahead.submit(rest.pop())
            ahead.take()


def infer_all(tagger: Tagger, pixels: Sequence[Pixels], cores: int) -> None:
    """Run the model on all pictures, each core a batch at a time."""
    batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(tagger.scores, batches))


def end_to_end(tagger: Tagger, photos: Sequence[Path], write: str, directory: Path) -> Run:
    """A scan of these photos, hard-linked into a new directory."""
    album = directory / "album"
    album.mkdir(parents=True)
    for photo in photos:
        (album / photo.name).hardlink_to(photo)
    config = Config(
        watch=(Watch(path=album.resolve(), write=write),),  # type: ignore[arg-type]
        debounce=Debounce(quiet_seconds=0.001, max_wait_seconds=1.0, batch_size=BATCH),
        model=Model(),
        tags=Tags(overrides=None),
        state=State(path=directory / "photoramd.db"),
    )
    outcomes: list[object] = []
    with (
        patch.object(assembly, "load_tagger", lambda _: tagger),
        assembly.assemble(config) as daemon,
    ):
        top = str(album.resolve())
        run = _run(
            len(photos), lambda: daemon.scan_once([top], outcomes.extend, handle_signals=False)
        )
    if len(outcomes) != len(photos):
        raise RuntimeError(f"{len(outcomes)} of {len(photos)} photos went through")
    shutil.rmtree(directory)
    return run


@dataclass(frozen=True)
class Run:
    """One measured run: images per wall minute, processor milliseconds an image."""

    per_minute: float
    cpu_ms: float


def _run(count: int, work: Callable[[], object]) -> Run:
    started, cpu = time.perf_counter(), time.process_time()
    work()
    wall = time.perf_counter() - started
    return Run(count * 60 / wall, (time.process_time() - cpu) * 1000 / count)


def _line(figure: dict[str, float]) -> str:
    return (
        f"{figure['megapixels']:g} MP: decode {figure['decode_per_minute']:.0f}/min, "
        f"inference {figure['inference_per_minute']:.0f}/min, "
        f"end to end {figure['end_to_end_per_minute']:.0f}/min = "
        f"{figure['ratio']:.2f} of the slower "
        f"({figure['ratio_min']:.2f} to {figure['ratio_max']:.2f}); processor time an image "
        f"{figure['decode_cpu_ms']:.1f} + {figure['inference_cpu_ms']:.1f} ms of "
        f"{figure['end_to_end_cpu_ms']:.1f} ms, ratio {figure['cpu_ratio']:.2f}"
    )
