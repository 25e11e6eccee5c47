"""Measure the gallery's API over HTTP, with the database of a million photos.

    python -m benchmarks gallery [--photos 1000000] [--seed 1] [--database FILE] [--rounds 40]

The server is a process of its own, `photoramd serve`. Times are from the request to the last byte;
beside them is what the server's processor took, which tells more on a busy machine. With --database
FILE the database of `python -m benchmarks million` is kept, and used again.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from benchmarks.million import COMMON, MIDDLE, add_looks, make_old
from benchmarks.processes import processor_seconds, resident_mib
from photoramd.database.connection import connect

SECONDS = 60.0

COMMON_TAG, MIDDLE_TAG = (quote(f'"{tag}"') for tag in (COMMON, MIDDLE))

QUESTIONS = (
    ("layout of all", "layout", 150),
    ("layout of a common tag", f"layout?q={COMMON_TAG}", 150),
    ("layout of a rarer tag", f"layout?q={MIDDLE_TAG}", 150),
    ("layout by date of finding", "layout?sort=added", 150),
    ("layout by path", "layout?sort=path", 150),
    ("a window of 200", "photos?limit=200&version={version}&at={at}", 100),
    ("first page, by cursor", "photos?limit=60&after=", 100),
    ("first page of a tag, by cursor", f"photos?limit=60&after=&q={COMMON_TAG}", 100),
    ("facets of all", "facets", 100),
    ("facets of a common tag", f"facets?q={COMMON_TAG}", 100),
    ("facets of a rarer tag", f"facets?q={MIDDLE_TAG}", 100),
    ("facets of a year", "facets?q=taken:2015", 100),
    ("completion, one letter", "complete?text=b", 20),
    ("completion, three letters", "complete?text=bak", 20),
    ("completion of a camera", "complete?text=camera:m", 20),
    ("tags", "tags", 100),
    ("folders", "folders?path=/photos/2015", 100),
    ("a photo", "photos/{at}", 100),
    ("its neighbours", "photos/{at}/neighbours", 100),
    ("status", "status", 100),
)
"""Name, path below /api/v1, and the milliseconds that it may take."""


@dataclass
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> bytes:
        """Return the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")
        return body

    @property
    def memory_mib(self) -> float:
        """Its resident memory in MiB."""
        return resident_mib(self.process.pid)

    @property
    def processor_ms(self) -> float:
        """The milliseconds that its threads ran."""
        return processor_seconds(self.process.pid) * 1000


@contextmanager
def serving(database: Path, console: Console) -> Iterator[Server]:
    """Run a server, and print how long it took to be ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = database.with_suffix(".toml")
    config.write_text(f"[state]\npath = {json.dumps(str(database))}\n")
    command = [sys.executable, "-m", "photoramd", "--config", str(config), "serve"]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--listen", f"127.0.0.1:{port}"])
    server = Server(process, port)
    try:
        while True:
            try:
                server.get("/healthz")
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - began > SECONDS:
                    raise
                time.sleep(0.01)
        console.print(f"answers after {time.perf_counter() - began:.2f} s")
        for name, path in (
            ("first page", "/api/v1/photos?limit=60&after="),
            ("first layout", "/api/v1/layout"),
            ("first facets", "/api/v1/facets"),
        ):
            asked = time.perf_counter()
            server.get(path)
            now = time.perf_counter()
            console.print(f"{name}: {1000 * (now - asked):.0f} ms, {now - began:.2f} s after start")
        yield server
    finally:
        process.terminate()
        process.wait(SECONDS)


def measure(server: Server, rounds: int, seed: int, photos: int) -> Iterator[tuple[str, ...]]:
    """Yield a row for each question."""
    generator = random.Random(seed)  # noqa: S311
    version = _version(server)
    for name, path, limit in QUESTIONS:
        times = []
        server.get("/api/v1/" + path.format(version=version, at=1))
        before = server.processor_ms
        for _ in range(rounds):
            asked = path.format(version=version, at=generator.randrange(1, photos - 200))
            began = time.perf_counter()
            body = server.get("/api/v1/" + asked)
            times.append((time.perf_counter() - began) * 1000)
        used = (server.processor_ms - before) / rounds
        times.sort()
        yield (
            name, f"{statistics.median(times):.1f}", f"{times[int(0.95 * rounds)]:.1f}",
            f"{used:.1f}", str(limit), f"{len(body) / 1000:.1f}",
        )  # fmt: skip
        version = _version(server)


def _version(server: Server) -> str:
    page = gzip.decompress(server.get("/api/v1/photos?limit=100"))
    return str(json.loads(page)["version"])


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser("gallery", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--database", type=Path)
    options = parser.parse_args(argv)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        database = options.database or Path(name, "million.db")
        if not database.exists():
            make_old(database, options.photos, options.seed)
            connect(database).close()
            add_looks(database, options.photos, options.seed)
        connect(database).close()  # brought up to date
        with serving(database, console) as server:
            table = Table("question", "ms, median", "p95", "processor", "limit", "kB")
            for row in measure(server, options.rounds, options.seed, options.photos):
                table.add_row(*row)
            console.print(table)
            console.print(f"resident: {server.memory_mib:.0f} MiB (limit 250)")
