"""Measure a daemon whose model runs on other machines: network namespaces with a processor each.

    python -m benchmarks cluster [--photos 160] [--rounds 3]

For the embedded model: photos a minute of one scan with the model here, with one worker and with
two, which take turns; the processor time of the daemon for each photo, and its memory; and how long
a worker takes to start. Each worker has one core, the daemon has all: on two cores they share. It
needs root.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ahead, fixtures, machine
from benchmarks.processes import resident_mib
from tests.support.machines import Credentials, Machine
from tests.support.network import Network

MEGAPIXELS = 2.0


@dataclass(frozen=True)
class Scan:
    """One scan of all photos.

    Attributes:
        rate: Photos a minute.
        processor: Processor time of the daemon and of the processes that decode, ms a photo.
        memory: The most that the daemon itself had in memory, MiB.
    """

    rate: float
    processor: float
    memory: float


def scanned(directory: Path, album: Path, cluster: str) -> Scan:
    """Scan an album into an empty database with a process of its own."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        config = Path(name, "config.toml")
        config.write_text(
            f'[[watch]]\npath = "{album}"\n[debounce]\nquiet_seconds = 0.001\n'
            f'[state]\npath = "{name}/photoramd.db"\n[cluster]\n{cluster}\n'
        )
        command = [sys.executable, "-m", "photoramd", "--config", os.fspath(config), "scan"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began, most = time.monotonic(), 0.0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            with suppress(OSError, StopIteration):  # it has ended
                most = max(most, resident_mib(process.pid))
            time.sleep(0.05)
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise RuntimeError(f"the scan ended with {process.returncode}")
    photos = list(album.glob("*.jpg"))
    for sidecar in album.glob("*.xmp"):
        sidecar.unlink()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Scan(len(photos) * 60 / seconds, used / len(photos) * 1000, most)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser("cluster", description=__doc__)
    parser.add_argument("--photos", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fixtures", type=Path, default=fixtures.DEFAULT)
    options = parser.parse_args(argv, argparse.Namespace(megapixels=MEGAPIXELS))
    for key, value in machine.describe().items():
        print(f"{key}: {value}")
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="photoramd-benchmark-"))
        ).resolve()
        album = directory / "album"
        album.mkdir()
        ahead.prepare(album, options)
        networks = [stack.enter_context(Network(number)) for number in (1, 2)]
        credentials = Credentials(directory / "own", *(each.there for each in networks))
        machines = []
        for core, network in enumerate(networks):
            began = time.monotonic()
            place = directory / f"worker-{core}"
            worker = Machine(place, network, credentials, processors=[core])
            machines.append(stack.enter_context(worker))
            print(f"worker {core + 1} was ready after {time.monotonic() - began:.1f} s")
        ways = {
            "the model here": "",
            "one worker": credentials.cluster(machines[0].url),
            "two workers": credentials.cluster(*(each.url for each in machines)),
        }
        found: dict[str, list[Scan]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, cluster in ways.items():
                found[way].append(scanned(directory, album, cluster))
        for way, scans in found.items():
            rate = statistics.median(each.rate for each in scans)
            processor = statistics.median(each.processor for each in scans)
            memory = max(each.memory for each in scans)
            print(
                f"{way:15} {rate:6,.0f} photos a minute; daemon: {processor:5.1f} ms of processor "
                f"time a photo, {memory:4.0f} MiB"
            )
