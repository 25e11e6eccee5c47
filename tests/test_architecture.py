"""The direction of imports, and what must not be imported at all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import photoramd

PACKAGE = Path(photoramd.__file__).parent

# From the bottom to the top. A package imports those on lower floors, and no other one: what
# stands on one floor knows nothing of its neighbours.
FLOORS = (
    {"errors", "clock"},
    {"photo"},
    {"keywords"},
    {"system"},
    {"images", "models"},
    {"metadata", "config"},
    {"contained", "net"},
    {"database"},
    {"watch", "pipeline", "search", "pictures"},
    {"daemon", "doctor", "web", "worker"},
    {"cli"},
    {"__main__"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

MOST_LINES = 400
MOST_METHODS = 12
MOST_PARAMETERS = 6
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "service"}


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def statements(name: str) -> list[ast.Import | ast.ImportFrom]:
    """The imports of a module, at the top or inside a function."""
    nodes = ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8")))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(name: str) -> Iterator[str]:
    """Modules of the package that a module imports."""
    known = modules()
    for node in statements(name):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif (node.module or "").startswith("photoramd"):
            assert node.level == 0, f"{name}: relative import"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in known else module


@cache
def graph() -> dict[str, set[str]]:
    """The modules of the package that each of its modules imports."""
    return {
        name: {other for other in imports(name) if other not in (name, "photoramd")}
        for name in modules()
    }


def package(name: str) -> str:
    """The package, or the module beside the packages, that a module belongs to."""
    return name.split(".")[1]


def test_every_package_has_its_floor() -> None:
    assert {package(name) for name in graph() if "." in name} == FLOOR.keys()


@pytest.mark.parametrize("name", sorted(FLOOR))
def test_a_package_imports_only_what_is_below_it(name: str) -> None:
    wrong = {
        (importer, imported)
        for importer, others in graph().items()
        if "." in importer and package(importer) == name
        for imported in others
        if package(imported) != name and FLOOR[package(imported)] >= FLOOR[name]
    }
    assert not wrong


def importers(library: str) -> set[str]:
    """The modules that import a library."""
    found = set()
    for name in modules():
        for node in statements(name):
            names = [each.name for each in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(each.partition(".")[0] == library for each in names):
                found.add(name)
    return found


def test_ray_is_imported_in_one_package_only() -> None:
    assert set(map(package, importers("ray"))) == {"worker"}


def test_onnxruntime_is_imported_only_where_its_reports_are_switched_off_first() -> None:
    assert importers("onnxruntime") == {"photoramd.models.embedded.runtime"}


def test_imports_form_no_cycle() -> None:
    # A package's own module stands for its modules only where it is named itself.
    below = {
        name: {other for other in others if not name.startswith(other + ".")}
        for name, others in graph().items()
    }
    tuple(TopologicalSorter(below).static_order())


@pytest.mark.parametrize("name", sorted(name for name in FLOOR if (PACKAGE / name).is_dir()))
def test_a_package_says_what_it_is_for(name: str) -> None:
    tree = ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(tree) or ""
    assert "Shows" in text, "what others may use of it"
    assert "Must not know" in text, "what it leaves to others"


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_is_small_and_named_after_its_job(name: str) -> None:
    path = modules()[name]
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert not EMPTY_NAMES & set(name.split("."))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            public = [
                each.name
                for each in node.body
                if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")
            ]
            reason = f"{MOST_METHODS} methods"  # "More than 12 methods: ..." in its docstring
            assert len(public) <= MOST_METHODS or reason in (ast.get_docstring(node) or ""), (
                f"{node.name} has {len(public)} public methods"
            )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            count = sum(each.arg not in ("self", "cls") for each in named)
            assert count <= MOST_PARAMETERS, f"{node.name} has {count} parameters"


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
        ["serve", "--help"],
        ["worker", "run", "--help"],
    ],
    ids=" ".join,
)
def test_answers_come_without_the_heavy_libraries(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, photoramd.cli\n"
        "sys.argv[0] = 'photoramd'\n"
        "try: photoramd.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'PIL', 'sqlite_utils', 'timm',"
        " 'prometheus_client', 'ray', 'uvicorn'}\n"
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
