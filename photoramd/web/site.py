"""What the gallery serves, and with what: one value that all handlers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from photoramd.config.schema import Config
from photoramd.web.access import Access
from photoramd.web.readers import Readers


@dataclass(frozen=True, slots=True)
class Site:
    """What the gallery serves.

    Attributes:
        config: The configuration, with the saved searches and the watched directories.
        database: The file.
        readers: Ask it.
        access: Who may see it; None for everybody who reaches it.
        why_read_only: Why nothing can be changed through it; None if it can.
    """

    config: Config
    database: Path
    readers: Readers
    access: Access | None = None
    why_read_only: str | None = None

    @property
    def can_edit(self) -> bool:
        """Whether tags can be edited and photos tried again."""
        return self.why_read_only is None


def site_of(request: Request) -> Site:
    """Return the site that a request is for."""
    site: Site = request.app.state.site
    return site
