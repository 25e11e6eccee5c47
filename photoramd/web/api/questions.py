"""Questions about photos, as requests ask them."""

from __future__ import annotations

from collections.abc import Sequence

from photoramd.clock import wall_time
from photoramd.search.expression import Expression
from photoramd.search.parser import parse
from photoramd.search.photo_rows import PhotoRow, photo_rows
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
    return [Photo(**shown(row)) for row in photo_rows(reader.connection, ids)]


def shown(row: PhotoRow) -> dict[str, object]:
    """Return the fields of a `Photo`."""
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
        "pending": 0,
        "thumbnail": f"api/v1/photos/{row.id}/thumbnail?v={row.content}",
    }
