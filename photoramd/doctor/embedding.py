"""Try to embed a keyword into a photo of a watched directory, up to the last step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from photoramd.clock import unix_time
from photoramd.config.schema import Watch
from photoramd.contained.client import shared
from photoramd.doctor.finding import Finding, Grade, failure
from photoramd.errors import EmbeddingError, PhotoramdError, SidecarError, printable
from photoramd.images.formats import RAW_SUFFIXES, suffix
from photoramd.metadata.changes import NOTHING_RECORDED
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.photo import Tag
from photoramd.system import atomic
from photoramd.watch.filters import Filter

_TRIES = 5
"""How many photos are tried; some have a reason of their own."""

_KEYWORD = Tag("photoramd doctor", 1.0)


def examine_embedding(watch: Watch, exiftool: ExifTool) -> Finding:
    """Prepare to replace some photos by copies with a keyword, and discard the copies.

    Everything is done but the last step, so permissions, owner, group and attributes count, too.
    """
    name = printable(watch.path)
    reasons: dict[str, Path] = {}
    for photo in islice(_photos(watch), _TRIES):
        try:
            _try(photo, exiftool)
        except (EmbeddingError, SidecarError) as error:
            reasons.setdefault(error.message, photo)
        except PhotoramdError as error:
            return failure(name, error)
        else:
            return Finding(name, Grade.OK, f"keywords can be embedded (tried: {printable(photo)})")
    if not reasons:
        return Finding(name, Grade.OK, "no photo is there to try embedding with")
    reason, photo = next(iter(reasons.items()))
    return Finding(
        name,
        Grade.WARNING,
        f"keywords go into sidecars, not into photos such as {printable(photo)}: {reason}",
        "run photoramd as the photos' owner, if that is the reason (docs/metadata.md)",
    )


def _try(photo: Path, exiftool: ExifTool) -> None:
    request = PlanRequest(photo, [_KEYWORD], Origin("doctor", ""), unix_time())
    plan = shared().plan_photo(request, NOTHING_RECORDED, exiftool)
    if plan.content is not None:
        prepared = atomic.prepare(
            photo, plan.content, expected=plan.expected, beside=photo, keep_date=True
        )
        atomic.discard(prepared)


def _photos(watch: Watch) -> Iterator[Path]:
    """Yield photos that keywords could be embedded into."""
    filter_ = Filter(watch.path, watch.exclude)
    for directory, names, files in os.walk(watch.path):
        names[:] = [name for name in names if filter_.enters(os.path.join(directory, name))]
        for name in sorted(files):
            path = os.path.join(directory, name)
            if filter_.wants(path) and suffix(name) not in (*RAW_SUFFIXES, ".gif", ".bmp"):
                yield Path(path)
