"""Releases: reproducible archives, one version, notes, and an audit that says what it knows."""

from __future__ import annotations

import re
import shutil
import tarfile
import tomllib
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import photoramd
from contrib import audit, dist, release_notes

ROOT = Path(__file__).parents[2]
EPOCH = "1700000000"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a release is made of."""
    target = tmp_path_factory.mktemp("release") / "source"
    ignored = shutil.ignore_patterns(".git", ".venv*", "dist", "build", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, target, ignore=ignored)
    return target


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    return dist.build(source, source.with_name("first"), EPOCH, umask=0o022)


def test_what_is_built_again_from_the_sdist_is_the_same_to_the_byte(
    built: Path, tmp_path: Path
) -> None:
    again = dist.unpack(built, tmp_path / "again")
    second = dist.build(again, tmp_path / "second", EPOCH, umask=0o077)
    assert dist.compare(built, second) == []


def test_a_release_that_differs_is_noticed(built: Path, tmp_path: Path) -> None:
    later = dist.unpack(built, tmp_path / "again")
    second = dist.build(later, tmp_path / "second", "1700000002", umask=0o022)
    names = sorted(path.name for path in built.iterdir())
    assert dist.compare(built, second) == names
    (second / names[0]).unlink()
    assert dist.compare(built, second) == names


def test_the_archives_hold_what_they_should_and_nothing_of_a_workplace(built: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    modules = {f"photoramd/{path.name}" for path in (ROOT / "photoramd").glob("*.py")}
    assert modules <= installed
    assert "photoramd/models/imagenet_keywords.NOTICE" in installed
    embedded = {f"photoramd/models/embedded/embedded.{kind}" for kind in ("onnx", "NOTICE")}
    tables = {f"photoramd/models/embedded/{name}" for name in ("keywords.tsv", "features.npz")}
    assert embedded | tables <= installed
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    files = {"pyproject.toml", "Makefile", "README.md", "SECURITY.md", "constraints-hashes.txt"}
    assert files | modules | {"tests/conftest.py", ".ci/run", "contrib/dist.py"} <= packed
    assert {"contrib/embedded_heads.tsv", *embedded} <= packed
    assert not [name for name in packed | installed if "__pycache__" in name or "venv" in name]


def test_the_version_stands_in_one_place(built: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert release_notes.version((ROOT / "photoramd/__init__.py").read_text()) == (
        photoramd.__version__
    )
    assert all(photoramd.__version__ in path.name for path in built.iterdir())


def test_the_changelog_has_the_form_that_it_names() -> None:
    headings = re.findall(r"(?m)^## (.*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in headings[1:])
    kinds = re.findall(r"(?m)^### (.*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_notes_of_a_release_are_its_section_of_the_changelog() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n- next\n\n## [1.1.0] - 2027-01-02\n\n### Added\n\n"
        "- one\n\n## [1.0.0] - 2026-12-01\n\n- first\n"
    )
    assert release_notes.section(changelog, "1.1.0") == "### Added\n\n- one"
    assert release_notes.section(changelog, "1.0.0") == "- first"
    assert release_notes.section(changelog, "1.2.0") is None
    assert release_notes.section("## [1.2.0]\n\n- undated\n", "1.2.0") is None


# The audit: reports in pip-audit's format


def dependency(name: str, *weaknesses: str) -> dict[str, Any]:
    found = [{"id": each, "aliases": [], "fix_versions": ["9"]} for each in weaknesses]
    return {"name": name, "version": "1.0", "vulns": found}


SILENT = {"name": "lxml", "skip_reason": "Dependency not found on PyPI"}
TODAY = date(2026, 6, 1)


def judged(*dependencies: dict[str, Any], accepted: Any = ()) -> tuple[str, int]:
    lines, code = audit.judge({"dependencies": list(dependencies)}, accepted, TODAY)
    return "\n".join(lines), code


def test_an_audit_is_good_only_if_all_were_asked_about_and_none_is_weak() -> None:
    assert judged(dependency("click"), dependency("lxml"))[1] == audit.GOOD


def test_a_weakness_is_named_with_the_version_that_mends_it() -> None:
    text, code = judged(dependency("click"), dependency("pillow", "CVE-2026-1"), SILENT)
    assert code == audit.WEAK
    assert "pillow 1.0: CVE-2026-1, mended in 9" in text
    assert "no answer about lxml" in text


def test_packages_without_an_answer_are_no_good_news() -> None:
    text, code = judged(dependency("click"), SILENT)
    assert code == audit.UNKNOWN
    assert text.startswith("NOT AUDITED: 1 of 2 packages")
    assert judged()[1] == audit.UNKNOWN
    lines, code = audit.judge("ConnectionError: no route to host", (), TODAY)
    assert code == audit.UNKNOWN
    assert lines[1] == "ConnectionError: no route to host"


def test_a_weakness_is_accepted_until_its_date_and_no_longer() -> None:
    weak = dependency("pillow", "CVE-2026-1")
    accepted = {"id": "CVE-2026-1", "reason": "no such format is read", "until": TODAY}
    assert judged(weak, accepted=[accepted])[1] == audit.GOOD
    late = accepted | {"until": date(2026, 5, 31)}
    assert judged(weak, accepted=[late])[1] == audit.WEAK
    assert judged(dependency("pillow", "CVE-2026-2"), accepted=[accepted])[1] == audit.WEAK


def test_a_program_that_reports_nothing_is_no_good_news(tmp_path: Path) -> None:
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n")
    program.chmod(0o755)
    assert audit.ask(str(program), "constraints.txt") == "no network"


def test_a_program_that_does_not_end_is_no_weakness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "TIMEOUT_SECONDS", 0.1)
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    program.chmod(0o755)
    answer = audit.ask(str(program), "constraints.txt")
    assert answer == "no answer within 0.1 seconds"
