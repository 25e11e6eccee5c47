"""Check what photoramd needs besides its model: ExifTool, and libraw for camera RAW files."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from photoramd.doctor.finding import Finding, Grade, failure
from photoramd.errors import PhotoramdError
from photoramd.images.formats import RAW_REMEDY, reads_raw
from photoramd.metadata.exiftool import ExifTool
from photoramd.search.queries import RootStatus


def examine_exiftool(embedding: list[Path]) -> Finding:
    """Check ExifTool, which the directories that are embedded into need."""
    with ExifTool() as tool:
        try:
            return Finding("exiftool", Grade.OK, tool.version())
        except PhotoramdError as error:
            if embedding:
                return failure("exiftool", error)
            return Finding(
                "exiftool", Grade.OK, f'{error}; not needed, as no directory has write = "embed"'
            )


def examine_raw(roots: list[RootStatus]) -> Finding:
    """Check whether camera RAW files are tagged, if the directories have some."""
    if reads_raw():
        return Finding(
            "raw", Grade.OK, f"camera RAW files are tagged, with rawpy {version('rawpy')}"
        )
    if left_out := sum(root.raw_left_out for root in roots):
        text = f"{left_out} camera RAW files are not tagged"
        return Finding("raw", Grade.WARNING, text, RAW_REMEDY)
    return Finding("raw", Grade.OK, 'the extra "raw" is missing, but no camera RAW file is known')
