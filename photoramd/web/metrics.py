"""Metrics for Prometheus, over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from photoramd.web.readers import Reader
from photoramd.web.site import Site, site_of


async def metrics(request: Request) -> Response:
    """Send all metrics."""
    site = site_of(request)
    text, kind = await site.readers.ask(lambda reader: _exposition(reader, site))
    return Response(text, headers={"Content-Type": kind})


def _exposition(reader: Reader, site: Site) -> tuple[bytes, str]:
    # Most galleries are never asked.
    from photoramd.search.metrics import CONTENT_TYPE, exposition

    return exposition(reader.connection, site.database), CONTENT_TYPE


ROUTES = [Route("/metrics", metrics)]
