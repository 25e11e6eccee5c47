"""Queries that find photos like one, by each thing that is known of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from photoramd.errors import QueryError, printable
from photoramd.search.clauses import exact_clause, field_clause, folder_clause
from photoramd.search.details import Details
from photoramd.search.parser import parse

_NUMBERS = ("iso", "f", "mm", "exposure")


def links(known: Details) -> dict[str, str]:
    """Return queries by what they are about: ``camera``, ``taken``, ``folder`` and others."""
    return {name: query for name, query in _links(known) if _can_be_asked(query)}


def _links(known: Details) -> Iterator[tuple[str, str]]:
    yield "folder", folder_clause(printable(known.path.parent))
    yield "state", field_clause("state", known.state)
    if known.model is not None:
        yield "model", exact_clause("model", known.model)
    if known.reason is not None:
        yield "reason", exact_clause("reason", known.reason)
    path = os.fspath(known.path)
    if path.isprintable():
        yield "same", field_clause("same", path)
        yield "like", field_clause("like", path)
    look = known.look
    if look is None:
        return
    yield "format", field_clause("type", look.format.lower())
    if look.camera is not None:
        yield "camera", exact_clause("camera", look.camera)
    if look.lens is not None:
        yield "lens", exact_clause("lens", look.lens)
    for name in _NUMBERS:
        if (value := getattr(look, name)) is not None:
            yield name, field_clause(name, f"{value:.10f}".rstrip("0").rstrip("."))
    if look.lat is not None and look.lon is not None:
        yield "place", f"near:{look.lat:.6f},{look.lon:.6f}~1km"
    if look.taken is not None:
        try:
            day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=look.taken)
        except OverflowError:
            return
        yield "taken", f"taken:{day:%Y-%m-%d}"


def _can_be_asked(query: str) -> bool:
    """Return whether a query can be read: what files say may be odd."""
    try:
        parse(query)
    except QueryError:
        return False
    return True
