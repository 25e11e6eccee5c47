"""Measure queries of a database of 20,000 photos.

    python -m benchmarks query [--quick] [--rounds 7] [--json FILE]

The photos' keywords are words of the embedded model, a few frequent and most rare, from a seed.
Each query runs as `photoramd query`, `show` and `status` run it, in an open database;
Python's start is not counted. Judged as a multiple of a fixed join that the same SQLite does in
memory.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

import numpy as np

from benchmarks import calibration, report
from benchmarks.figures import Result
from benchmarks.measure import Case, measure, ready
from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.photo import Fingerprint, Photo, Tag
from photoramd.search import queries

PHOTOS = 20_000
WORDS = 900
_KEYWORDS = 3
_RUN_MS = 200
"""The approximate length of a run, long enough for the clock's resolution."""


def fill(database: Database, photos: int) -> None:
    """Add photos with the keywords ``word0`` (the most frequent), ``word1`` and so on."""
    queue, results = Queue(database), Results(database)
    found = [
        Photo(
            Path(f"/photos/{number // 200:04}/IMG_{number % 200:04}.jpg"),
            Fingerprint(1_000_000 + number, number, 1, number + 1),
        )
        for number in range(photos)
    ]
    queue.enqueue(found, UnixTime(1))
    generator = np.random.default_rng(1)
    # Zipf's law: the frequency of a word is about the inverse of its rank.
    chances = 1 / np.arange(1, WORDS + 1)
    ranks = generator.choice(WORDS, (photos, _KEYWORDS), p=chances / chances.sum())
    batch: list[Tagged] = []
    for job, row in zip(queue.due(UnixTime(2), photos), ranks.tolist(), strict=True):
        tags = [Tag(f"word{rank}", round(0.9 - rank / 2000, 3)) for rank in dict.fromkeys(row)]
        scores = {tag.name: tag.confidence for tag in tags}
        batch.append(Tagged(job, job.id.to_bytes(16, "big"), scores, tags))
    results.save(batch, "embedded", "1", UnixTime(3))


@dataclass(frozen=True)
class Question:
    """A query to measure.

    Attributes:
        name: For the figure.
        milliseconds: About how long the answer takes; only for the number of repetitions.
        ask: Asks it.
    """

    name: str
    milliseconds: float
    ask: Callable[[], object]

    def case(self) -> Case:
        """Return the query as a case that runs it several times."""
        times = max(1, round(_RUN_MS / self.milliseconds))

        def work(lap: Callable[[], None]) -> None:
            for _ in range(times):
                self.ask()
                lap()

        return Case(f"query, {self.name}", times, ready(work), ("SQLite",), "queries")


def questions(connection: Connection) -> list[Question]:
    """Return the queries of users and programs."""

    def find(expression: str, limit: int | None = None) -> Callable[[], object]:
        return lambda: queries.find(connection, queries.parse(expression), limit=limit)

    counted = queries.parse("word0 AND NOT word1")
    one = Path("/photos/0002/IMG_0000.jpg")
    return [
        Question("a frequent tag, 100 photos", 5, find("word0", 100)),
        Question("a frequent tag, all photos", 50, find("word1")),
        Question("a rare tag", 1.5, find("word700")),
        Question("AND, OR, NOT", 50, find("(word2 OR word3) AND NOT word0")),
        Question("any letters", 10, find("word9* AND word0")),
        Question("count", 6, lambda: queries.count(connection, counted)),
        Question("all tags", 5, lambda: queries.tags(connection)),
        Question("status", 5, lambda: (queries.counts(connection), queries.reasons(connection))),
        Question("one photo", 0.5, lambda: queries.photo(connection, one)),
    ]


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        path = Path(name, "photoramd.db")
        with Database(path) as database:
            fill(database, PHOTOS)
        with closing(queries.open_readonly(path)) as connection:
            asked = questions(connection)
            unanswered = [question.name for question in asked if not question.ask()]
            assert not unanswered, unanswered
            cases = [calibration.sqlite("SQLite"), *(question.case() for question in asked)]
            rounds = options.rounds or (5 if options.quick else 7)
            result.figures += measure("query", cases, rounds)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    report.run("query", report.parser("query", __doc__).parse_args(argv), argv, add)
