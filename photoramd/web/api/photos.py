"""One photo: everything that is known of it, and photos that look like it."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException

from photoramd.database.edits import EditState
from photoramd.errors import printable
from photoramd.search.by_similarity import copies_of
from photoramd.search.details import Details, photo_with_id
from photoramd.search.overview import paths_of
from photoramd.search.photo_links import links
from photoramd.search.photo_rows import photo_rows
from photoramd.web.api.endpoint import Endpoint, reading
from photoramd.web.api.questions import photos_with, shown
from photoramd.web.readers import Reader
from photoramd.web.schemas import (
    Edit,
    PhotoAsked,
    PhotoDetails,
    SimilarAsked,
    SimilarPhoto,
    SimilarPhotos,
)
from photoramd.web.site import Site


def details(_: Site, reader: Reader, asked: PhotoAsked) -> PhotoDetails:
    """Return everything that is known of a photo."""
    rows = photo_rows(reader.connection, [asked.id])
    known = photo_with_id(reader.connection, asked.id)
    if not rows or known is None:
        raise HTTPException(404, "there is no such photo")
    return PhotoDetails(
        **shown(rows[0], sum(each.state is EditState.PENDING for each in known.edits)),
        **_look(known),
        path=printable(known.path),
        size=known.size,
        sidecar=None if known.sidecar is None else printable(known.sidecar),
        place=known.place,
        model=known.model,
        revision=known.revision,
        reason=known.reason,
        rejected=list(known.rejected),
        copies=len(copies_of(reader.connection, asked.id)) - 1,
        links=links(known),
        edits=[
            Edit(
                id=each.edit_id,
                kind=each.kind,
                tag=each.tag,
                state=each.state,
                reason=each.reason,
                undoes=each.undoes,
            )
            for each in known.edits
        ],
    )


_LOOK = ("format", "camera", "lens", "iso", "f", "exposure", "mm", "tz", "lat", "lon")


def _look(known: Details) -> dict[str, Any]:
    return {name: getattr(known.look, name, None) for name in _LOOK}


def similar(site: Site, reader: Reader, asked: SimilarAsked) -> SimilarPhotos:
    """Return photos that look like one."""
    if not paths_of(reader.connection, [asked.id]):
        raise HTTPException(404, "there is no such photo")
    likeness = site.likeness.of(reader.connection, asked.id, asked.limit)
    found = photos_with(reader, list(likeness))
    return SimilarPhotos(
        photos=[
            SimilarPhoto(**{n: getattr(each, n) for n in each.__struct_fields__},
                         likeness=round(likeness[each.id], 4))
            for each in found
        ]
    )  # fmt: skip


ENDPOINTS = (
    Endpoint(
        "GET", "/photos/{id}", "Everything that is known of a photo.",
        PhotoAsked, reading(details), PhotoDetails, problems=(404,),
    ),
    Endpoint(
        "GET", "/photos/{id}/similar", "Photos that look like one, the most similar first.",
        SimilarAsked, reading(similar), SimilarPhotos, problems=(404,),
    ),
)  # fmt: skip
