"""The service as systemd sees it: the unit, the notify protocol, the journal, reloads.

The numbers in names are those of the faults in docs/watching.md.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CONTRIB = Path(__file__).parents[1] / "contrib" / "systemd"

ALLOWED_EXPOSURE = 1.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it is installed: with a program that is there."""
    program = tmp_path / "prefix" / "bin" / "photoramd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    target = tmp_path / "photoramd.service"
    text = (CONTRIB / "photoramd.service").read_text(encoding="utf-8")
    target.write_text(text.replace("/opt/photoramd", str(tmp_path / "prefix")), encoding="utf-8")
    return target


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "the tests need systemd-analyze: apt-get install systemd"
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_fault_24_the_unit_is_valid_and_shut_off_from_the_rest(unit: Path) -> None:
    verified = analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    # The threshold is given in tenths.
    threshold = f"--threshold={round(ALLOWED_EXPOSURE * 10)}"
    security = analyze("security", "--offline=true", "--no-pager", threshold, unit)
    assert security.returncode == 0, security.stdout + security.stderr


def test_fault_24_the_example_of_a_drop_in_is_valid(unit: Path) -> None:
    drop_in = unit.with_name("photoramd.service.d") / "photos.conf"
    drop_in.parent.mkdir()
    shutil.copyfile(CONTRIB / "photos.conf.example", drop_in)
    # What it offers in comments is valid too.
    commented = [
        line.removeprefix("#") if line[:1] == "#" and line[1:2].isupper() and "=" in line else line
        for line in drop_in.read_text(encoding="utf-8").splitlines()
    ]
    drop_in.write_text("\n".join(commented) + "\n", encoding="utf-8")
    verified = analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_faults_in_the_unit_and_in_a_drop_in_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text(encoding="utf-8").replace("WatchdogSec", "WatchdogSecs"))
    drop_in = unit.with_name("photoramd.service.d") / "photos.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nReadWritePath=/volume1\n", encoding="utf-8")
    found = analyze("verify", "--man=no", unit).stderr
    assert "WatchdogSecs" in found
    assert "ReadWritePath" in found
