"""What the gallery serves, and with what: one value that all handlers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from photoramd.config.schema import Config
from photoramd.web.readers import Readers


@dataclass(frozen=True, slots=True)
class Site:
    """What the gallery serves.

    Attributes:
        config: The configuration, with the saved searches and the watched directories.
        database: The file.
        readers: Ask it.
    """

    config: Config
    database: Path
    readers: Readers


def site_of(request: Request) -> Site:
    """Return the site that a request is for."""
    site: Site = request.app.state.site
    return site
