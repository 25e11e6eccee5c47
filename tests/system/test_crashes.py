"""SIGKILL between any two steps, then a restart: every photo ends written once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from photoramd.metadata import containers

STRANDS = 2
"""A driver waits for the disk half of the time, so two run beside each other."""


def drive(driver: str, sample: Path, directory: Path, *arguments: str) -> list[dict[str, Any]]:
    """What a driver says of each point; of those that were not killed, there is one a strand."""
    strands = []
    for number in range(STRANDS):
        place = directory / str(number)
        place.mkdir()
        command = [sys.executable, "-m", driver, sample, place, str(number), str(STRANDS)]
        strands.append(subprocess.Popen([*command, *arguments], stdout=PIPE, stderr=PIPE))
    points = []
    for strand in strands:
        said, complaints = strand.communicate()
        assert strand.returncode == 0, complaints.decode()
        found = [json.loads(line) for line in said.splitlines()]
        # The last run reached its end alive; all before were killed.
        assert [point["killed"] for point in found] == [True] * (len(found) - 1) + [False]
        points += found
    return points


@pytest.mark.parametrize("sidecar", ["none", "existing", "embed", "ahead"])
def test_a_scan_killed_at_any_step_is_completed_by_the_next(
    sidecar: str, samples: dict[str, Path], tmp_path: Path
) -> None:
    points = drive("tests.system.crash_driver", samples["china"], tmp_path, sidecar)
    assert len(points) > {"none": 40, "ahead": 15}.get(sidecar, 25)
    unharmed = {key: points[-1][key] for key in points[-1].keys() - {"point", "killed", "files"}}
    added = {"building", "outdoors"}
    assert set(unharmed["ledger"]) == added
    for point in points:
        seen = {key: point[key] for key in unharmed}
        assert seen == unharmed, point
        # A temporary of the moment before the kill may stay until a later scan's sweep.
        kept = [name for name in point["files"] if not name.startswith(".photoramd-")]
        assert kept == (["a.jpg"] if sidecar == "embed" else ["a.jpg", "a.jpg.xmp"]), point
    assert unharmed["states"] == {"written": 1}
    assert unharmed["results"] == 1
    assert unharmed["under_way"] == 0
    assert unharmed["changed"] is False
    original = b"".join(containers.layout(samples["china"].read_bytes(), "JPEG").rest)
    assert unharmed["picture"] == hashlib.sha256(original).hexdigest()
    assert unharmed["check"] == "ok"
    assert unharmed["rating"] == (sidecar == "existing")
    assert ("Oma" in unharmed["keywords"]) == (sidecar == "existing")


def test_an_undo_killed_at_any_step_is_completed_by_the_next(
    samples: dict[str, Path], tmp_path: Path
) -> None:
    points = drive("tests.system.undo_driver", samples["china"], tmp_path)
    assert len(points) > 20
    for point in points:
        assert point["errors"] == [], point
        assert point["same"], point
        assert point["ledger"] == [], point
        assert point["undone"] == 3, point


@pytest.mark.parametrize("write", ["sidecar", "embed"])
def test_an_edit_killed_at_any_step_is_made_once_by_the_next(
    write: str, samples: dict[str, Path], tmp_path: Path
) -> None:
    points = drive("tests.system.edit_driver", samples["china"], tmp_path, write)
    assert len(points) > 6
    for point in points:
        edited, undone = point["edited"], point["undone"]
        assert edited["keywords"] == ["Oma", "outdoors"], point
        assert edited["ledger"] == [["Oma", 0, 0], ["building", 1, 0], ["outdoors", 0, 0]], point
        assert (edited["tags"], edited["users"]) == (["outdoors"], ["Oma"]), point
        assert edited["given"] == [[0]], point
        assert undone["keywords"] == ["building", "outdoors"], point
        assert undone["ledger"] == [["building", 0, 0], ["outdoors", 0, 0]], point
        assert (undone["tags"], undone["users"]) == (["building", "outdoors"], []), point
        assert undone["given"] == [], point
        assert edited["progress"] == undone["progress"] == [0, 2, 0], point
        assert edited["sets"] == undone["sets"] == 0, point
