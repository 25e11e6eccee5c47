"""Embed keywords into photos and undo that, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.metadata.changes import Change, Entries, Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.metadata.plan_embedding import plan_photo
from photoramd.photo import Tag


def applied(recorded: Recorded, change: Change) -> Recorded:
    """What the ledger has after a change."""

    def merged(now: Entries, more: Entries) -> dict[str, tuple[str, ...]]:
        entries = {
            name: (
                *(v for v in now.get(name, ()) if v not in change.removed.get(name, ())),
                *more.get(name, ()),
            )
            for name in {**now, **more}
        }
        return {name: values for name, values in entries.items() if values}

    return replace(
        recorded,
        added=merged(recorded.added, change.added),
        seeded=merged(recorded.seeded, change.seeded),
    )


def plan(
    path: Path,
    tags: Sequence[Tag],
    exiftool: ExifTool,
    recorded: Recorded | None = None,
    *,
    is_undo: bool = False,
) -> Plan:
    request = PlanRequest(path, tags, Origin("model", "1"), UnixTime(0.0), is_undo=is_undo)
    return plan_photo(request, recorded or Recorded(), exiftool)


def embed(
    path: Path, exiftool: ExifTool, *names: str, recorded: Recorded | None = None
) -> Recorded:
    """Embed keywords; return what the ledger has then."""
    planned = plan(path, [Tag(name, 0.9) for name in names], exiftool, recorded)
    if planned.content is not None:
        path.write_bytes(planned.content)
    return applied(recorded or Recorded(), planned.change)


def undo(path: Path, exiftool: ExifTool, recorded: Recorded) -> None:
    """Take back what the ledger has."""
    planned = plan(path, (), exiftool, recorded, is_undo=True)
    assert planned.content is not None
    path.write_bytes(planned.content)
