"""Check what photoramd needs besides its model: workers, ExifTool, and libraw for RAW files."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from photoramd.contained.client import Contained
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


def examine_workers() -> Finding:
    """Check what holds for the processes that read photos, by starting one as this user."""
    with Contained() as contained:
        try:
            sandbox = contained.sandbox()
        except PhotoramdError as error:
            return failure("workers", error)
    what = [
        f"Landlock {sandbox.landlock}" if sandbox.landlock else "no Landlock",
        "system calls are filtered" if sandbox.has_filter else "system calls are not filtered",
    ]
    if sandbox.is_sealed:
        text = f"photos are read by processes that can open no file ({', '.join(what)})"
        return Finding("workers", Grade.OK, text)
    return Finding(
        "workers",
        Grade.WARNING,
        f"photos are read by processes that could open files ({', '.join(what)}); only their"
        " memory and time are limited",
        "use a kernel with seccomp filters or Landlock, on x86-64 or ARM64; in a container, let"
        " the runtime's seccomp profile pass prctl(2) and Landlock",
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
