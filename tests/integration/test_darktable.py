"""A real darktable reads our tags from a sidecar."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from photoramd.config.schema import Config
from tests.support.album import Scan
from tests.support.xmp import subjects


def test_darktable_reads_the_tags_of_a_sidecar(
    scan: Scan,
    configure: Callable[..., Config],
    put: Callable[[str, str], Path],
    exiftool: Callable[..., str],
    tmp_path: Path,
) -> None:
    photo = put("rocket", "rocket.jpg")
    scan(configure())
    ours = subjects(photo.with_name("rocket.jpg.xmp").read_bytes())
    assert "rocket" in ours
    subject = shown(photo, tmp_path, exiftool)["Subject"]
    assert set(subject if isinstance(subject, list) else [subject]) == set(ours)


@pytest.mark.parametrize("mode", ["sidecar", "embed"])
def test_darktable_shows_what_the_user_wrote_as_before(
    mode: str,
    scan: Scan,
    configure: Callable[..., Config],
    put: Callable[[str, str], Path],
    exiftool: Callable[..., str],
    tmp_path: Path,
) -> None:
    photo = put("rocket", "rocket.jpg")
    exiftool(
        "-q", "-overwrite_original", "-XMP-xmp:Rating=4", "-XMP-dc:Title=Oma im Garten",
        "-XMP-dc:Description=Sommer", "-XMP-dc:Subject=Oma",
        "-XMP-lr:HierarchicalSubject=Personen|Oma", photo,
    )  # fmt: skip
    scan(configure(write=mode))
    found = shown(photo, tmp_path, exiftool)
    assert (found["Rating"], found["Title"], found["Description"]) == (4, "Oma im Garten", "Sommer")
    # It exports the words of its own hierarchy as flat keywords.
    assert {"Personen", "Oma", "rocket"} <= set(found["Subject"])


def shown(photo: Path, tmp_path: Path, exiftool: Callable[..., str]) -> dict[str, Any]:
    """What darktable says of a photo in an export."""
    program = shutil.which("darktable-cli")
    assert program, "the tests need darktable-cli: apt-get install darktable"
    exported = tmp_path / "exported.jpg"
    settings = [
        *("--configdir", tmp_path / "config", "--cachedir", tmp_path / "cache"),
        *("--library", tmp_path / "library.db", "--conf", "write_sidecar_files=never"),
    ]
    command = [program, photo, exported, "--width", "64", "--core", *settings]
    subprocess.run(command, check=True, capture_output=True)
    tags = ["-XMP-xmp:Rating", "-XMP-dc:Title", "-XMP-dc:Description", "-XMP-dc:Subject"]
    (found,) = json.loads(exiftool("-j", *tags, exported))
    return dict(found)
