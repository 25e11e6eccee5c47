"""Every benchmark can be started by its name."""

from __future__ import annotations

import ast
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import benchmarks
from benchmarks import million


def has_main(path: Path) -> bool:
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in nodes)


def test_every_module_with_a_main_is_a_benchmark() -> None:
    files = [path for path in Path(benchmarks.__path__[0]).glob("*.py") if path.stem[0] != "_"]
    assert sorted(path.stem for path in files if has_main(path)) == sorted(benchmarks.BENCHMARKS)


@pytest.mark.parametrize("name", benchmarks.BENCHMARKS)
def test_a_benchmark_is_started_by_its_name_and_explains_itself(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_a_million_photos_begin_as_the_version_before_sets_left_them(tmp_path: Path) -> None:
    million.make_old(tmp_path / "old.db", 20, seed=1)
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    assert "keywords" in names
    assert not names & {"sets", "looks", "figures"}
