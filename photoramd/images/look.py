"""Interim."""

from __future__ import annotations

from pathlib import Path

from photoramd.images.opener import open_file, open_image
from photoramd.photo import Fingerprint, Look


def look_at(path: Path, *, max_pixels: int) -> tuple[Look, Fingerprint]:
    """Interim."""
    with open_file(path) as opened, open_image(opened, max_pixels=max_pixels) as photo:
        width, height = photo.image.size
        return Look(width, height, photo.format), opened.fingerprint
