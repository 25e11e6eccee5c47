"""Every benchmark can be started by its name."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import benchmarks

PARTS = {"__main__", "photos", "ram_plus_reference", "random_weights", "samples"}
NAMES = sorted({module.name for module in pkgutil.iter_modules(benchmarks.__path__)} - PARTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_is_started_by_its_name_and_explains_itself(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
