"""Embed keywords into every photo of a directory, check that nothing else changed, and undo.

    python -m tests.corpus DIR

The photos are copied first. ExifTool and Pillow read the copies before and after; neither is
told what photoramd did. For each format the table counts the photos that were embedded, those
that get a sidecar instead, with the reasons, and those that are not readable photos.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pillow_heif
from PIL import Image, ImageFile, ImageSequence

from photoramd.errors import PhotoramdError
from photoramd.images.decoder import decode
from photoramd.images.formats import RAW_SUFFIXES, recognise, suffix
from photoramd.metadata.changes import Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.photo import Tag
from tests.support.embedding import applied, plan

TAGS = (Tag("quokka", 0.9, ("animal",)), Tag("bebop hat", 0.5))
"""Keywords that no photo has."""

CHUNK = 40
"""How many photos ExifTool reads in one run."""

# The date and the size of the file change, and what ExifTool says about itself.
IGNORED = ("SourceFile", "ExifToolVersion", "Warning")
IGNORED_GROUPS = ("System", "File", "Composite", "ExifTool", "")
OURS_GROUPS = ("XMP-photoramd", "XMP-x")
# ExifTool and the IPTC standard ask for these beside keywords.
REQUIRED = ("EnvelopeRecordVersion", "CodedCharacterSet", "ApplicationRecordVersion")
OFFSETS = ("Offset", "Start", "Offsets")


@dataclass(slots=True)
class Case:
    """A photo on its way.

    Attributes:
        source: The user's file.
        path: The copy.
        format: By its content; empty if it is no photo.
        is_camera: Whether EXIF names the maker of a camera.
        reason: Why nothing was embedded.
        problems: What was not as it should be.
    """

    source: Path
    path: Path
    format: str = ""
    is_camera: bool = False
    reason: str = ""
    problems: list[str] = field(default_factory=list)


def pixels(path: Path) -> list[Any]:
    """Return a digest of each frame."""
    with Image.open(path) as image:
        return [
            (frame.mode, frame.size, hashlib.sha256(frame.tobytes()).hexdigest())
            for frame in ImageSequence.Iterator(image)
        ]


def metadata(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return what ExifTool finds in each file, previews and other binary values included."""
    command = ["exiftool", "-j", "-G4:1", "-a", "-u", "-ee", "-b", "-struct"]
    done = subprocess.run([*command, *map(os.fspath, paths)], capture_output=True, check=False)
    found = json.loads(done.stdout or b"[]", strict=False)
    return {each["SourceFile"]: each for each in found}


def differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield what differs and is not ours."""
    old, new = _by_name(before), _by_name(after)
    for name in sorted({*old, *new}):
        had, has = old.get(name, []), new.get(name, [])
        group, _, tag = name.rpartition(":")
        if had == has or _is_ours(group, tag, had, has):
            continue
        yield f"{name}: {str(had)[:60]} -> {str(has)[:60]}"


def _by_name(found: dict[str, Any]) -> dict[str, list[Any]]:
    """Return all values of each tag, by group and name."""
    values: dict[str, list[Any]] = defaultdict(list)
    for name, value in found.items():
        # ExifTool numbers tags of the same name, which a new keyword renumbers.
        values[re.sub(r"^Copy[0-9]+:", "", name)].append(value)
    return values


def _is_ours(group: str, tag: str, had: list[Any], has: list[Any]) -> bool:
    if group in IGNORED_GROUPS or tag in IGNORED or tag.endswith(OFFSETS):
        return True
    if group in OURS_GROUPS or (group == "Photoshop" and tag == "IPTCDigest"):
        return True
    if tag in ("Subject", "Keywords"):
        words, left = ([w for each in part for w in _listed(each)] for part in (has, had))
        return [word for word in words if word in left] == left
    if group == "IPTC" and tag in REQUIRED:
        return not had
    if group == "QuickTime":
        return tag in ("MediaData", "MediaDataSize", "MetaImageSize")
    return group == "RIFF" and tag in ("WebP_Flags", "ImageWidth", "ImageHeight")


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def check(cases: Sequence[Case], exiftool: ExifTool) -> None:
    """Embed into some copies, look at them, and undo."""
    before = metadata(case.path for case in cases)
    shown: dict[Path, list[Any]] = {}
    data: dict[Path, bytes] = {}
    ledger: dict[Path, Recorded] = {}
    for case in cases:
        case.format = recognise(case.path.read_bytes()[:512]) or ""
        case.is_camera = any(
            name.endswith(":Make") and "IFD0" in name
            for name in before.get(os.fspath(case.path), {})
        )
        try:
            decode(case.path, side=224, max_pixels=400_000_000)
        except PhotoramdError as error:
            case.format = ""
            case.reason = error.message
            continue
        try:
            planned = plan(case.path, TAGS, exiftool)
        except PhotoramdError as error:
            case.reason = error.message
            continue
        if planned.content is None:
            case.problems.append("nothing was written")
            continue
        data[case.path] = case.path.read_bytes()
        try:
            shown[case.path] = pixels(case.path)
        except Exception as error:
            case.problems.append(f"pixels: {error}")
        case.path.write_bytes(planned.content)
        ledger[case.path] = applied(Recorded(), planned.change)
    written = [case for case in cases if case.path in data]
    after = metadata(case.path for case in written) if written else {}
    for case in written:
        name = os.fspath(case.path)
        case.problems += differences(before[name], after[name])
        words = _listed(after[name].get("XMP-dc:Subject"))
        if not {tag.name for tag in TAGS} <= set(words):
            case.problems.append(f"keywords not found: {words}")
        if case.path in shown and pixels(case.path) != shown[case.path]:
            case.problems.append("pixels differ")
        try:
            undone = plan(case.path, (), exiftool, ledger[case.path], is_undo=True)
        except PhotoramdError as error:
            case.problems.append(f"undo: {error.message}")
            continue
        if undone.content != data[case.path]:
            old, new = len(data[case.path]), len(undone.content or b"")
            case.problems.append(f"undo: {old} bytes became {new}")


def report(cases: Sequence[Case]) -> int:
    """Print the table; return how many photos have problems."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[tuple[str, str]] = Counter()
    for case in cases:
        row = case.format or "no photo"
        rows = [row, "camera JPEG"] if row == "JPEG" and case.is_camera else [row]
        outcome = "embedded" if not case.reason else "sidecar" if case.format else "unreadable"
        for each in rows:
            table[each][outcome] += 1
            table[each]["problems"] += bool(case.problems)
        if case.reason:
            reasons[row, case.reason] += 1
    print(f"{'':14}{'embedded':>10}{'sidecar':>10}{'unreadable':>12}{'problems':>10}")
    for row, counts in sorted(table.items()):
        columns = (counts["embedded"], counts["sidecar"], counts["unreadable"])
        print(f"{row:14}{columns[0]:10}{columns[1]:10}{columns[2]:12}{counts['problems']:10}")
    print()
    for (row, reason), count in reasons.most_common():
        print(f"{count:5} {row}: {reason}")
    faulty = [case for case in cases if case.problems]
    for case in faulty:
        print(f"\n{case.source}")
        for problem in case.problems[:12]:
            print(f"    {problem}")
    return len(faulty)


def main() -> None:
    """Run over the directory that the command line names."""
    pillow_heif.register_heif_opener()
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    Image.MAX_IMAGE_PIXELS = None
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m tests.corpus DIR")
    sources = [
        path
        for path in sorted(Path(sys.argv[1]).rglob("*"))
        if path.is_file() and suffix(path.name) not in (*RAW_SUFFIXES, ".md", ".xmp", ".txt")
    ]
    begun = time.monotonic()
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as name, ExifTool() as exiftool:
        for number, source in enumerate(sources):
            path = Path(name, str(number), source.name)
            path.parent.mkdir()
            shutil.copyfile(source, path)
            cases.append(Case(source, path))
        for start in range(0, len(cases), CHUNK):
            check(cases[start : start + CHUNK], exiftool)
            print(f"{min(start + CHUNK, len(cases))} of {len(cases)}", file=sys.stderr)
        faults = report(cases)
    print(f"\n{len(cases)} files in {time.monotonic() - begun:.0f} s")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
