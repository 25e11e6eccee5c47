"""Metrics for Prometheus, over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from photoramd.search.metrics import CONTENT_TYPE, exposition
from photoramd.web.site import site_of


async def metrics(request: Request) -> Response:
    """Send all metrics."""
    site = site_of(request)
    text = await site.readers.ask(lambda reader: exposition(reader.connection, site.database))
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


ROUTES = [Route("/metrics", metrics)]
