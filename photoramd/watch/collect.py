"""Find photos among files and in directories that a user names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from photoramd.images.formats import recognise
from photoramd.watch import filters

SIGNATURE_BYTES = 64


def collect(
    paths: Sequence[Path], *, recursive: bool, on_error: Callable[[OSError], None]
) -> Iterator[Path]:
    """Yield the photos among files and in directories.

    A named file also counts by its content, or if it is missing, so that reading it tells why.

    Args:
        paths: Files and directories.
        recursive: Whether to descend into directories below the named ones.
        on_error: Called for a directory that cannot be read.
    """
    for path in paths:
        if not path.is_dir():
            if filters.is_photo_name(path.name) or not path.exists() or _is_image(path):
                yield path
            continue
        for directory, below, names in os.walk(path, onerror=on_error):
            kept = [name for name in below if filters.is_photo_directory_name(name)]
            below[:] = sorted(kept) if recursive else []
            for name in sorted(names):
                if filters.is_photo_name(name):
                    yield Path(directory, name)


def _is_image(path: Path) -> bool:
    """Return whether a file without a photo's suffix begins like an image."""
    try:
        with path.open("rb") as file:
            return recognise(file.read(SIGNATURE_BYTES)) is not None
    except OSError:
        return True  # reading it will tell what is wrong
