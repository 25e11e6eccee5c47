"""Measure what it costs that photos are decoded by workers, against threads of this process.

    python -m benchmarks contained [--megapixels 12 24] [--rounds 5]

Decoding and cropping for the embedded model, one photo on each core at a time, both ways in turns;
medians. Processor time is that of all processes. Latency is that of one photo alone. Private
memory is what a worker has after the last round and shares with no other process.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from benchmarks import fixtures
from benchmarks.processes import mapped_mib
from photoramd.contained.client import Contained
from photoramd.contained.process import server
from photoramd.images.decoder import decode
from photoramd.models.embedded.crop import CROP
from photoramd.system.cpu import available_cores

MAX_PIXELS = 120_000_000


def in_thread(path: Path) -> object:
    """Decode and crop in this process."""
    return CROP.pixels(decode(path, side=CROP.decode_side, max_pixels=MAX_PIXELS).image)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 24])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    print(f"{'':12} {'images/min':>12} {'CPU ms':>8} {'latency ms':>11} {'of threads':>11}")
    with tempfile.TemporaryDirectory() as directory:
        for megapixels in arguments.megapixels:
            photos = fixtures.photos(Path(directory), megapixels, 24).paths
            _compare(f"{megapixels:g} MP", photos, arguments.rounds)


def _compare(title: str, photos: Sequence[Path], rounds: int) -> None:
    with Contained() as contained:
        ways: dict[str, Callable[[Path], object]] = {
            "threads": in_thread,
            "workers": lambda path: contained.see(path, CROP, MAX_PIXELS),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        latency: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):  # the first one warms up
            for name, way in ways.items():
                used, began = _processor_seconds(), time.perf_counter()
                with ThreadPoolExecutor(available_cores()) as pool:
                    list(pool.map(way, photos))
                seconds = time.perf_counter() - began
                spent = _processor_seconds() - used
                began = time.perf_counter()
                way(photos[0])
                if number:
                    latency[name].append(time.perf_counter() - began)
                    rates[name].append(60 * len(photos) / seconds)
                    cpu[name].append(spent / len(photos))
        private = [_private_mib(worker) for worker in _workers()]
    for name in ways:
        ratio = median(a / b for a, b in zip(rates[name], rates["threads"], strict=True))
        print(
            f"{title} {name:8} {median(rates[name]):11,.0f} {1000 * median(cpu[name]):8.1f}"
            f" {1000 * median(latency[name]):11.1f} {ratio:11.3f}"
        )
    print(f"private memory of the workers: {', '.join(f'{each:.0f}' for each in private)} MiB")


def _workers() -> list[int]:
    process = server().pid
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return list(map(int, children.split()))


def _processor_seconds() -> float:
    """Return the processor time of this process, of the server of workers, and of its workers."""
    total = sum(os.times()[:2])
    for process in [server().pid, *_workers()]:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # utime, stime, and those of children that were waited for: proc_pid_stat(5)
        total += sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def _private_mib(process: int) -> float:
    sizes = mapped_mib(process).items()
    return sum(size for name, size in sizes if name.startswith("Private_"))
