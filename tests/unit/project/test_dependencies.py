"""docs/dependencies.md says of each dependency what it is for, and where it is used."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROW = re.compile(r"^\| ([\w.-]+) \|((?: `\w+`,?)*) \| (.+) \| (`.+`) \|$", re.MULTILINE)


def needed() -> dict[str, list[str]]:
    """What users install: the extras of each package, none where it always comes."""
    extras = PROJECT["optional-dependencies"].items()
    found: dict[str, list[str]] = {each: [] for each in map(name_of, PROJECT["dependencies"])}
    for extra, several in extras:
        if extra != "dev":
            for each in several:
                found.setdefault(name_of(each), []).append(extra)
    return {name: found[name] for name in found if name != PROJECT["name"]}


def name_of(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def imported(file: str) -> set[str]:
    """The names of the distributions that a file of photoramd imports."""
    tops = set()
    for node in ast.walk(ast.parse((ROOT / "photoramd" / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            tops.add(node.module.split(".")[0])
    return {canonicalize_name(each) for top in tops for each in distributions().get(top, [])}


@cache
def distributions() -> dict[str, list[str]]:
    """What each package that can be imported came with."""
    return {**packages_distributions(), "systemd": ["systemd-python"]}


def test_every_dependency_is_explained_and_used_where_it_says() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = {n: (re.findall(r"\w+", extras), places) for n, extras, _, places in ROW.findall(text)}
    assert {name: extras for name, (extras, _) in rows.items()} == needed()
    assert list(rows) == sorted(rows)
    for name, (_, places) in rows.items():
        for file in re.findall("`(.+?)`", places):
            assert name in imported(file), f"{file} does not import {name}"
