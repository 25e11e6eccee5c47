"""Pages as HTML: templates, and what all of them show."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from photoramd.system.container import how_to
from photoramd.web import static_files
from photoramd.web.news import LiveStatus
from photoramd.web.site import site_of

PAGES = (
    ("", "Photos", "photos"),
    ("tags", "Tags", "tags"),
    ("folders", "Folders", "folder"),
    ("failed", "Failed", "failed"),
)
"""The pages of the menu: path, text and drawing. The status is beside it."""

KEYS = (
    ("/", "Search"),
    ("\N{LEFTWARDS ARROW} \N{UPWARDS ARROW} \N{DOWNWARDS ARROW} \N{RIGHTWARDS ARROW}", "Move"),
    ("h j k l", "Move, too"),
    ("Enter", "Open a photo"),
    ("Esc", "Back; clear the selection"),
    ("x", "Select"),
    ("Shift+\N{RIGHTWARDS ARROW}", "Select on the way; so with each arrow"),
    ("t", "Add a tag"),
    ("r", "Reject a tag; of an open photo, then 1 to 9"),
    ("z", "Undo the last edit"),
    ("s", "Similar photos"),
    ("i", "Details"),
    ("g", "Go to a date"),
    ("m M", "Next, previous month"),
    ("y Y", "Next, previous year"),
    ("?", "This help"),
)
"""What keys do, for the help."""

_EDITING_KEYS = frozenset("trz")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment


def how_to_start() -> str:
    """Return the commands that start the daemon, in quotation marks."""
    left, right = "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}"
    return how_to("start", f"{left}{{}}{right}")


def page(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """Return a page.

    Args:
        request: What was asked; addresses are relative to it.
        template: Its name, without the suffix.
        status: Of HTTP.
        values: What the template shows besides what all pages have.
    """
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    root = "../" * (path.count("/") - 1)
    site = site_of(request)
    known: dict[str, object] = {
        "root": root,
        "static": root + static_files.directory(),
        "pages": PAGES,
        "keys": [key for key in KEYS if site.can_edit or key[0] not in _EDITING_KEYS],
        "can_edit": site.can_edit,
        "why_read_only": site.why_read_only,
        "has_token": site.access is not None,
        "here": None,
        "q": "",
        "has_menu": True,
        "daemon": describe(None),
        "stopped": _stopped(),
        "failed": 0,
    }
    text = _environment().get_template(f"{template}.html").render(known | values)
    return Response(
        text, status, {"Cache-Control": "private, no-cache"}, media_type="text/html; charset=utf-8"
    )


def describe(status: LiveStatus | None) -> dict[str, str]:
    """Return how the daemon is, as the bar at the top shows it; None: that is not known."""
    if status is None:
        return {"state": "unknown", "text": "", "title": "How things are"}
    if not status.running:
        return {
            "state": "off",
            "text": "not running",
            "title": _stopped(),
        }
    if not status.pending:
        return {"state": "idle", "text": "up to date", "title": "Every photo is tagged"}
    rate = status.photos_a_minute
    speed = f" \N{MIDDLE DOT} {rate:,.0f}/min" if rate else ""
    return {
        "state": "busy",
        "text": f"{status.pending:,} waiting{speed}",
        "title": "The daemon is tagging photos",
    }


def _stopped() -> str:
    return f"The daemon is not running: new photos and edits wait. Start it with {how_to_start()}."


def data_block(value: object) -> Markup:
    """Return a value for a script element that is data: nothing in it can end the element."""
    text = msgspec.json.encode(value).decode()
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    # No letter is left that HTML has a meaning for.
    return Markup(text)  # noqa: S704  # nosec B704


def asking(**values: Any) -> str:
    """Return the part of an address that asks, "" if nothing is given."""
    given = {name: value for name, value in values.items() if value}
    return f"?{urlencode(given, quote_via=quote)}" if given else ""
