"""Questions about photos, as requests ask them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from photoramd.clock import wall_time
from photoramd.database.edits import EditState, edits_of
from photoramd.search.expression import Expression
from photoramd.search.parser import parse
from photoramd.search.photo_rows import PhotoRow, photo_rows
from photoramd.web.picture_versions import version_of
from photoramd.web.readers import Reader
from photoramd.web.schemas import GivenTag, Photo
from photoramd.web.site import Site


def expression_of(site: Site, query: str) -> Expression | None:
    """Return a query as a tree; None finds all photos.

    Raises:
        QueryError: It has an error.
    """
    return parse(query, searches=site.config.searches) if query.strip() else None


def photos_with(reader: Reader, ids: Sequence[int]) -> list[Photo]:
    """Return photos in the order of their ids, without those that are not known.

    Raises:
        StoreError: The database cannot be read.
    """
    edits = edits_of(reader.connection, ids)
    pending = Counter(each.photo_id for each in edits if each.state is EditState.PENDING)
    return [Photo(**shown(row, pending[row.id])) for row in photo_rows(reader.connection, ids)]


def shown(row: PhotoRow, pending: int) -> dict[str, Any]:
    """Return the fields of a `Photo`, with how many edits of it wait."""
    return {
        "id": row.id,
        "name": row.name,
        "folder": row.folder,
        "width": row.width,
        "height": row.height,
        "taken": wall_time(row.taken),
        "state": row.state,
        "tags": [GivenTag(name=tag.name, confidence=tag.confidence) for tag in row.tags],
        "user_tags": list(row.user_tags),
        "pending": pending,
        "thumbnail": f"api/v1/photos/{row.id}/thumbnail?v={version_of(row.fingerprint)}",
    }
