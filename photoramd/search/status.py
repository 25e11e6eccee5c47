"""How things are, as `photoramd status --json` and the gallery's API say it.

Programs rely on it: see `photoramd.cli.answers`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from photoramd.clock import UnixTime
from photoramd.config.schedule import Schedule
from photoramd.database.health import RootState
from photoramd.database.lock import holder
from photoramd.database.workers import stored_workers
from photoramd.errors import printable
from photoramd.metadata.changes import Place
from photoramd.models.remote.state import WorkerState
from photoramd.photo import PhotoState
from photoramd.search import overview, places

_Count = Annotated[int, Meta(ge=0)]
_Moment = Annotated[float, Meta(description="Unix time in seconds.")]
Printable = Annotated[
    str, Meta(description="A path for people: bytes that are not UTF-8 are written as \\xe9.")
]


class PhotoCounts(TypedDict):
    """How many photos are in each state."""

    pending: _Count
    tagged: _Count
    written: _Count
    failed: _Count
    missing: _Count


class CountedReason(TypedDict):
    """Why something is not as it should be, and with how many photos."""

    reason: str
    photos: _Count
    example: Printable


class PlaceCounts(TypedDict):
    """Where keywords are."""

    sidecar: _Count
    embedded: Annotated[int, Meta(ge=0, description="Inside photos.")]
    fallbacks: Annotated[list[CountedReason], Meta(description="Why some are not inside photos.")]


class WatchedRoot(TypedDict):
    """A watched directory as the daemon last saw it."""

    path: Printable
    health: RootState
    reason: Annotated[str | None, Meta(description="Why it is not online.")]
    remedy: Annotated[str | None, Meta(description="What the user can do about it.")]
    since: _Moment
    scanned_at: Annotated[
        float | None, Meta(description="When the last scan was complete, Unix time in seconds.")
    ]
    raw_left_out: Annotated[
        int, Meta(ge=0, description="RAW files there that cannot be decoded here.")
    ]
    scanning_since: Annotated[
        float | None, Meta(description="When the present scan began, Unix time in seconds.")
    ]
    scanned_photos: Annotated[int | None, Meta(description="How many photos that has seen.")]


class ClusterWorker(TypedDict):
    """A machine on which the model runs, as the daemon last met it."""

    url: str
    available: bool
    reason: Annotated[str | None, Meta(description="Why it is not available.")]
    remedy: Annotated[str | None, Meta(description="What can be done about it.")]
    since: _Moment


class Status(TypedDict):
    """How things are."""

    running: Annotated[bool, Meta(description="Whether a daemon or scan has the database.")]
    process: Annotated[int | None, Meta(description="Its number.")]
    database: Printable
    rests_until: Annotated[
        float | None, Meta(description="When the hours begin again, Unix time in seconds.")
    ]
    photos: PhotoCounts
    seconds_left: Annotated[
        int | None, Meta(description="Until what waits is tagged; null: nothing, or not known.")
    ]
    to_renew: Annotated[
        int, Meta(ge=0, description="Photos with tags of an earlier version of the model.")
    ]
    to_read: Annotated[
        int, Meta(ge=0, description="Photos yet to be read for keywords, dates and cameras.")
    ]
    places: PlaceCounts
    roots: list[WatchedRoot]
    problems: Annotated[list[CountedReason], Meta(description="Why photos failed or are retried.")]
    workers: Annotated[
        list[ClusterWorker], Meta(description="Other machines on which the model runs.")
    ]


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """What of the configuration the status depends on.

    Attributes:
        hours: When the model may run.
        renews: Whether tags of an earlier revision of the model are renewed.
    """

    hours: Schedule
    renews: bool


def read_status(
    connection: sqlite3.Connection, database: Path, settings: StatusSettings, now: UnixTime
) -> Status:
    """Return how things are.

    Args:
        connection: From `open_readonly`.
        database: The file.
        settings: Of the configuration.
        now: The present time.

    Raises:
        StoreError: The database cannot be read.
    """
    counts = overview.counts(connection)
    waiting = counts[PhotoState.PENDING]
    left = overview.seconds_left(connection, waiting, now) if waiting else None
    by_place = places.counts(connection)
    process = holder(database)
    is_open = settings.hours.is_open(now)
    return Status(
        running=process is not None,
        process=process,
        database=printable(database),
        rests_until=None if is_open else settings.hours.next_change(now),
        photos=PhotoCounts(
            pending=waiting,
            tagged=counts[PhotoState.TAGGED],
            written=counts[PhotoState.WRITTEN],
            failed=counts[PhotoState.FAILED],
            missing=counts[PhotoState.MISSING],
        ),
        seconds_left=None if left is None else round(left),
        to_renew=overview.to_renew(connection) if settings.renews else 0,
        to_read=overview.to_read(connection),
        places=PlaceCounts(
            sidecar=by_place[Place.SIDECAR],
            embedded=by_place[Place.PHOTO],
            fallbacks=[_counted(each) for each in places.fallbacks(connection)],
        ),
        roots=[_root(each) for each in overview.roots(connection)],
        problems=[_counted(each) for each in overview.reasons(connection)],
        workers=[_worker(each) for each in stored_workers(connection)],
    )


def _worker(worker: WorkerState) -> ClusterWorker:
    return ClusterWorker(
        url=worker.url,
        available=worker.is_available,
        reason=worker.reason or None,
        remedy=worker.remedy or None,
        since=worker.since,
    )


def _root(root: overview.RootStatus) -> WatchedRoot:
    return WatchedRoot(
        path=printable(root.path),
        health=root.health,
        reason=root.reason,
        remedy=root.remedy,
        since=root.since,
        scanned_at=root.scanned_at,
        raw_left_out=root.raw_left_out,
        scanning_since=root.scanning_since,
        scanned_photos=root.scanned_photos,
    )


def _counted(reason: places.Reason) -> CountedReason:
    return CountedReason(
        reason=reason.text, photos=reason.photos, example=printable(reason.example)
    )
