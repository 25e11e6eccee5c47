"""How things are as metrics for Prometheus: the same for a scrape and for a file.

Names follow https://prometheus.io/docs/practices/naming. Labels are few: states, kinds of outcomes,
the watched directories and the workers, never a photo or a reason.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import photoramd
from photoramd.clock import UnixTime, unix_time
from photoramd.database.conditions import QUEUED
from photoramd.database.figures import Figures, is_running, stored
from photoramd.database.health import RootState
from photoramd.database.readonly import fetch, snapshot
from photoramd.database.workers import stored_workers
from photoramd.errors import printable
from photoramd.photo import PhotoState
from photoramd.search import overview
from photoramd.search.overview import RootStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What `exposition` returns, for HTTP."""

Samples = Iterable[tuple[Sequence[str], float]]
"""The values of labels, and the value."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What metrics are made of, of one moment.

    Attributes:
        photos: How many photos are in each state.
        oldest: When the photo was found that waits longest, by state.
        to_renew: See `overview.to_renew`.
        to_read: See `overview.to_read`.
        photos_a_minute: See `overview.photos_a_minute`; 0 for None.
        roots: The watched directories by distinct names for people.
        figures: Of the daemon that ran last.
        stored_at: When those were stored.
        is_running: Whether it runs still.
        workers: Whether the model can run on other machines, by their addresses.
    """

    photos: dict[PhotoState, int]
    oldest: dict[PhotoState, UnixTime]
    to_renew: int
    to_read: int
    photos_a_minute: float
    roots: dict[str, RootStatus]
    figures: Figures | None
    stored_at: UnixTime | None
    is_running: bool
    workers: dict[str, bool]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: what it means, and how it is found.

    Attributes:
        name: With its unit; a name that ends in ``_total`` is a counter's.
        meaning: For people.
        samples: Returns the values; none where there is nothing to tell.
        labels: The names of its labels.
    """

    name: str
    meaning: str
    samples: Callable[[Seen], Samples]
    labels: tuple[str, ...] = ()

    @property
    def is_counter(self) -> bool:
        """Whether it only grows, until the daemon starts again."""
        return self.name.endswith("_total")

    def family(self, seen: Seen) -> GaugeMetricFamily | CounterMetricFamily:
        """Return it as prometheus-client wants it."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        family = kind(self.name, self.meaning, labels=self.labels)
        for values, value in self.samples(seen):
            family.add_metric(values, value)
        return family


def _figure(find: Callable[[Figures], float]) -> Callable[[Seen], Samples]:
    return lambda seen: [] if seen.figures is None else [((), find(seen.figures))]


def _of_roots(find: Callable[[RootStatus], float | None]) -> Callable[[Seen], Samples]:
    def samples(seen: Seen) -> Samples:
        found = ((name, find(root)) for name, root in seen.roots.items())
        return [((name,), value) for name, value in found if value is not None]

    return samples


def _healths(seen: Seen) -> Samples:
    for name, root in seen.roots.items():
        for health in RootState:
            yield (name, health), root.health == health


def _outcomes(seen: Seen) -> Samples:
    if seen.figures is not None:
        for outcome in ("written", "not_written", "failed", "undone"):
            yield (outcome,), getattr(seen.figures, outcome)


def _model(seen: Seen) -> Samples:
    return [] if seen.figures is None else [((seen.figures.model, seen.figures.revision), 1)]


METRICS = (
    Metric(
        "photoramd_up",
        "1: the daemon runs; 0: it does not, and what only it knows is as it last was.",
        lambda seen: [((), seen.is_running)],
    ),
    Metric(
        "photoramd_build_info",
        "The version of photoramd that made these metrics.",
        lambda _: [((photoramd.__version__,), 1)],
        ("version",),
    ),
    Metric(
        "photoramd_photos",
        "Known photos by state.",
        lambda seen: [((state,), count) for state, count in seen.photos.items()],
        ("state",),
    ),
    Metric(
        "photoramd_queue_oldest_timestamp_seconds",
        "When the photo was found that waits longest in watched directories: pending for the "
        "model, tagged to be written. Absent: none waits.",
        lambda seen: [((state,), found_at) for state, found_at in seen.oldest.items()],
        ("state",),
    ),
    Metric(
        "photoramd_photos_to_renew",
        "Photos with tags of an earlier version of the model, which are tagged again.",
        lambda seen: [((), seen.to_renew)],
    ),
    Metric(
        "photoramd_photos_to_read",
        "Photos that are yet to be read for keywords, dates and cameras.",
        lambda seen: [((), seen.to_read)],
    ),
    Metric(
        "photoramd_photos_per_minute",
        "Photos tagged a minute, lately; 0: none.",
        lambda seen: [((), seen.photos_a_minute)],
    ),
    Metric(
        "photoramd_root_health",
        "1 for the health that a watched directory has, 0 for the others.",
        _healths,
        ("root", "health"),
    ),
    Metric(
        "photoramd_root_health_timestamp_seconds",
        "Since when a watched directory has that health.",
        _of_roots(lambda root: root.since),
        ("root",),
    ),
    Metric(
        "photoramd_root_last_scan_timestamp_seconds",
        "When the last scan of a watched directory was complete. Absent: never.",
        _of_roots(lambda root: root.scanned_at),
        ("root",),
    ),
    Metric(
        "photoramd_root_raw_left_out",
        "Camera RAW files in a watched directory that cannot be decoded here.",
        _of_roots(lambda root: root.raw_left_out),
        ("root",),
    ),
    Metric(
        "photoramd_start_time_seconds",
        "Since when the daemon has watched, and counted, with its present configuration.",
        _figure(lambda figures: figures.started_at),
    ),
    Metric(
        "photoramd_figures_timestamp_seconds",
        "When what only the daemon knows last changed, to within 15 seconds.",
        lambda seen: [] if seen.stored_at is None else [((), seen.stored_at)],
    ),
    Metric(
        "photoramd_model_info",
        "The model and its revision.",
        _model,
        ("model", "revision"),
    ),
    Metric(
        "photoramd_model_available",
        "0: the model failed when last tried, and photos wait until it works again.",
        _figure(lambda figures: figures.is_model_available),
    ),
    Metric(
        "photoramd_worker_up",
        "1: the model can run on this other machine; 0: it could not when last asked.",
        lambda seen: [((url,), is_up) for url, is_up in seen.workers.items()],
        ("worker",),
    ),
    Metric(
        "photoramd_photos_done_total",
        "Photos by what became of them: written, not_written (for now), failed or undone. One "
        "that is tried again counts again.",
        _outcomes,
        ("outcome",),
    ),
    Metric(
        "photoramd_inferences_total",
        "Pictures that the model looked at; those that are known already cost none.",
        _figure(lambda figures: figures.inferred),
    ),
    Metric(
        "photoramd_inference_seconds_total",
        "How long the model looked at them, with the time to load it again where it is unloaded "
        "when idle.",
        _figure(lambda figures: figures.inference_seconds),
    ),
    Metric(
        "photoramd_workers_started_total",
        "Processes that were started to look into files; they are replaced now and then.",
        _figure(lambda figures: figures.workers_started),
    ),
    Metric(
        "photoramd_workers_lost_total",
        "Those that a file crashed, or that were ended as they took too much time or memory.",
        _figure(lambda figures: figures.workers_lost),
    ),
)


class StatusCollector(Collector):
    """Collects all metrics of a database.

    Args:
        connection: From `open_readonly`.
        database: Its path as it is configured; None: as SQLite knows it, without links.
        now: Returns the present time.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        database: Path | None = None,
        now: Callable[[], UnixTime] = unix_time,
    ) -> None:
        self._connection = connection
        self._database = database
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield all metrics, of one state of the database.

        Raises:
            StoreError: The database cannot be read.
        """
        with snapshot(self._connection):
            seen = _look(self._connection, self._database, self._now())
        for metric in METRICS:
            yield metric.family(seen)


def exposition(
    connection: sqlite3.Connection,
    database: Path | None = None,
    now: Callable[[], UnixTime] = unix_time,
) -> bytes:
    """Return all metrics in Prometheus's text format; see `StatusCollector`.

    Raises:
        StoreError: The database cannot be read.
    """
    registry = CollectorRegistry()
    registry.register(StatusCollector(connection, database, now))
    return generate_latest(registry)


def _look(connection: sqlite3.Connection, database: Path | None, now: UnixTime) -> Seen:
    figures, stored_at = stored(connection) or (None, None)
    return Seen(
        photos=overview.counts(connection),
        oldest=_oldest(connection),
        to_renew=overview.to_renew(connection),
        to_read=overview.to_read(connection),
        photos_a_minute=overview.photos_a_minute(connection, now) or 0.0,
        roots=_named(overview.roots(connection)),
        figures=figures,
        stored_at=stored_at,
        is_running=figures is not None and is_running(connection, figures, database),
        workers={each.url: each.is_available for each in stored_workers(connection)},
    )


def _oldest(connection: sqlite3.Connection) -> dict[PhotoState, UnixTime]:
    """Return when the photo was found that waits longest, by state.

    Photos of directories that are no longer watched have no next attempt: they do not wait.
    """
    sql = f"""SELECT found_at FROM photos WHERE {QUEUED} AND state = ?
              AND next_attempt IS NOT NULL ORDER BY found_at, id LIMIT 1"""  # noqa: S608
    states = (PhotoState.PENDING, PhotoState.TAGGED)
    return {state: UnixTime(row[0]) for state in states for row in fetch(connection, sql, [state])}


def _named(roots: Iterable[RootStatus]) -> dict[str, RootStatus]:
    r"""Return directories by names for people.

    One name may be printed as another is spelled (a byte E9, and the four characters ``\xe9``);
    two samples with the same labels would make the whole answer invalid.
    """
    found: dict[str, RootStatus] = {}
    for root in roots:
        name = printable(root.path)
        while name in found:
            name += "'"
        found[name] = root
    return found
