"""What continuous integration runs: valid, pinned, with few rights, and the same as here."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents import DOCUMENTS, blocks

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")

WRITES = {("release.yml", "publish"): {"contents", "id-token", "attestations"}}
"""The only jobs that may write, and what."""


def run(program: str, *arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def content(workflow: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize(
    "schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"]
)
def test_the_workflows_are_valid_and_end_some_time(schema: str) -> None:
    run("check-jsonschema", "--builtin-schema", schema, *WORKFLOWS)


def test_dependabots_settings_are_valid() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")


def test_zizmor_finds_nothing_to_blame() -> None:
    run("zizmor", "--offline", "--no-progress", "--quiet", ".github")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_digest_and_says_its_version(workflow: Path) -> None:
    uses = re.findall(r"uses:\s*(.*)", workflow.read_text(encoding="utf-8"))
    assert uses
    for each in uses:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_an_action_has_one_digest_everywhere() -> None:
    uses = {each for path in WORKFLOWS for each in re.findall(r"uses:\s*(.*)", path.read_text())}
    names = [each.partition("@")[0] for each in uses]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_only_the_rights_that_it_names(workflow: Path) -> None:
    loaded = content(workflow)
    assert loaded["permissions"] == {}
    for name, job in loaded["jobs"].items():
        rights = job["permissions"]
        writes = {right for right, level in rights.items() if level == "write"}
        assert writes <= WRITES.get((workflow.name, name), set())
        assert set(rights.values()) <= {"read", "write"}


def test_the_tests_run_on_every_supported_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    supported = [each for each in project["classifiers"] if each.startswith(prefix)]
    matrix = content(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [each.rpartition(" ")[2] for each in supported]
    assert project["requires-python"] == f">={matrix['python'][0]}"


def test_all_that_is_run_anywhere_is_a_target_that_help_names() -> None:
    [phony] = re.findall(r"(?m)^\.PHONY: (.*)", MAKEFILE)
    targets = {name for name in phony.split() if not name.startswith("setup")}
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    named = re.findall(r"(?m)^make ([\w-]+) ", shown.stdout)
    assert sorted(named) == sorted(targets)
    runs = [*re.findall(r"run: (.*)", "".join(map(Path.read_text, WORKFLOWS)))]
    runs += (ROOT / ".ci/run").read_text().splitlines()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        runs += [line for _, block in blocks(text) for line in block.splitlines()]
        runs += re.findall(r"`(make [^`]+)`", text)
    used = {name for line in runs for name in re.findall(r"(?:^|[&\"] )make ([a-z][\w-]+)", line)}
    assert {"test", "lint", "dist"} <= used <= targets


def test_continuous_integration_runs_the_lints_and_the_tests() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[-2:] == ["make lint", "make test"]
    for tool in ("ruff format --check", "ruff check", "mypy", "bandit"):
        assert f"$(BIN)/{tool}" in MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]


def test_documentation_is_checked_alike_by_continuous_integration_and_before_a_release() -> None:
    steps = content(ROOT / ".github/workflows/ci.yml")["jobs"]["lint"]["steps"]
    [check] = [step["run"] for step in steps if "make docs" in step.get("run", "")]
    text = (ROOT / "docs/releasing.md").read_text(encoding="utf-8")
    assert check in [line.strip() for line in text.splitlines()]
