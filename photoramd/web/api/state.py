"""How things are, and what failed."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException

from photoramd.clock import unix_time
from photoramd.config.schedule import Schedule
from photoramd.database.requests import Request, submit
from photoramd.errors import printable
from photoramd.search.clauses import exact_clause
from photoramd.search.overview import paths_of, paths_with_reason, reasons
from photoramd.search.status import Status, StatusSettings, read_status
from photoramd.web.api.endpoint import Endpoint, reading, writing
from photoramd.web.edit_schemas import (
    MOST_PHOTOS,
    Failed,
    FailedReason,
    NothingAsked,
    Retried,
    Retry,
)
from photoramd.web.readers import Reader
from photoramd.web.site import Site

_REASONS = 200
"""So many are told, the most frequent ones."""


class SiteStatus(Status):
    """How things are, and what can be done about it here."""

    can_edit: bool


def status(site: Site, reader: Reader, _: NothingAsked) -> SiteStatus:
    """Return how things are."""
    config = site.config
    settings = StatusSettings(Schedule.parse(config.schedule.hours), config.model.renews)
    found = read_status(reader.connection, site.database, settings, unix_time())
    return SiteStatus(**found, can_edit=site.can_edit)


def failed(_: Site, reader: Reader, __: NothingAsked) -> Failed:
    """Return why photos failed or wait."""
    return Failed(
        reasons=[
            FailedReason(
                reason=each.text,
                photos=each.photos,
                example=printable(each.example),
                query=exact_clause("reason", each.text),
            )
            for each in reasons(reader.connection, _REASONS)
        ]
    )


def retry(site: Site, _: NothingAsked, sent: Retry) -> Retried:
    """Have photos that failed tried again."""
    if sent.photos is not msgspec.UNSET and sent.reason is not msgspec.UNSET:
        raise HTTPException(400, "photos and a reason are two ways to say which photos")
    count: int | None = None
    left = 0
    if sent.photos is not msgspec.UNSET:
        ids = sent.photos
        paths = site.readers.ask_here(lambda reader: paths_of(reader.connection, ids))
        if len(paths) < len(set(ids)):
            raise HTTPException(404, "some of these photos are not known")
        count = len(paths)
    elif sent.reason is not msgspec.UNSET:
        reason = sent.reason
        found = site.readers.ask_here(lambda reader: paths_with_reason(reader.connection, reason))
        paths = found[:MOST_PHOTOS]
        count, left = len(paths), len(found) - len(paths)
    else:
        paths = [str(watch.path) for watch in site.config.watch]
    submit(site.database, [Request(path, only_failed=True) for path in paths])
    return Retried(photos=count, left=left)


ENDPOINTS = (
    Endpoint(
        "GET", "/status", "How things are, as `photoramd status --json` says it.",
        NothingAsked, reading(status), SiteStatus,
    ),
    Endpoint(
        "GET", "/failed", "Why photos failed or wait.", NothingAsked, reading(failed), Failed
    ),
    Endpoint(
        "POST", "/retry", "Have photos that failed tried again.",
        NothingAsked, writing(Retry, retry), Retried, body=Retry, status=202, problems=(404,),
    ),
)  # fmt: skip
