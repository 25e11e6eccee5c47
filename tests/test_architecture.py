"""The direction of imports, and what must not be imported at all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import photoramd

PACKAGE = Path(photoramd.__file__).parent

# From the bottom to the top; what is not named here is a one-job module between them.
BOTTOM = ["photoramd.errors", "photoramd.photo"]
TOP = [
    "photoramd.pipeline.writer",
    "photoramd.pipeline.undo",
    "photoramd.pipeline.pipeline",
    "photoramd.watch.reconciler",
    "photoramd.daemon.loop",
    "photoramd.daemon.assembly",
    "photoramd.daemon.session",
    "photoramd.doctor",
    "photoramd.cli",
]


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """Modules of the package that a module imports, at the top or inside a function."""
    known = modules()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("photoramd"):
            assert node.level == 0, f"{name}: relative import"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in known else module


GRAPH = {
    name: {other for other in imports(name, path) if other not in (name, "photoramd")}
    for name, path in modules().items()
}


def level(name: str) -> int:
    if name in BOTTOM:
        return BOTTOM.index(name)
    if name in ("photoramd", "photoramd.__main__"):
        return 100
    for index, top in enumerate(TOP):
        if name == top or name.startswith(top + "."):
            return 10 + index
    return 5


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_nothing_imports_what_is_above_it(name: str) -> None:
    above = {other for other in GRAPH[name] if level(other) > level(name)}
    assert not above


def test_imports_form_no_cycle() -> None:
    # A package's own module stands for its modules only where it is named itself.
    graph = {name: {o for o in GRAPH[name] if not name.startswith(o + ".")} for name in GRAPH}
    tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["query", "cat"],
        ["show", "a.jpg"],
        ["status"],
        ["config", "show"],
        ["config", "check"],
        ["doctor"],
        ["model", "list"],
        ["tag", "--help"],
        ["run", "--help"],
        ["scan", "--help"],
    ],
    ids=" ".join,
)
def test_answers_come_without_the_heavy_libraries(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, photoramd.cli\n"
        "sys.argv[0] = 'photoramd'\n"
        "try: photoramd.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'PIL', 'sqlite_utils', 'timm'}\n"
        "print('HEAVY', sorted(heavy & sys.modules.keys()))\n"
    )
    config = tmp_path / "config.toml"
    config.write_text(f"[[watch]]\npath = '{tmp_path}'\n[state]\npath = '{tmp_path}/p.db'\n")
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", config, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"
