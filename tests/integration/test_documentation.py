"""The documentation says what the code does: commands, options, keys, codes, examples."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import click
import pytest

from contrib import reference
from photoramd import cli, errors
from photoramd.config import loader
from photoramd.config.tables import tables
from tests.support import documents, scenes
from tests.support.documents import (
    DOCUMENTS,
    ROOT,
    Home,
    blocks,
    check,
    commands,
    matches,
    sessions,
)

TEXTS = {os.fspath(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
TEST = re.compile(r"\[(test_\w+)\]\(([^)]+)\)")
KEYS = {f"{table.name}.{key.name}" for table in tables() for key in table.keys}
SESSIONS = [
    pytest.param(session, id=f"{name}: {session.scene}")
    for name, text in TEXTS.items()
    for session in sessions(text)
]


# What is made from the code


def test_the_documented_commands_are_those_that_there_are() -> None:
    assert TEXTS["docs/commands.md"] == reference.commands(), "make docs"


def test_every_command_and_every_option_that_is_not_hidden_is_among_them() -> None:
    for context in reference.walk(click.Context(cli.cli, info_name="photoramd")):
        section = TEXTS["docs/commands.md"].partition(f"# `{context.command_path}`\n")[2]
        section = section.partition("\n##")[0]
        assert section, context.command_path
        for option in context.command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[-1] in section
            assert not isinstance(option, click.Option) or option.hidden or option.help


def test_the_documented_keys_are_those_that_there_are() -> None:
    text = TEXTS["docs/configuration.md"]
    assert text == reference.configuration(text), "make docs"
    rows = re.findall(r"(?m)^\| `(\w+)` \|", text)
    assert rows == [key.name for table in tables() for key in table.keys]


def test_the_documentations_configurations_are_valid(tmp_path: Path) -> None:
    examples = [
        (name, block)
        for name, text in TEXTS.items()
        for language, block in blocks(text)
        if language == "toml" and "[tool." not in block
    ]
    assert examples
    for name, example in examples:
        path = tmp_path / "config.toml"
        path.write_text(example)
        assert loader.examine(path, need_watch=False).problems == (), name


def test_keys_that_are_named_elsewhere_exist() -> None:
    sections = "|".join(sorted({key.partition(".")[0] for key in KEYS}))
    for name, text in TEXTS.items():
        named = re.findall(rf"`((?:{sections})\.[a-z_]+)(?: = [^`]*)?`", text)
        assert set(named) - KEYS <= {"config.toml"}, name


def test_environment_variables_that_count_are_documented() -> None:
    documented = "".join(TEXTS.values())
    for path in (ROOT / "photoramd").rglob("*.py"):
        names = re.findall(r'"((?:PHOTORAMD|HF|XDG)_[A-Z_]+)"', path.read_text(encoding="utf-8"))
        assert [name for name in names if not re.search(rf"`\$?{name}\b", documented)] == [], path


# Exit codes


def codes() -> set[int]:
    """All that the command line can end with."""

    def below(kind: type[errors.PhotoramdError]) -> set[int]:
        return {kind.exit_code}.union(*map(below, kind.__subclasses__()))

    return below(errors.PhotoramdError) | {0, 130}


def test_the_exit_codes_are_documented_and_no_others() -> None:
    help_text = cli.cli.help or ""
    listed = re.findall(r"(?m)^\s+(\d+) ", help_text.partition("Exit codes:")[2])
    assert {int(code) for code in listed} == codes()
    sentence = re.sub(r"\s+", " ", TEXTS["README.md"]).partition("Exit codes: ")[2].split(".")[0]
    assert {int(code) for code in re.findall(r"(?:^|, )(\d+) ", sentence)} == codes()
    tree = re.findall(r"(?m)^ .*Error +(\d+)", errors.__doc__ or "")
    assert {int(code) for code in tree} == codes() - {0, 130}


def test_codes_that_are_named_elsewhere_exist() -> None:
    for name, text in TEXTS.items():
        named = re.findall(r"(?:[Ee]xits? with|code|ends with) `?(\d+)\b", text)
        assert {int(code) for code in named} <= codes(), name


# Commands and examples


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "docs/commands.md"])
def test_every_command_that_is_named_exists_with_its_options(name: str) -> None:
    for words in commands(TEXTS[name]):
        check(words)


@pytest.mark.parametrize(
    "line", ["photoramd scann", "photoramd scan --fast", "photoramd tag -f yaml x.jpg"]
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    [words] = commands(f"```\n{line}\n```\n")
    with pytest.raises(AssertionError):
        check(words)


@pytest.mark.parametrize("session", SESSIONS)
def test_the_examples_print_what_is_shown(session: documents.Session, tmp_path: Path) -> None:
    assert session.scene in scenes.SCENES, "a comment <!-- scene: NAME --> must precede it"
    home = Home(tmp_path.resolve() / "machine")
    with scenes.scene(session.scene, home):
        for example in session.examples:
            printed = home.run(example.command)
            assert matches(example.shown, printed), "\n".join([example.command, *printed])


def test_what_differs_from_what_is_shown_is_noticed() -> None:
    shown = ("a", "  ...", "0.95  cat …", "end")
    assert matches(shown, ["a", "x", "y", "0.93  cat and more", "end"])
    assert matches(shown, ["a", "0.95  cat ", "end"])
    for printed in (
        ["a", "0.85  cat ", "end"],
        ["a", "0.95  dog ", "end"],
        ["b", "0.95  cat ", "end"],
        ["a", "0.95  cat ", "end", "more"],
        ["a", "0.95  cat "],
    ):
        assert not matches(shown, printed)


# Links


@pytest.mark.parametrize("name", TEXTS)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    for target in LINK.findall(TEXTS[name]):
        assert (ROOT / name).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("name", TEXTS)
def test_links_to_headings_lead_to_one(name: str) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", TEXTS[name]):
        path = os.path.normpath(Path(name).parent / target) if target else name
        headings = re.findall(r"(?m)^#+ (.*)", TEXTS[path])
        # As GitHub makes them of headings.
        assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, found = set(), {"README.md"}
    while found - reached:
        name = (found - reached).pop()
        reached.add(name)
        for target in LINK.findall(TEXTS[name]):
            path = os.path.normpath(Path(name).parent / target)
            found |= {path} & TEXTS.keys()
    assert reached == TEXTS.keys()


@pytest.mark.parametrize("name", TEXTS)
def test_links_to_tests_lead_to_one(name: str) -> None:
    for test, target in TEST.findall(TEXTS[name]):
        source = (ROOT / name).parent.joinpath(target).read_text(encoding="utf-8")
        assert re.search(rf"(?m)^def {test}\(", source), test


def test_each_promise_of_the_readme_links_to_a_test() -> None:
    promises = TEXTS["README.md"].partition("| Promise | Kept by |\n|---|---|\n")[2]
    rows = promises.partition("\n\n")[0].splitlines()
    assert rows
    assert [row for row in rows if not TEST.search(row)] == []


def test_the_index_names_every_page() -> None:
    named = set(LINK.findall(TEXTS["docs/README.md"]))
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"}
    assert pages <= named


def test_accepted_weaknesses_have_a_reason_and_a_date() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    for each in tool.get("photoramd", {}).get("accepted-weaknesses", []):
        assert each.keys() == {"id", "reason", "until"}
