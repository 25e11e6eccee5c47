"""Taking back what was written: exactly what the ledger has, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.photos import Job, Photos
from photoramd.errors import NoImagesError, PhotoramdError, StoreError
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.plan import Plan
from photoramd.pipeline.writer import Writer


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back of one photo, or would be.

    Attributes:
        path: The photo.
        removed: The machine's keywords that were still there.
        files: The files that changed, or would.
        removed_sidecar: Whether the sidecar went as a whole.
        error: Why it could not be done, or not wholly.
    """

    path: Path
    removed: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    removed_sidecar: bool = False
    error: PhotoramdError | None = None


def select(photos: Photos, paths: Sequence[Path]) -> list[Job]:
    """Return the photos at or below these paths that tags may have been written for.

    Raises:
        NoImagesError: A path at which no photo is known.
    """
    found: dict[int, Job] = {}
    for path in paths:
        jobs = photos.under(path)
        if not jobs:
            raise unknown(path)
        found |= {job.id: job for job in jobs}
    return list(found.values())


def unknown(path: Path) -> NoImagesError:
    """Return what is to be said of a path at which no photo is known."""
    return NoImagesError(
        "photoramd knows no photo there",
        path=path,
        remedy="photoramd status lists the watched directories",
    )


def undo(
    writer: Writer, jobs: Sequence[Job], now: UnixTime, *, dry_run: bool = False
) -> Iterator[Undone]:
    """Take back the tags of photos, one after the other; one photo's failure costs only itself.

    Such a photo gets no tags again until `retag` asks for them. It can be interrupted at
    any point and started again.

    Args:
        writer: Knows the ledger.
        jobs: The photos.
        now: Unix seconds.
        dry_run: Only say what would be done.

    Raises:
        StoreError: The database failed.
    """
    for job in jobs:
        try:
            plans = writer.undo(job, now, dry_run=dry_run)
        except StoreError:
            raise
        except PhotoramdError as error:
            yield Undone(job.photo.path, error=error)
        else:
            yield _summary(job, plans)


def _summary(job: Job, plans: Sequence[Plan]) -> Undone:
    removed = (v for plan in plans for v in plan.change.removed.get(SUBJECT.name, ()))
    files = tuple(plan.target for plan in plans if plan.target is not None and plan.is_write)
    return Undone(
        job.photo.path,
        tuple(dict.fromkeys(removed)),
        files,
        any(plan.is_removal for plan in plans),
    )
