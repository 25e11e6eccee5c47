"""Edits of tags: asked for here, carried out by the daemon."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException

from photoramd.database.edits import (
    checked_tags,
    edit_progress,
    last_edit,
    request_edit,
    request_undo,
)
from photoramd.search.edit_outcome import can_be_undone, failed_changes
from photoramd.web.api.endpoint import Endpoint, reading, writing
from photoramd.web.api.questions import expression_of
from photoramd.web.edit_schemas import (
    MOST_PHOTOS,
    EditAsked,
    EditGiven,
    EditNamed,
    FailedEdit,
    NothingAsked,
    NothingSent,
    Progress,
)
from photoramd.web.orders import found
from photoramd.web.readers import Reader
from photoramd.web.site import Site

_BY = "gallery"

_FAILURES = 100
"""So many are told."""


def edit(site: Site, _: NothingAsked, sent: EditAsked) -> EditGiven:
    """Ask for an edit."""
    checked_tags(sent.add, sent.reject)
    if (sent.photos is msgspec.UNSET) == (sent.query is msgspec.UNSET):
        raise HTTPException(400, "name either photos or a query")
    if sent.photos is not msgspec.UNSET:
        photos = list(dict.fromkeys(sent.photos))
    else:
        query = sent.query or ""
        photos = site.readers.ask_here(lambda reader: _found(site, reader, query))
    number = request_edit(site.database, photos, add=sent.add, reject=sent.reject, by=_BY)
    return EditGiven(id=number, photos=len(photos))


def _found(site: Site, reader: Reader, query: str) -> list[int]:
    expression = expression_of(site, query)
    with reader.situation() as situation:
        hits = found(situation, expression)
    if not hits:
        raise HTTPException(400, "the query finds no photo")
    if len(hits) > MOST_PHOTOS:
        raise HTTPException(
            413, f"the query finds {len(hits):,} photos; at most {MOST_PHOTOS:,} in one edit"
        )
    return list(hits)


def undo(site: Site, asked: EditNamed, _: NothingSent) -> EditGiven:
    """Ask for an edit to be undone."""
    site.readers.ask_here(lambda reader: _progress(reader, asked.id))
    number = request_undo(site.database, asked.id, by=_BY)
    done = site.readers.ask_here(lambda reader: edit_progress(reader.connection, number))
    return EditGiven(id=number, photos=done.photos)


def progress(_: Site, reader: Reader, asked: EditNamed) -> Progress:
    """Return how far an edit is."""
    return _progress(reader, asked.id)


def latest(_: Site, reader: Reader, __: NothingAsked) -> Progress:
    """Return how far the last edit is that can be undone."""
    number = last_edit(reader.connection)
    if number is None:
        raise HTTPException(404, "there is nothing to undo")
    return _progress(reader, number)


def _progress(reader: Reader, number: int) -> Progress:
    known = edit_progress(reader.connection, number)
    if not known.photos:
        raise HTTPException(404, "there is no such edit")
    return Progress(
        id=number,
        photos=known.photos,
        pending=known.pending,
        done=known.done,
        failed=known.failed,
        failures=[
            FailedEdit(photo=each.photo_id, name=each.name, reason=each.reason)
            for each in failed_changes(reader.connection, number, _FAILURES)
        ],
        can_undo=can_be_undone(reader.connection, number),
    )


ENDPOINTS = (
    Endpoint(
        "POST", "/edits", "Add tags to photos, or reject tags of theirs.",
        NothingAsked, writing(EditAsked, edit), EditGiven, body=EditAsked, status=202,
        problems=(413,),
    ),
    Endpoint(
        "GET", "/edits/latest", "How far the last edit is that can be undone.",
        NothingAsked, reading(latest), Progress, problems=(404,),
    ),
    Endpoint(
        "GET", "/edits/{id}", "How far an edit is.",
        EditNamed, reading(progress), Progress, problems=(404,),
    ),
    Endpoint(
        "POST", "/edits/{id}/undo", "Undo an edit.",
        EditNamed, writing(NothingSent, undo), EditGiven, body=NothingSent, status=202,
        problems=(404,),
    ),
)  # fmt: skip
