"""The shell scripts: shellcheck has nothing to say about them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = [*sorted((ROOT / "contrib").rglob("*.sh")), ROOT / ".ci/run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_to_blame(script: Path) -> None:
    program = shutil.which("shellcheck")
    assert program, "the tests need shellcheck: apt-get install shellcheck"
    done = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
