"""What the gallery serves, and with what: one value that all handlers share."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread
from starlette.requests import Request

from photoramd.config.schema import Config
from photoramd.errors import PhotoramdError
from photoramd.search import facets
from photoramd.web.access import Access
from photoramd.web.likeness import Likeness
from photoramd.web.orders import Orders
from photoramd.web.readers import Readers

_EVERY_SECONDS = 5.0
"""Often enough that changes are noted before they leave the journal, however fast the daemon is."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the gallery serves.

    Attributes:
        config: The configuration, with the saved searches and the watched directories.
        database: The file.
        readers: Ask it.
        access: Who may see it; None for everybody who reaches it.
        why_read_only: Why nothing can be changed through it; None if it can.
        orders: Puts photos into orders.
        likeness: Finds photos that look like one.
    """

    config: Config
    database: Path
    readers: Readers
    access: Access | None = None
    why_read_only: str | None = None
    orders: Orders = field(init=False)
    likeness: Likeness = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "orders", Orders(self.database))
        object.__setattr__(self, "likeness", Likeness(self.database))

    async def keep_prepared(self) -> None:
        """Keep in memory what questions need, until it is cancelled; a thread does the work."""
        self.readers.begin()
        while True:
            await to_thread.run_sync(self._prepare)
            await anyio.sleep(_EVERY_SECONDS)

    def _prepare(self) -> None:
        # Whoever asks is told what is wrong.
        with suppress(PhotoramdError, sqlite3.Error):
            self.orders.prepare()
        with suppress(PhotoramdError, sqlite3.Error):
            self.readers.prepare(lambda reader: facets.prepare(reader.sets))

    def close(self) -> None:
        """Close what was opened to answer questions."""
        self.readers.close()
        self.likeness.close()

    @property
    def can_edit(self) -> bool:
        """Whether tags can be edited and photos tried again."""
        return self.why_read_only is None


def site_of(request: Request) -> Site:
    """Return the site that a request is for."""
    site: Site = request.app.state.site
    return site
