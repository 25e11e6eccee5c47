"""contrib/install.sh as far as it goes without installing; tests/service does the rest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installer as a user who can install nothing."""
    script = (ROOT / "contrib" / "install.sh").read_text()
    command = [*NOBODY, "bash", "-c", script, "install.sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_help_and_documentation_name_every_option() -> None:
    done = install("--help")
    assert done.returncode == 0
    options = set(re.findall(r"--[a-z]+", done.stdout))
    assert options == {"--photos", "--user", "--group", "--prefix", "--uninstall", "--help"}
    document = (ROOT / "docs" / "install.md").read_text()
    assert options - {"--help"} <= set(re.findall(r"--[a-z]+", document))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--photo", "/srv"], "unknown option: --photo"),
        (["--photos"], "--photos needs a directory"),
        (["--user", ""], "--user needs a value"),
        (["--photos", "/srv", "--uninstall"], "exclude each other"),
        (["--photos", "/srv", "/mnt"], "must run as root"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(arguments: list[str], message: str) -> None:
    done = install(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert not done.stdout
