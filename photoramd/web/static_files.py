"""The gallery's own files: scripts, styles, drawings.

Modules import each other by relative names, so their digest is a part of the path: a page and all
that it loads are always of one version, and browsers may keep them for ever.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_DIRECTORY = Path(__file__).parent / "static"

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def files() -> dict[str, bytes]:
    """Return the files by name: a few, which are read once."""
    found = sorted(path for path in _DIRECTORY.iterdir() if path.suffix in _TYPES)
    return {path.name: path.read_bytes() for path in found}


@cache
def digest() -> str:
    """Return what stands for all files as they are."""
    found = hashlib.blake2b(digest_size=6)
    for name, data in files().items():
        found.update(f"{name}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def directory() -> str:
    """Return the path of the files, relative to the root of the gallery."""
    return f"static/{digest()}/"


async def static(request: Request) -> Response:
    """Answer with a file. A page of another version gets it, but must ask again the next time."""
    name = request.path_params["name"]
    data = files().get(name)
    if data is None:
        raise HTTPException(404, "there is no such file")
    is_same = request.path_params["digest"] == digest()
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if is_same else "no-store",
    }
    return Response(data, headers=headers, media_type=_TYPES[Path(name).suffix])


ROUTES = [Route("/static/{digest}/{name}", static)]
"""Routes of the files."""
