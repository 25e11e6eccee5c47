"""The section ``[hooks]``: what is allowed, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoramd.config import loader
from photoramd.config.hooks import Hooks, missing_program, problems


def examine(tmp_path: Path, text: str) -> loader.Report:
    path = tmp_path / "config.toml"
    path.write_text(f"[hooks]\n{text}\n[state]\npath = '{tmp_path}/photoramd.db'\n")
    return loader.examine(path, need_watch=False)


def test_nothing_is_started_unless_asked_for(tmp_path: Path) -> None:
    assert examine(tmp_path, "").accept().hooks == Hooks(
        tagged=(), timeout_seconds=30.0, wait_seconds=2.0, max_photos=100
    )


@pytest.mark.parametrize(
    ("text", "tagged"),
    [
        ('["/bin/echo", "{path}"]', ("/bin/echo", "{path}")),
        ('["sh", "-c", "cat > /tmp/photos"]', ("sh", "-c", "cat > /tmp/photos")),
        ('"https://nas.local:8443/hook?key=1"', "https://nas.local:8443/hook?key=1"),
        ('"http://[::1]/"', "http://[::1]/"),
        ('""', ""),
    ],
)
def test_commands_and_addresses_are_taken(
    tmp_path: Path, text: str, tagged: str | tuple[str, ...]
) -> None:
    report = examine(tmp_path, f"tagged = {text}")
    assert report.problems == report.warnings == ()
    assert report.accept().hooks.tagged == tagged


@pytest.mark.parametrize(
    ("tagged", "text"),
    [
        ("ftp://nas/photos", "not an address"),
        ("file:///etc/passwd", "not an address"),
        ("http://", "not an address"),
        ("http://nas:99999/", "not an address"),
        ("http://[::1/", "not an address"),
        ("http://nas/a b", "not an address"),
        ("http://nas/\n", "not an address"),
        ("/usr/bin/notify", "a list: a program"),
        (("bin/notify",), "relative path"),
        (("./notify", "{path}"), "relative path"),
        (("{path}",), "the program itself"),
        (("echo hello",), "there is no shell"),
        (("echo", "--file={path}"), "write it alone"),
        (("echo", "{path}", "{path}"), "once only"),
        (("echo", "a\0b"), "NUL"),
    ],
)
def test_what_could_not_work_is_a_problem(tagged: str | tuple[str, ...], text: str) -> None:
    (found,) = problems(Hooks(tagged=tagged))
    assert found.startswith("hooks.tagged: ")
    assert text in found


def test_a_secret_in_an_address_is_not_repeated() -> None:
    (found,) = problems(Hooks(tagged="htps://nas/hook?key=geheim"))
    assert "geheim" not in found


@pytest.mark.parametrize(
    "text", ["tagged = 3", 'tagged = [""]', "timeout_seconds = 0", "max_photos = 257"]
)
def test_other_values_are_refused(tmp_path: Path, text: str) -> None:
    (found,) = examine(tmp_path, text).problems
    assert "is not allowed; allowed: " in found


def test_a_program_that_is_missing_is_a_warning_as_it_may_come_later(tmp_path: Path) -> None:
    program = tmp_path / "announce"
    for name, text in (("photoramd-no-such-program", "not on PATH"), (str(program), "not there")):
        report = examine(tmp_path, f'tagged = ["{name}"]')
        assert report.problems == ()
        (warning,) = report.warnings
        assert text in warning
    program.write_text("#!/bin/sh\n")
    assert "not a program" in missing_program(Hooks(tagged=(str(program),)))
    program.chmod(0o755)
    assert missing_program(Hooks(tagged=(str(program),))) == ""
