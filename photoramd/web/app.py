"""The gallery as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from photoramd.errors import PhotoramdError
from photoramd.web import (
    api,
    error_pages,
    events,
    login,
    media,
    metrics,
    openapi,
    pages,
)
from photoramd.web.news import Lookout
from photoramd.web.originals import MEDIA_TYPES
from photoramd.web.site import Site

_GZIP_LEVEL = 5
"""Of 1 to 9: above it, answers become hardly smaller and take much longer."""

_NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, *MEDIA_TYPES)
"""Photos: of another length, parts of them would not be parts of what a browser has of them."""


async def healthz(_: Request) -> Response:
    """Say that the server answers."""
    return PlainTextResponse("ok\n")


def make_app(site: Site) -> Starlette:
    """Return the application that serves a site; it closes the site's readers when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with media.opened(site) as studio:
            app.state.studio = studio
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(site.keep_prepared)
                yield
                tasks.cancel_scope.cancel()
        site.close()

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            *api.ROUTES,
            *openapi.ROUTES,
            *events.ROUTES,
            *login.ROUTES,
            *media.ROUTES,
            *metrics.ROUTES,
            *pages.ROUTES,
        ],
        middleware=[
            Middleware(
                GZipMiddleware, compresslevel=_GZIP_LEVEL, exclude_content_types=_NOT_COMPRESSED
            )
        ],
        exception_handlers={
            PhotoramdError: error_pages.on_photoramd_error,
            HTTPException: error_pages.on_http_error,
        },
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.feed = events.Feed(Lookout(site.database))
    return app
