"""SIGKILL at every system call of a write, then a restart: old or new, whole, and ours to undo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["embed", "new", "existing"])
def test_a_write_killed_at_any_system_call_is_completed_by_the_next(
    kind: str, samples: dict[str, Path], tmp_path: Path
) -> None:
    """A photo that keywords are embedded in, a new sidecar, and one of the user's."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.system.kill_driver",
            samples["china"],
            tmp_path.resolve(),
            kind,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole, *kills, end = [json.loads(line) for line in done.stdout.splitlines()]
    calls = whole.pop("calls")
    # The way to the disk is known, so that none of its steps can go missing unnoticed.
    expected = {"openat", "write", "fsync", "pwrite64", "fdatasync", "fchmod"}
    assert expected <= calls.keys()
    assert kind == "new" or "unlinkat" in calls  # the temporary of a new file becomes the file
    assert any(call.startswith("rename") for call in calls)
    assert [kill.pop("point") for kill in kills] == [
        [call, when + 1] for call, count in calls.items() for when in range(count)
    ]
    assert len(kills) > 50
    states = [kill.pop("state") for kill in kills]
    assert set(states) == {"old", "new"}
    assert whole.pop("state") == "new"
    for kill in kills:
        assert kill.pop("killed"), kill
        assert kill == whole, kill
    assert whole["ledger"] == ["building", "sky"]
    assert whole["keywords"] == [*(["Oma"] if kind == "existing" else []), *whole["ledger"]]
    assert whole["states"] == ["written"]
    assert (whole["errors"], whole["left"]) == ([], [])
    assert (whole["under_way"], whole["differing"]) == (0, 0)
    assert whole["taken_back"]
    assert end == {"private": []}
