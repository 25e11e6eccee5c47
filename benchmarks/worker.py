"""What a worker costs beside its model: start, memory, and processor time for each picture.

It is started as users start it, with TLS and the embedded model in one replica, and asked by a
plain client. The same pictures go through the same model in this process, for comparison.
"""

from __future__ import annotations

import argparse
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.processes import mapped_mib, processor_seconds
from photoramd.models import registry
from photoramd.models.preprocessing import Pixels
from photoramd.models.remote.protocol import Identity, identity_of
from photoramd.worker.certificate import make
from tests.support.workers import Client, Worker, embedded, request_of

BATCHES = (1, 8, 16, 32)
REPLICA = "ray::ServeReplica"


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks worker", description=__doc__)
    parser.add_argument("--pictures", type=int, default=320, help="for each batch size")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        made = make(directory / "tls", ["127.0.0.1"], datetime.now(UTC))
        trust = ssl.create_default_context(cafile=made.authority)
        began = time.monotonic()
        given = ("--certificate", made.certificate, "--key", made.key)
        with Worker(directory, *given, model="name = 'embedded'\nthreads = 1") as worker:
            print(f"start: {time.monotonic() - began:.1f} s")
            with worker.client(trust) as client:
                compare(worker, client, options.pictures, options.rounds)
            show_memory(worker)


def compare(worker: Worker, client: Client, pictures: int, rounds: int) -> None:
    """Print the processor time for a picture, in milliseconds: the median over rounds."""
    identity, tagger = identity_of(embedded()), registry.load("embedded", threads=1)
    random = np.random.default_rng(1)
    batch_of = [random.integers(0, 256, (140176, 3), np.uint8) for _ in range(max(BATCHES))]
    print("ms of processor time a picture: batch, model here, worker, of that beside, client")
    for size in BATCHES:
        batch, calls = batch_of[:size], max(1, pictures // size)
        rows = []
        for _ in range(rounds):
            here = spent(own, partial(repeat, calls, tagger.scores, batch))
            before, replica = total(worker), total(worker, REPLICA)
            asking = spent(own, partial(repeat, calls, ask, client, batch, identity))
            there = total(worker) - before
            beside = there - (total(worker, REPLICA) - replica)
            rows.append([each * 1000 / (calls * size) for each in (here, there, beside, asking)])
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"{size:>3} " + " ".join(f"{each:8.1f}" for each in medians))


def ask(client: Client, batch: list[Pixels], identity: Identity) -> None:
    """Have a worker score a batch."""
    assert client.post(request_of(batch, identity)).status_code == 200


def show_memory(worker: Worker) -> None:
    """Print the memory of all processes, in MiB: resident, and with shared pages divided."""
    sizes = [(name, mapped_mib(number)) for number, name in worker.processes().items()]
    rows = [(name, each["Rss"], each["Pss"]) for name, each in sizes]
    for name, resident, share in sorted(rows, key=lambda row: -row[2]):
        print(f"{name[:40]:<40} {resident:6.0f} {share:6.0f}")
    beside = [row for row in rows if not row[0].startswith(REPLICA)]
    print(f"{'beside the replica':<40} {sum(r for _, r, _ in beside):6.0f}", end=" ")
    print(f"{sum(s for _, _, s in beside):6.0f}")


def repeat(times: int, call: Callable[..., object], *arguments: object) -> None:
    """Call something again and again."""
    for _ in range(times):
        call(*arguments)


def spent(clock: Callable[[], float], call: Callable[[], object]) -> float:
    """Return what a clock goes on during a call."""
    before = clock()
    call()
    return clock() - before


def own() -> float:
    """Return the processor time of this process, in seconds."""
    return time.process_time()


def total(worker: Worker, name: str = "") -> float:
    """Return the processor time of a worker's processes whose names begin so, in seconds."""
    found = worker.processes().items()
    return sum(processor_seconds(number) for number, each in found if each.startswith(name))
