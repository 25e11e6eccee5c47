"""The gallery as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from photoramd.errors import PhotoramdError
from photoramd.web import problems
from photoramd.web.site import Site


async def healthz(_: Request) -> Response:
    """Say that the server answers."""
    return PlainTextResponse("ok\n")


def make_app(site: Site) -> Starlette:
    """Return the application that serves a site; it closes the site's readers when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        site.readers.close()

    app = Starlette(
        routes=[Route("/healthz", healthz)],
        exception_handlers={
            PhotoramdError: problems.on_photoramd_error,
            HTTPException: problems.on_http_error,
        },
        lifespan=lifespan,
    )
    app.state.site = site
    return app
