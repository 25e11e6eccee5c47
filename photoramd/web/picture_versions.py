"""What makes the address of a picture another one when its photo changes."""

from __future__ import annotations

from starlette.requests import Request

from photoramd.database.picture_keys import key_of_file
from photoramd.photo import Fingerprint


def version_of(fingerprint: Fingerprint) -> str:
    """Return the ``v`` in the addresses of a photo's pictures, which may be kept for ever."""
    return key_of_file(fingerprint).hex()[:12]


def is_known(request: Request, tag: str) -> bool:
    """Return whether a browser has what has this ``ETag`` (RFC 9110, 13.1.2)."""
    tags = request.headers.get("if-none-match", "").split(",")
    return bool({"*", tag} & {each.strip().removeprefix("W/") for each in tags})
