"""The API: JSON for programs and for the pages."""

from __future__ import annotations

from photoramd.web.api import edits, grid, photos, searching, state

ENDPOINTS = (
    *grid.ENDPOINTS,
    *photos.ENDPOINTS,
    *searching.ENDPOINTS,
    *state.ENDPOINTS,
    *edits.ENDPOINTS,
)

ROUTES = [endpoint.route() for endpoint in ENDPOINTS]
