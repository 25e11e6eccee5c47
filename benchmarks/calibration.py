"""Fixed work that is measured beside ours, so that a ratio says what the clock cannot.

A slower or busier machine slows calibration and case alike. Each calibration uses the same part
of the machine as the cases that are judged by it, and nothing of photoramd's code.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measure import Case, ready


def jpeg(name: str, photos: Sequence[Path], side: int, threads: int = 1) -> Case:
    """Pillow alone decodes the photos, reduced to no less than a side."""

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            image.draft("RGB", (side, side))
            image.load()

    def work(lap: Callable[[], None]) -> None:
        if threads == 1:
            for path in photos:
                decode(path)
                lap()
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(decode, photos))

    return Case(name, len(photos), ready(work))


def gemm(name: str, device: str = "cpu", side: int = 768, times: int = 6) -> Case:
    """Products of float32 matrices, by torch, with the threads that it was told to use."""
    import torch

    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(side, side, generator=generator).to(device)

    def work(lap: Callable[[], None]) -> None:
        for _ in range(times):
            # Read back, so that a GPU has done it.
            float((matrix @ matrix)[0, 0])
            lap()

    return Case(name, times, ready(work), unit="products", device=device)


def product(name: str, side: int = 768, times: int = 6) -> Case:
    """Products of float32 matrices, by numpy, for models that do without torch."""
    matrix = np.random.default_rng(1).standard_normal((side, side), np.float32)

    def work(lap: Callable[[], None]) -> None:
        for _ in range(times):
            matrix @ matrix
            lap()

    return Case(name, times, ready(work), unit="products")


def fsync(name: str, directory: Path, times: int, size: int = 3000) -> Case:
    """A small file is written, synced, put into its place, and its directory synced."""
    data = bytes(size)

    def work(lap: Callable[[], None]) -> None:
        for number in range(times):
            temporary, target = directory / "new", directory / f"calibration-{number}"
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(handle)
            os.close(handle)
            lap()

    return Case(name, times, ready(work), unit="files")


def sqlite(name: str, times: int = 10) -> Case:
    """A join, grouped and sorted, over 60,000 rows in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, word TEXT)")
    connection.execute("CREATE TABLE b (a INTEGER, value REAL)")
    connection.executemany("INSERT INTO a VALUES (?, ?)", [(n, f"w{n % 97}") for n in range(5000)])
    connection.executemany(
        "INSERT INTO b VALUES (?, ?)", [(n * 7919 % 5000, n / 3) for n in range(60_000)]
    )

    def work(lap: Callable[[], None]) -> None:
        for _ in range(times):
            connection.execute(
                "SELECT word, count(*), sum(value) FROM b JOIN a ON a.id = b.a "
                "GROUP BY word ORDER BY 2 DESC"
            ).fetchall()
            lap()

    return Case(name, times, ready(work), unit="queries")


def walk(name: str, top: Path, files: int, times: int = 5) -> Case:
    """Every file of a tree is looked at, some times."""

    def work(lap: Callable[[], None]) -> None:
        stack = times * [os.fspath(top)]
        while stack:
            with os.scandir(stack.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        entry.stat(follow_symlinks=False)
            lap()

    return Case(name, times * files, ready(work), unit="files")
