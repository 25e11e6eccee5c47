"""The pages that people look at, as they come first: whole, and without any script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from photoramd.clock import unix_time
from photoramd.database.lock import holder
from photoramd.errors import UsageError
from photoramd.search.advice import advise
from photoramd.search.clauses import Clauses
from photoramd.web import lists, static_files
from photoramd.web.api import photos as api_photos
from photoramd.web.api.endpoint import checked, json_response
from photoramd.web.api.grid import days_of
from photoramd.web.api.questions import expression_of, photos_with
from photoramd.web.news import LiveStatus, status_now
from photoramd.web.orders import Order
from photoramd.web.readers import Reader
from photoramd.web.schemas import Asked, Photo, PhotoAsked, Query, Sort
from photoramd.web.site import Site, site_of
from photoramd.web.templating import asking, data_block, describe, how_to_start, page

FIRST = 60
"""So many photos come with the page; the rest is fetched as one looks at it."""

SORTS = (
    ("taken", "Newest first"),
    ("added", "Added last"),
    ("score", "Surest first"),
    ("path", "By path"),
)


class GalleryAsked(Asked):
    """What a page of the grid is asked with."""

    q: Query = ""
    sort: Sort = "taken"
    at: int = 0


def present(site: Site, reader: Reader) -> dict[str, Any]:
    """Return what the bar at the top shows."""
    running = holder(site.database) is not None
    status: LiveStatus = status_now(reader.connection, running, unix_time())
    return {"daemon": describe(status), "failed": status.failed}


def _lenient(request: Request) -> GalleryAsked:
    """Return what is asked for; what makes no sense in a bookmark is left out."""
    given = dict(request.query_params)
    sort: Any = given.get("sort", "taken")
    at = given.get("at", "0")
    return GalleryAsked(
        q=given.get("q", "").strip(),
        sort=sort if sort in get_args(Sort) else "taken",
        at=int(at) if at.isascii() and at.isdigit() and len(at) < 10 else 0,
    )


async def gallery(request: Request) -> Response:
    """Show the photos that a query finds."""
    asked = _lenient(request)
    site = site_of(request)
    values: dict[str, Any] = await site.readers.ask(lambda reader: _gallery(site, reader, asked))
    return page(request, "gallery", **values)


def _gallery(site: Site, reader: Reader, asked: GalleryAsked) -> dict[str, Any]:
    values = present(site, reader) | {
        "here": "",
        "q": asked.q,
        "sort": asked.sort,
        "sorts": SORTS,
        "asked": _address(asked.q, asked.sort),
        "modules": [name for name in static_files.files() if name in _MODULES],
        "chips": [],
        "photos": [],
        "next_page": None,
        "given": None,
        "empty": None,
        "total_text": "",
    }
    try:
        order = site.orders.put(reader, expression_of(site, asked.q), asked.sort)
    except UsageError as error:
        sentences = [error.remedy] if error.remedy else []
        return values | {"empty": {"title": error.message, "sentences": sentences}}
    values["chips"] = _chips(site, asked)
    total = len(order.ids)
    values["total_text"] = f"{total:,} photo{'' if total == 1 else 's'}"
    if not total:
        return values | {"empty": _advice(site, reader, asked.q)}
    shown = photos_with(reader, order.ids[asked.at : asked.at + FIRST].tolist())
    values["photos"] = [_described(each) for each in shown]
    end = asked.at + FIRST
    if end < total:
        values["next_page"] = _address(asked.q, asked.sort, at=end)
    if not asked.at:
        given = {"layout": _beginning(order, FIRST), "photos": shown}
        values["given"] = data_block(given)
    return values


_MODULES = frozenset(
    f"{name}.js"
    for name in (
        "api", "complete", "dom", "edits", "facets", "gallery", "grid", "justify", "keys", "live",
        "page", "photo", "scale", "scrubber", "search", "selection", "windows",
    )
)  # fmt: skip


def _address(q: str, sort: Sort, **values: int) -> str:
    """Return the part of an address that asks for photos in an order, if not the usual one."""
    return asking(q=q, sort=sort if sort != "taken" else "", **values)


def _chips(site: Site, asked: GalleryAsked) -> list[dict[str, str]]:
    query = Clauses.of(asked.q, site.config.searches)
    return [{"text": text, "href": _address(str(rest), asked.sort)} for text, rest in query.each()]


def _beginning(order: Order, most: int) -> dict[str, object]:
    """Return a `Layout` of the first photos; the total is that of all."""
    left = most
    days = []
    for day, count in days_of(order):
        if left <= 0:
            break
        days.append((day, min(count, left)))
        left -= count
    codes = order.photos.codes[:most].tobytes().decode("ascii")
    return {"version": order.version, "total": len(order.ids), "aspects": codes, "days": days}


def _described(photo: Photo) -> dict[str, object]:
    return {
        "id": photo.id,
        "thumbnail": photo.thumbnail,
        "width": photo.width,
        "height": photo.height,
        "alt": alternative(photo),
    }


def alternative(photo: Photo) -> str:
    """Return what a photo shows, for those who do not see it."""
    return ", ".join([*photo.user_tags, *(tag.name for tag in photo.tags)]) or photo.name


def _advice(site: Site, reader: Reader, q: str) -> dict[str, object]:
    """Return why nothing is there, and what to do."""
    expression = expression_of(site, q)
    if expression is not None:
        sentences = advise(reader.connection, expression)
        return {"title": "No photo is like that", "sentences": sentences}
    watched = [f"photoramd watches {watch.path}." for watch in site.config.watch]
    is_running = holder(site.database) is not None
    what = (
        "Photos appear here as soon as the daemon has found them."
        if is_running
        else f"The daemon is not running: start it with {how_to_start()}."
    )
    return {"title": "No photos yet", "sentences": [*watched, what]}


async def advice(request: Request) -> Response:
    """Say why a query finds nothing, to a page that is open already."""
    asked = _lenient(request)
    site = site_of(request)
    return json_response(await site.readers.ask(lambda reader: _advice(site, reader, asked.q)))


async def photo(request: Request) -> Response:
    """Show one photo."""
    asked = _lenient(request)
    wanted = checked(dict(request.path_params), PhotoAsked, is_text=True)
    site = site_of(request)

    def answer(reader: Reader) -> dict[str, Any]:
        details = api_photos.details(site, reader, wanted)
        return present(site, reader) | {
            "q": asked.q,
            "asked": _address(asked.q, asked.sort),
            "photo": details,
            "alt": alternative(details),
            "preview": details.thumbnail.replace("/thumbnail", "/preview"),
            "given": data_block(details),
        }

    return page(request, "photo", **await site.readers.ask(answer))


def _listing(
    name: str, answer: Callable[[Site, Reader, dict[str, str]], dict[str, Any]]
) -> Callable[[Request], Any]:
    async def show(request: Request) -> Response:
        site = site_of(request)
        given = dict(request.query_params)

        def values(reader: Reader) -> dict[str, Any]:
            return present(site, reader) | {"here": name} | answer(site, reader, given)

        found = await site.readers.ask(values)
        if given.get("part") and "values" in found:
            return json_response(found["values"])
        return page(request, name, **found)

    return show


async def login(request: Request) -> Response:
    """Ask for the token, where one is needed."""
    if site_of(request).access is None:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)
    return page(request, "login", has_menu=False)


ROUTES = [
    Route("/", gallery),
    Route("/advice", advice),
    Route("/p/{id}", photo),
    Route("/tags", _listing("tags", lists.tags)),
    Route("/folders", _listing("folders", lists.folders)),
    Route("/failed", _listing("failed", lists.failed)),
    Route("/status", _listing("status", lists.status)),
    Route("/login", login),
    *static_files.ROUTES,
]
"""Routes of the pages."""
