"""What the pages with lists show: tags, folders, what failed, and how things are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from photoramd.search.clauses import folder_clause
from photoramd.search.completion import quoted
from photoramd.web.api import searching, state
from photoramd.web.edit_schemas import NothingAsked
from photoramd.web.readers import Reader
from photoramd.web.search_schemas import FoldersAsked, TagsAsked
from photoramd.web.site import Site
from photoramd.web.templating import how_to_start

_TAGS = 300
"""So many are on the page at first."""


def tags(site: Site, reader: Reader, given: dict[str, str]) -> dict[str, Any]:
    """Return the tags in use."""
    sort: Any = "name" if given.get("sort") == "name" else "count"
    prefix = given.get("prefix", "")[:200]
    found = searching.tags(site, reader, TagsAsked(prefix=prefix, sort=sort, limit=_TAGS))
    return {
        "prefix": prefix,
        "sort": sort,
        "next": found.next,
        "tags": [
            {"name": tag.name, "photos": tag.photos, "query": quoted(tag.name)}
            for tag in found.tags
        ],
    }


def folders(site: Site, reader: Reader, given: dict[str, str]) -> dict[str, Any]:
    """Return the folders right below one, and those above it."""
    path = given.get("path", "")
    found = searching.folders(site, reader, FoldersAsked(path=path))
    tops = {each.path for each in searching.folders(site, reader, FoldersAsked()).folders}
    crumbs = []
    at = path
    while at:
        crumbs.append({"path": at, "name": at if at in tops else at.rpartition("/")[2] or at})
        if at in tops or "/" not in at.strip("/"):
            break
        at = at.rpartition("/")[0]
    return {
        "folders": found.folders,
        "crumbs": crumbs[::-1],
        "here_query": folder_clause(path) if path else None,
    }


def failed(site: Site, reader: Reader, _: dict[str, str]) -> dict[str, Any]:
    """Return why photos failed."""
    found = state.failed(site, reader, NothingAsked())
    return {"reasons": found.reasons}


FIGURES = (
    ("photos-all", "Photos", ""),
    ("photos-pending", "Waiting", "?q=state%3Apending"),
    ("photos-tagged", "Tagged, to be written", "?q=state%3Atagged"),
    ("photos-written", "Done", "?q=state%3Awritten"),
    ("photos-failed", "Failed", "failed"),
    ("photos-missing", "Missing", "?q=is%3Amissing"),
    ("left", "Time left", None),
    ("sidecar", "Keywords in sidecars", None),
    ("embedded", "Keywords inside photos", None),
    ("renew", "Of an earlier model", None),
    ("read", "To be read again", None),
    ("process", "Process", None),
)
"""What `photoramd status` counts: key, text, and the page that shows it."""


def status(site: Site, reader: Reader, _: dict[str, str]) -> dict[str, Any]:
    """Return how things are."""
    now = state.status(site, reader, NothingAsked())
    counts: dict[str, Any] = {**now["photos"]}
    values = {
        "state-lead": _lead(now),
        "photos-all": f"{sum(counts.values()):,}",
        **{f"photos-{name}": f"{number:,}" for name, number in counts.items()},
        "left": _span(now["seconds_left"]),
        "sidecar": f"{now['places']['sidecar']:,}",
        "embedded": f"{now['places']['embedded']:,}",
        "renew": f"{now['to_renew']:,}",
        "read": f"{now['to_read']:,}",
        "process": str(now["process"] or "\N{EN DASH}"),
    }
    return {
        "figures": FIGURES,
        "values": values,
        "roots": [_root(each) for each in now["roots"]],
        "fallbacks": now["places"]["fallbacks"],
        "problems": now["problems"],
        "database": now["database"],
    }


def _lead(now: state.SiteStatus) -> str:
    if not now["running"]:
        return f"The daemon is not running. Start it with {how_to_start()}."
    if now["rests_until"] is not None:
        return f"The daemon rests until {_moment(now['rests_until'])}, by its hours."
    if now["photos"]["pending"]:
        return "The daemon is tagging photos."
    return "The daemon watches; every photo is tagged."


def _root(root: Any) -> dict[str, Any]:
    if root["scanning_since"] is not None:
        text = f"being scanned: {root['scanned_photos'] or 0:,} photos so far"
    elif root["scanned_at"] is not None:
        text = f"scanned {_moment(root['scanned_at'])}"
    else:
        text = "not scanned yet"
    if root["raw_left_out"]:
        text += f"; {root['raw_left_out']:,} RAW files cannot be decoded here"
    return {
        "path": root["path"],
        "health": str(root["health"]),
        "reason": root["reason"],
        "remedy": root["remedy"],
        "text": text,
    }


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%-d %B %Y, %H:%M}"


def _span(seconds: int | None) -> str:
    """Return how long something takes, roughly."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
