"""The manual pages, as the programs that show them read them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contrib.man_pages import pages
from photoramd import __version__
from photoramd.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    for name in ("groff", "mandoc"):
        assert shutil.which(name), f"the tests need {name}: apt-get install {name}"
    directory = tmp_path_factory.mktemp("man1")
    program: list[str | Path] = [sys.executable, ROOT / "contrib" / "man_pages.py", directory]
    subprocess.run(program, check=True, cwd="/")
    return sorted(directory.iterdir())


def rendered(page: Path) -> str:
    """A page as `man` shows it, without overstrikes."""
    command: list[str | Path] = ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "-rHY=0", page]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr, page.name
    return done.stdout


def test_there_is_a_page_for_each_command(made: list[Path]) -> None:
    names = {f"photoramd-{name}.1" for name in COMMANDS}
    assert {page.name for page in made} == {"photoramd.1", *names}


def test_neither_groff_nor_mandoc_has_anything_against_them(made: list[Path]) -> None:
    for page in made:
        rendered(page)
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *made],
        capture_output=True,
        text=True,
        check=False,
    )
    # The pages have no date: it would be that of the installation.
    complaints = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert not complaints


def test_they_tell_what_the_commands_tell(made: list[Path]) -> None:
    text = {page.name: " ".join(rendered(page).split()) for page in made}
    assert f"photoramd {__version__}" in text["photoramd.1"]
    assert "photoramd - tag the photos on a NAS" in text["photoramd.1"]
    for name, summary in COMMANDS.items():
        assert f"photoramd-{name}(1) {summary}" in text["photoramd.1"]
    query = text["photoramd-query.1"]
    assert "-0, --null End each path with a zero byte, for xargs -0." in query
    assert "photoramd query '(beach OR lake) \"sports car\"'" in query
    assert "Exits with 1 if there is none." in query
    assert "photoramd config check [OPTIONS]" in text["photoramd-config.1"]
    assert "PHOTORAMD CONFIG INIT Write a commented sample" in text["photoramd-config.1"]


def test_lines_that_must_not_be_wrapped_are_not(made: list[Path]) -> None:
    (query,) = [page for page in made if page.name == "photoramd-query.1"]
    lines = [line.strip() for line in rendered(query).splitlines()]
    assert "photoramd query cat" in lines
    assert "photoramd query 'cat AND NOT dog'" in lines


def test_they_are_the_same_whenever_they_are_made() -> None:
    assert pages() == pages()
    assert not any(re.search(r"\d{4}-\d\d-\d\d", text.split("\n")[0]) for text in pages().values())
