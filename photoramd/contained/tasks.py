"""What a worker does: all that parses other people's bytes, by name.

The first argument of each task is the parent, which it may ask; `client` is the other side.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from photoramd.contained.parent import Parent
from photoramd.contained.results import Crop, ExifToolRequest, Read, Seen
from photoramd.errors import PhotoramdError
from photoramd.images.decoder import Decoded, decode
from photoramd.images.formats import reads_raw
from photoramd.images.looks import look_at
from photoramd.images.opener import open_file
from photoramd.images.reduction import reduced
from photoramd.images.renditions import THUMBNAIL, Rendition
from photoramd.metadata import (
    embedded,
    orphan,
    own_keywords,
    plan_embedding,
    plan_sidecar,
    seed,
    xmp_keywords,
)
from photoramd.metadata.changes import Recorded
from photoramd.metadata.exiftool import Changes
from photoramd.metadata.own_keywords import NO_KEYWORDS
from photoramd.metadata.plan import Plan, PlanRequest
from photoramd.metadata.reading import Beside
from photoramd.metadata.sidecar import Found, KnownSidecar
from photoramd.metadata.taken import with_time
from photoramd.metadata.xmp_packet import Packet
from photoramd.photo import Fingerprint, Look

# A worker can load nothing later: not what Python loads when it is first needed, either.
time.strptime("2000", "%Y")
for _encoding in (
    "utf-8-sig",
    "utf-16-le",
    "utf-16-be",
    "utf-16",
    "utf-32-le",
    "utf-32-be",
    "utf-32",
):
    codecs.lookup(_encoding)
for _encoding in ("latin-1", "ascii", "cp1252", "raw-unicode-escape"):
    codecs.lookup(_encoding)
if reads_raw():
    import rawpy  # noqa: F401


def see(
    parent: Parent,
    path: Path,
    crop: Crop,
    max_pixels: int,
    beside: Beside | None,
    wants_thumbnail: bool,
) -> Seen:
    """Decode a photo to a model's input, and read what it and its sidecar say."""
    found = decode(
        path,
        side=crop.decode_side,
        max_pixels=max_pixels,
        reserve=parent.reserve,
    )
    pixels = np.ascontiguousarray(crop.pixels(found.image))
    read = _read(path, found.fingerprint, found.look, beside)
    thumbnail = _thumbnail(found) if wants_thumbnail else b""
    return Seen(pixels.tobytes(), pixels.shape, read, thumbnail)


def _thumbnail(found: Decoded) -> bytes:
    """Return a thumbnail, or nothing: trouble with it must not cost the photo its tags."""
    full = max(found.look.width, found.look.height)
    if max(found.image.size) < min(full, THUMBNAIL.side):
        return b""  # decoded too small for it
    with suppress(Exception):
        return reduced(found.image, found.profile, THUMBNAIL)
    return b""


def picture(parent: Parent, path: Path, rendition: Rendition, max_pixels: int) -> bytes:
    """Make a small picture of a photo."""
    found = decode(path, side=rendition.side, max_pixels=max_pixels, reserve=parent.reserve)
    return reduced(found.image, found.profile, rendition)


def read(_: Parent, path: Path, max_pixels: int, beside: Beside | None) -> Read:
    """Read what a photo and its sidecar say, without decoding a pixel."""
    with open_file(path) as opened:
        look = look_at(opened, max_pixels=max_pixels)
    return _read(path, opened.fingerprint, look, beside)


def _read(path: Path, fingerprint: Fingerprint, look: Look, beside: Beside | None) -> Read:
    inside = besides = NO_KEYWORDS
    # Metadata that cannot be read costs only itself.
    with suppress(PhotoramdError):
        found = embedded.read(path)
        look = with_time(look, found)
        inside = own_keywords.of_photo(found)
    if beside is not None:
        with suppress(PhotoramdError):
            besides = own_keywords.of_sidecar(beside.content, beside.path)
    return Read(fingerprint, look, inside, besides)


def plan_for_sidecar(
    _: Parent, found: Found, request: PlanRequest, known: KnownSidecar, inside: Recorded
) -> Plan:
    """See `plan_sidecar.plan_found`."""
    return plan_sidecar.plan_found(found, request, known, inside)


def plan_for_photo(
    parent: Parent, request: PlanRequest, recorded: Recorded, known: Fingerprint | None
) -> Plan:
    """See `plan_embedding.plan_photo`."""
    return plan_embedding.plan_photo(request, recorded, ParentsExifTool(parent), known=known)


def is_only_ours(_: Parent, content: bytes, path: Path, recorded: Recorded) -> bool:
    """See `plan_sidecar.is_only_ours`."""
    return plan_sidecar.is_only_ours(Packet(content, path), recorded)


def hides(_: Parent, content: bytes, path: Path, recorded: Recorded) -> bool:
    """Return whether a sidecar has keywords of the user's, which hide those inside the photo."""
    packet = Packet(content, path)
    if seed.is_untouched(packet, recorded):
        return False  # it goes with our keywords
    found = xmp_keywords.values(packet)
    return any(set(entries) - set(recorded.ours(name)) for name, entries in found.items())


def values(_: Parent, content: bytes, path: Path) -> Mapping[str, tuple[str, ...]]:
    """See `xmp_keywords.values`."""
    return {
        name: tuple(found) for name, found in xmp_keywords.values(Packet(content, path)).items()
    }


def judge_orphan(_: Parent, content: bytes, path: Path, seeds: Sequence[str]) -> tuple[str | None]:
    """See `orphan.judge`."""
    return (orphan.judge(content, path, seeds),)


COPY = Path("/copy")
"""What a worker calls the copy that its parent's ExifTool holds."""


class ParentsExifTool:
    """The parent's ExifTool; see `photoramd.metadata.exiftool.ExifTool`."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def block(self, photo: Path, extension: str, tag: str, *, is_every: bool = False) -> bytes:
        """Return a block of metadata."""
        request = ExifToolRequest("block", photo == COPY, extension, tag, is_every)
        return bytes(self._ask(request))

    def describe(self, photo: Path, extension: str, options: Sequence[str]) -> dict[str, object]:
        """Return what ExifTool reads from a photo."""
        request = ExifToolRequest("describe", photo == COPY, extension, options=tuple(options))
        return dict(self._ask(request))

    def rewrite(self, photo: Path, extension: str, changes: Changes) -> bytes:
        """Return the bytes of a photo with changes."""
        request = ExifToolRequest(
            "rewrite",
            photo == COPY,
            extension,
            options=tuple(changes.options),
            xmp=changes.xmp,
            lists={tag: tuple(found) for tag, found in changes.lists.items()},
        )
        return bytes(self._ask(request))

    def copy(self, data: bytes, extension: str) -> Path:
        """Have the parent keep a copy for the other commands."""
        self._ask(ExifToolRequest("copy", True, extension, data=data))
        return COPY

    def _ask(self, request: ExifToolRequest) -> Any:
        return self._parent.ask("exiftool", request)


TASKS: Mapping[str, Callable[..., object]] = {
    task.__name__: task
    for task in (
        see, picture, read, plan_for_sidecar, plan_for_photo, is_only_ours, hides, values,
        judge_orphan,
    )
}  # fmt: skip
