"""Measure queries of a database of a million photos and ten million tags, made from a seed.

    python -m benchmarks million [--photos 1000000] [--seed 1] [--database FILE] [--rounds 5]

Half a gigabyte is written, in a few minutes; with --database FILE it is kept, and used again. The
database begins as an earlier version would have left it, so that bringing it up to date is
measured, too. Each query is asked in a process that is warm, and as a `photoramd query` of its
own. How much a batch writes is measured with the triggers and without.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlite_utils import Database as Migrated
from sqlite_utils import Migrations

from photoramd.clock import UnixTime
from photoramd.database import derived, migrations
from photoramd.database.connection import APPLICATION_ID, Database, connect
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.metadata.reading import Reading
from photoramd.photo import Fingerprint, Look, Photo, Tag
from photoramd.search import queries
from photoramd.search.evaluation import evaluate
from photoramd.search.parser import parse
from photoramd.search.queries import Question
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation
from photoramd.search.tags import count_tags

LABELS = 4585
TAGS = 10
PER_DIRECTORY = 200
DAY = 86_400
PAGE = 50


def word(rank: int) -> str:
    """Return the label with a rank; some are of two words."""
    syllables = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu")
    text = "".join(syllables[int(digit)] for digit in f"{rank * 7919 % 100_000:05}")
    return f"{text} tree" if rank % 7 == 0 else text


def make_old(path: Path, photos: int, seed: int) -> None:
    """Make a database as the version before sets left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        earlier = Migrations("photoramd")
        for step in takewhile(lambda each: each.__name__ != "m060_asking", migrations.STEPS):
            earlier()(step)
        earlier.apply(Migrated(db))
        db.execute("BEGIN")
        fill_old(db, photos, seed)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_old(db: sqlite3.Connection, photos: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    db.executemany("INSERT INTO labels VALUES (?, ?)", ((n + 1, word(n)) for n in range(LABELS)))
    directories = range(math.ceil(photos / PER_DIRECTORY))
    db.executemany(
        "INSERT INTO directories VALUES (?, ?)",
        ((n + 1, os.fsencode(f"/photos/{folder(n, len(directories))}")) for n in directories),
    )
    db.executemany(
        """INSERT INTO results (id, digest, model, revision, created_at)
           VALUES (?, ?, 'embedded', '1', 1)""",
        ((n, n.to_bytes(16, "big")) for n in range(1, photos + 1)),
    )
    db.executemany(
        """INSERT INTO photos (id, directory_id, name, size, mtime_ns, device, inode, state,
                               result_id, found_at, tagged_at, written_at, settings)
           VALUES (?, ?, ?, ?, ?, 1, ?, 'written', ?, ?, ?, ?, '')""",
        (
            (
                n + 1, n // PER_DIRECTORY + 1,
                f"IMG_{n:07}.{'NEF' if n % 9 == 0 else 'JPG'}".encode(),
                3_000_000 + n * 7919 % 9_000_000, (1_000_000_000 + n * 300) * 10**9, n + 1, n + 1,
                1.6e9 + n, 1.6e9 + n, 1.6e9 + n,
            )
            for n in range(photos)
        ),
    )  # fmt: skip
    db.executemany("INSERT OR IGNORE INTO keywords VALUES (?, ?, ?, '')", tags(generator, photos))


def folder(number: int, count: int) -> str:
    """Return a folder of an event, below one for its year."""
    places = ("italy", "garden", "birthday", "alps", "lake", "school", "paris", "work")
    return f"{2005 + number * 20 // count}/{number:05} {places[number % len(places)]}"


def tags(
    generator: np.random.Generator, photos: int, chunk: int = 50_000
) -> Iterator[tuple[int, int, float]]:
    """Yield photo, label and confidence; labels by Zipf's law."""
    chances = 1 / np.arange(3, LABELS + 3)
    chances /= chances.sum()
    for start in range(0, photos, chunk):
        count = min(chunk, photos - start)
        ranks = generator.choice(LABELS, (count, TAGS), p=chances)
        confidences = generator.uniform(0.5, 1, (count, TAGS)).round(4)
        rows = zip(ranks.tolist(), confidences.tolist(), strict=True)
        for number, (row, sure) in enumerate(rows, start + 1):
            for rank, confidence in zip(row, sure, strict=True):
                yield number, rank + 1, confidence


def look(number: int, photos: int, generator: np.random.Generator) -> Look:
    """Return what a photo says; the earlier a photo was found, the older it is, about."""
    years = 20 * 365 * DAY
    taken = 1.1e9 + number / photos * years + float(generator.normal(0, 30 * DAY))
    camera = int(generator.zipf(1.7)) % 60
    at = None if number % 5 < 3 else (float(generator.normal(47, 5)), float(generator.normal(8, 8)))
    wide = number % 3 > 0
    return Look(
        6000 if wide else 4000, 4000 if wide else 6000, "RAW" if number % 9 == 0 else "JPEG",
        None if number % 50 == 0 else taken, 60, f"Maker Model {camera}", f"Lens {camera % 20}",
        100 * 2 ** (number % 7), (1.8, 2.8, 4.0, 8.0)[number % 4], 1 / 125, 24.0 + number % 80,
        at and min(90, max(-90, at[0])), at and at[1],
    )  # fmt: skip


def add_looks(path: Path, photos: int, seed: int) -> float:
    """Store looks as the daemon does, a batch in a transaction; return the seconds."""
    from photoramd.database.readings import Readings

    generator = np.random.default_rng(seed + 1)
    began = time.perf_counter()
    with Database(path) as database:
        readings = Readings(database)
        for start in range(0, photos, 1000):
            with database.transaction() as db:
                for number in range(start + 1, min(photos, start + 1000) + 1):
                    readings.store(db, number, Reading(look(number, photos, generator)))
                    if number % 20 == 0:
                        label = database.label(f"own {number * 31 % 200}")
                        db.execute("INSERT INTO user_keywords VALUES (?, ?, 0)", (number, label))
        with database.transaction() as db:
            derived.fold(db, above=0)
    return time.perf_counter() - began


COMMON, OTHER, MIDDLE, RARE = word(0), word(1), word(60), word(3000)
QUESTIONS = (
    ("a common tag", f'"{COMMON}"', "taken"),
    ("two common tags", f'"{COMMON}" "{OTHER}"', "taken"),
    ("common and rare", f'"{COMMON}" "{RARE}"', "taken"),
    ("prefix", "ba*", "taken"),
    ("any tag", "*", "taken"),
    ("NOT", f'"{MIDDLE}" NOT "{COMMON}"', "taken"),
    ("all but a tag", f'NOT "{COMMON}"', "taken"),
    ("OR", f'"{COMMON}" OR "{MIDDLE}" OR "{RARE}"', "taken"),
    ("path and tag", f'path:2015/ "{COMMON}"', "path"),
    ("folder", "folder:italy", "path"),
    ("name", "name:IMG_0012*", "path"),
    ("camera", 'camera:"Model 7"', "taken"),
    ("a rare camera", 'camera:"Model 41"', "taken"),
    ("dates", f'taken:2012-03-10..2014-08-20 "{COMMON}"', "taken"),
    ("a day of each year", "taken:*-12-25", "taken"),
    ("near", "near:47.37,8.54~20km", "taken"),
    ("numbers", f'iso:>=1600 f:..2.8 "{COMMON}"', "taken"),
    ("portraits", f'is:portrait "{COMMON}"', "taken"),
    ("untagged", "is:untagged", "taken"),
    ("user's", "user:own*", "taken"),
    ("confidence", f'"{MIDDLE}"@0.9', "taken"),
    ("by path", f'"{COMMON}"', "path"),
    ("added last", f'"{COMMON}"', "added"),
)


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Return the milliseconds of several rounds."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return found


def measure(path: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Ask everything, in this process and in ones of their own."""
    found: dict[str, dict[str, list[float]]] = {}
    config = path.with_suffix(".toml")
    config.write_text(f"[state]\npath = {json.dumps(str(path))}\n")
    with closing(queries.open_readonly(path)) as connection:
        sets = Sets(connection)
        for name, text, sort in QUESTIONS:

            def first_page(text: str = text, sort: str = sort) -> object:
                question = Question(parse(text), sort=sort, limit=PAGE)  # type: ignore[arg-type]
                return list(queries.matches(connection, question, sets))

            first_page()
            own = [sys.executable, "-m", "photoramd", "--config", str(config), "query", text]
            own += ["--limit", str(PAGE), "--sort", sort]
            found[name] = {
                "warm": timed(first_page, rounds),
                "process": timed(lambda own=own: subprocess.run(own, capture_output=True), rounds),  # type: ignore[misc]
            }

        def counted() -> object:
            return len(evaluate(Situation(connection, sets), parse(f'"{COMMON}" "{OTHER}"')))

        found["count"] = {"warm": timed(counted, rounds)}
        count_tags(sets)
        found["list of tags"] = {"warm": timed(lambda: count_tags(sets), rounds)}
        for text in (f'"{COMMON}"', f'"{MIDDLE}"'):
            hits = evaluate(Situation(connection, sets), parse(text))
            name = f"facets of {len(hits):,} photos"
            found[name] = {"warm": timed(lambda hits=hits: count_tags(sets, hits), rounds)}  # type: ignore[misc]
    return found


def written(path: Path, photos: int, seed: int, *, with_sets: bool) -> tuple[float, float]:
    """Return the bytes of WAL and the seconds of a batch of 8 photos that are tagged and stored."""
    generator = np.random.default_rng(seed + 2)
    if not with_sets:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            names = db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in names:
                db.execute(f"DROP TRIGGER {name}")
    sizes, seconds = [], []
    with Database(path) as database:
        database.rows("PRAGMA wal_autocheckpoint = 0")
        queue, results = Queue(database), Results(database)
        rows = tags(generator, 8 * 200)
        for batch in range(200):
            found = [
                Photo(
                    Path(f"/photos/new/{batch // 25:04}/IMG_{batch * 8 + n:07}.JPG"),
                    Fingerprint(4_000_000, batch * 8 + n, 1, 10**7 + batch * 8 + n),
                )
                for n in range(8)
            ]
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            queue.enqueue(found, UnixTime(2e9 + batch))
            began = time.perf_counter()
            outcomes = []
            for number, job in enumerate(queue.due(UnixTime(3e9), 8)):
                own = {label: sure for _, label, sure in (next(rows) for _ in range(TAGS))}
                chosen = [Tag(word(label - 1), sure) for label, sure in own.items()]
                scores = {tag.name: tag.confidence for tag in chosen}
                reading = Reading(look(photos, photos, generator)) if with_sets else None
                digest = (10**9 + batch * 8 + number).to_bytes(16, "big")
                outcomes.append(Tagged(job, digest, scores, chosen, reading))
            results.save(outcomes, "embedded", "1", UnixTime(3e9))
            seconds.append(time.perf_counter() - began)
            sizes.append(os.path.getsize(f"{path}-wal"))
    return statistics.mean(sizes), statistics.median(seconds)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser("million", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", type=Path)
    options = parser.parse_args(argv)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        path = options.database or Path(name, "million.db")
        if not path.exists():
            began = time.perf_counter()
            make_old(path, options.photos, options.seed)
            console.print(f"made in {time.perf_counter() - began:.0f} s")
            console.print(f"earlier version: {path.stat().st_size / 1e6:.0f} MB")
            began = time.perf_counter()
            connect(path).close()
            console.print(f"brought up to date in {time.perf_counter() - began:.1f} s")
            seconds = add_looks(path, options.photos, options.seed)
            console.print(f"looks stored in {seconds:.0f} s")
            console.print(f"now: {path.stat().st_size / 1e6:.0f} MB")
        table = Table("question", "warm ms, median", "p95", "process ms, median", "p95")
        for question, figures in measure(path, options.rounds).items():
            cells = []
            for kind in ("warm", "process"):
                taken = sorted(figures.get(kind, []))
                cells += (
                    [f"{statistics.median(taken):.1f}", f"{taken[int(0.95 * len(taken))]:.1f}"]
                    if taken
                    else ["", ""]
                )
            table.add_row(question, *cells)
        console.print(table)
        for with_sets in (True, False):
            copy = Path(name, "written.db")
            shutil.copy(path, copy)
            size, seconds = written(copy, options.photos, options.seed, with_sets=with_sets)
            title = "as it is" if with_sets else "without looks, sets and places"
            console.print(f"a batch, {title}: {size / 1000:.0f} kB of WAL, {1000 * seconds:.1f} ms")
            for each in Path(name).glob("written.db*"):
                each.unlink()
