"""Find sidecars that photoramd made for photos that are gone, by the provenance records in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.contained.client import Contained
from photoramd.errors import PhotoramdError
from photoramd.metadata import sidecar
from photoramd.metadata.sidecar import SIDECAR_SUFFIX
from photoramd.photo import Fingerprint
from photoramd.system import atomic


@dataclass(frozen=True, slots=True)
class Orphan:
    """A sidecar with photoramd's provenance record whose photo is gone.

    Attributes:
        path: The sidecar.
        kept: Why it stays; empty if it is ours alone.
        error: Why it could not be removed.
    """

    path: Path
    kept: str = ""
    error: PhotoramdError | None = None


def clean(
    top: Path,
    seeds_of: Callable[[Path], tuple[str, ...]],
    contained: Contained,
    *,
    enters: Callable[[str], bool] = lambda _: True,
    dry_run: bool = False,
) -> Iterator[Orphan]:
    """Remove the orphans at and below a directory that are ours alone; yield all orphans.

    Args:
        top: The directory. Symbolic links are not followed.
        seeds_of: Returns the digests of what a sidecar may have begun with, as far as the
            ledger knows: see `seed`.
        contained: What reads sidecars.
        enters: Tells by a directory's name whether to look into it.
        dry_run: Only say what would be removed.
    """
    for directory, names, files in os.walk(top):
        names[:] = sorted(filter(enters, names))
        present = {name.casefold() for name in files}
        for name in sorted(files):
            if not name.lower().endswith(SIDECAR_SUFFIX) or _has_photo(name, present):
                continue
            path = Path(directory, name)
            with suppress(PhotoramdError):  # what cannot be read is not ours
                content, expected = sidecar.read(path)
                kept = contained.judge_orphan(content, path, seeds_of(path))
                if kept is not None:
                    orphan = Orphan(path, kept)
                    yield orphan if dry_run or kept else _removed(orphan, expected)


def _has_photo(name: str, present: set[str]) -> bool:
    """Return whether a file is there that a sidecar of this name may belong to."""
    base = name[: -len(SIDECAR_SUFFIX)].casefold()
    if base in present:
        return True
    others = (each for each in present if not each.endswith(SIDECAR_SUFFIX))
    return any(os.path.splitext(each)[0] == base for each in others)


def _removed(orphan: Orphan, expected: Fingerprint) -> Orphan:
    try:
        atomic.remove(orphan.path, expected)
    except PhotoramdError as error:
        return Orphan(orphan.path, error=error)
    return orphan
