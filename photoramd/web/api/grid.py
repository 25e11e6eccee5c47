"""What a grid of photos is made of: the shapes of all, and windows of them."""

from __future__ import annotations

import gzip

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from photoramd.search.order import cursor_of, ordered
from photoramd.search.queries import scores_of
from photoramd.web.api.endpoint import Endpoint, reading
from photoramd.web.api.questions import expression_of, photos_with
from photoramd.web.orders import Order, found
from photoramd.web.picture_versions import is_known
from photoramd.web.readers import Reader
from photoramd.web.schemas import (
    Layout,
    LayoutAsked,
    Neighbours,
    NeighboursAsked,
    Photos,
    PhotosAsked,
)
from photoramd.web.site import Site, site_of

_LEVEL = 1
"""Of gzip: of a million shapes 16 ms and 320 kB, where level 6 takes 150 ms for 270 kB."""

_LEAST = 1_000
"""Bytes that are worth it."""


async def layout(request: Request, asked: LayoutAsked) -> Response:
    """Answer with the shapes and days of all photos that a query finds."""
    site = site_of(request)
    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")

    def answer(reader: Reader) -> Response:
        order = site.orders.put(reader, expression_of(site, asked.q), asked.sort)
        anchor = None if asked.anchor is msgspec.UNSET else order.rank(asked.anchor)
        # The same order may be asked for with another anchor.
        tag = f'"{order.version}"' if anchor is None else f'"{order.version}-{anchor}"'
        headers = {"ETag": f"W/{tag}", "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        body = msgspec.json.encode(
            Layout(
                version=order.version,
                total=len(order.ids),
                aspects=order.photos.codes.tobytes().decode("ascii"),
                days=[list(each) for each in days_of(order)],
                anchor=anchor,
            )
        )
        if takes_gzip and len(body) >= _LEAST:
            body = gzip.compress(body, _LEVEL)
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type="application/json")

    return await site.readers.ask(answer)


def days_of(order: Order) -> list[tuple[str | None, int]]:
    """Return the days of an order, and how many photos each has; what has no date is last."""
    photos = order.photos
    days: list[str | None] = photos.days.astype("datetime64[D]").astype(str).tolist()
    counts: list[int] = photos.counts.tolist()
    if left := len(photos.ids) - sum(counts):
        days.append(None)
        counts.append(left)
    return list(zip(days, counts, strict=True))


def photos(site: Site, reader: Reader, asked: PhotosAsked) -> Photos:
    """Return some of the photos that a query finds."""
    if asked.after is not msgspec.UNSET:
        if asked.at is not msgspec.UNSET or asked.version is not msgspec.UNSET:
            raise HTTPException(400, "after is for pages, at and version are for windows")
        return _page(site, reader, asked, asked.after or None)
    return _window(site, reader, asked)


def _window(site: Site, reader: Reader, asked: PhotosAsked) -> Photos:
    version = None if asked.version is msgspec.UNSET else asked.version
    ids = None if version is None else site.orders.kept(version)
    if ids is None:
        order = site.orders.put(reader, expression_of(site, asked.q), asked.sort)
        if version not in (None, order.version):
            raise HTTPException(409, "the photos have changed: ask for the layout again")
        version, ids = order.version, order.ids
    at = 0 if asked.at is msgspec.UNSET else asked.at
    wanted = ids[at : at + asked.limit].tolist()
    given = photos_with(reader, wanted)
    if len(given) < len(wanted):
        raise HTTPException(409, "some photos are gone: ask for the layout again")
    return Photos(total=len(ids), photos=given, version=version, at=at)


def _page(site: Site, reader: Reader, asked: PhotosAsked, after: str | None) -> Photos:
    expression = expression_of(site, asked.q)
    with reader.situation() as situation:
        hits = found(situation, expression)
        scores = None
        if asked.sort == "score":
            scores = situation.scores or scores_of(situation, expression)
        places = []
        for place in ordered(situation, hits, asked.sort, after=after, scores=scores):
            places.append(place)
            if len(places) > asked.limit:
                break
        shown = places[: asked.limit]
        following = cursor_of(asked.sort, shown[-1]) if len(places) > asked.limit else None
        given = photos_with(reader, [place.photo_id for place in shown])
    return Photos(total=len(hits), photos=given, next=following)


def neighbours(site: Site, reader: Reader, asked: NeighboursAsked) -> Neighbours:
    """Return the photos beside one."""
    order = site.orders.put(reader, expression_of(site, asked.q), asked.sort)
    total, rank = len(order.ids), order.rank(asked.id)
    if rank is None:
        return Neighbours(previous=None, next=None, rank=None, total=total)
    return Neighbours(
        previous=int(order.ids[rank - 1]) if rank else None,
        next=int(order.ids[rank + 1]) if rank + 1 < total else None,
        rank=rank,
        total=total,
    )


ENDPOINTS = (
    Endpoint(
        "GET", "/layout", "The shapes and days of all photos that a query finds.",
        LayoutAsked, layout, Layout,
    ),
    Endpoint(
        "GET", "/photos", "Some of the photos that a query finds.",
        PhotosAsked, reading(photos), Photos, problems=(409,),
    ),
    Endpoint(
        "GET", "/photos/{id}/neighbours", "The photos before and behind one.",
        NeighboursAsked, reading(neighbours), Neighbours,
    ),
)  # fmt: skip
