"""Measure the running daemon: idle processor time, and how soon a new photo is written.

    python -m benchmarks daemon [--idle-seconds 60] [--arrivals 10]

- idle: processor seconds of the daemon's process over wall seconds, nothing happening.
- latency: from the last byte of a new 12 MP photo until it is written, less the quiet period.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.processes import processor_seconds
from tests.support.photos import camera_photos

QUIET_SECONDS = 5.0


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks daemon", description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--arrivals", type=int, default=10)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        directory = Path(name).resolve()
        idle, latencies = running(directory, arguments.idle_seconds, arguments.arrivals)
        print(f"idle: {100 * idle:.3f} % of a core over {arguments.idle_seconds:.0f} s")
        late = sorted(latencies)
        print(
            f"latency after the quiet period of {QUIET_SECONDS:.0f} s: median "
            f"{median(late):.2f} s, most {late[-1]:.2f} s over {len(late)} 12 MP photos"
        )


def running(directory: Path, idle_seconds: float, arrivals: int) -> tuple[float, list[float]]:
    """The share of a core used when idle, and seconds from the quiet period to the sidecar."""
    album = directory / "album"
    album.mkdir()
    config = configure(directory, album, QUIET_SECONDS)
    incoming = camera_photos(directory / "incoming", 12, arrivals, 1)
    log = directory / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(photoramd(config, "run"), stderr=file)
    try:
        while b"Watching" not in log.read_bytes():
            time.sleep(0.1)
        time.sleep(3)
        before, started = processor_seconds(process.pid), time.monotonic()
        time.sleep(idle_seconds)
        idle = (processor_seconds(process.pid) - before) / (time.monotonic() - started)
        latencies = []
        for index, photo in enumerate(incoming):
            target = album / f"{index}.jpg"
            shutil.copyfile(photo, target)
            arrived = time.monotonic()
            while f"{target.name}: ".encode() not in log.read_bytes():
                time.sleep(0.01)
            latencies.append(time.monotonic() - arrived - QUIET_SECONDS)
        return idle, latencies
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def configure(directory: Path, album: Path, quiet_seconds: float) -> Path:
    """A configuration file for one directory."""
    config = directory / "config.toml"
    config.write_text(
        f"[[watch]]\npath = {json.dumps(os.fspath(album))}\n"
        f"[debounce]\nquiet_seconds = {quiet_seconds}\n"
        f"[state]\npath = {json.dumps(os.fspath(directory / 'photoramd.db'))}\n",
        encoding="utf-8",
    )
    return config


def photoramd(config: Path, *arguments: str) -> list[str]:
    """A command line."""
    return [sys.executable, "-m", "photoramd", "--config", os.fspath(config), *arguments]
