"""A real darktable reads our tags from a sidecar."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

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
    program = shutil.which("darktable-cli")
    assert program, "the tests need darktable-cli: apt-get install darktable"
    photo, exported = put("rocket", "rocket.jpg"), tmp_path / "exported.jpg"
    scan(configure())
    ours = subjects(photo.with_name("rocket.jpg.xmp").read_bytes())
    assert "rocket" in ours
    settings = [
        *("--configdir", tmp_path / "config", "--cachedir", tmp_path / "cache"),
        *("--library", tmp_path / "library.db", "--conf", "write_sidecar_files=never"),
    ]
    subprocess.run(
        [program, photo, exported, "--width", "64", "--core", *settings],
        check=True,
        capture_output=True,
    )
    (found,) = json.loads(exiftool("-j", "-Subject", exported))
    subject = found["Subject"]
    assert set(subject if isinstance(subject, list) else [subject]) == set(ours)
