"""The token: which file and text is taken, and how it is compared."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from photoramd.errors import ConfigError, UsageError
from photoramd.system.token import make_token, read_token

GOOD = "Zx3vT0qk9LwYb5nJ2cRf7Q"


def put(tmp_path: Path, content: str, mode: int = 0o600) -> Path:
    path = tmp_path / "token"
    path.write_bytes(content.encode("utf-8"))
    path.chmod(mode)
    return path


def test_a_new_token_is_good_private_and_another_one_each_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    before = os.umask(0)
    try:
        make_token(one)
        make_token(other)
    finally:
        os.umask(before)
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert one.read_text() != other.read_text()
    token = read_token(one)
    assert token.is_same(one.read_text().strip())
    assert not token.is_same(other.read_text().strip())
    assert not token.is_same("")
    assert not token.is_same("ü\udc80")


def test_a_token_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = put(tmp_path, GOOD)
    with pytest.raises(UsageError, match="there is a file already"):
        make_token(path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        make_token(link)
    assert path.read_text() == GOOD
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o666, 0o777])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="others may read the token, or change it") as caught:
        read_token(put(tmp_path, GOOD, mode))
    assert caught.value.remedy is not None
    assert "chmod 600" in caught.value.remedy


def test_a_group_may_read_what_is_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, GOOD, 0o640)
    assert os.geteuid() == 0, "the tests run as root"
    assert read_token(path).is_same(GOOD)
    os.chown(path, 1234, 1234)
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(ConfigError, match="others may read"):
        read_token(path)
    monkeypatch.setattr(os, "geteuid", lambda: 1235)
    with pytest.raises(ConfigError, match="belongs to another user"):
        read_token(path)


@pytest.mark.parametrize(
    "text",
    ["", "secret", "a" * 64, "ab" * 32, "0123456789abcdef0123456789abcde", "0123456789" * 3,
     "A1" * 64],
)  # fmt: skip
def test_a_text_that_is_easy_to_guess_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="too easy to guess"):
        read_token(put(tmp_path, text))


@pytest.mark.parametrize(
    "text", ["two words " * 4, f"{GOOD}\n{GOOD}", "é" * 40, "x" * 2000, "\0" * 40]
)
def test_what_is_no_line_of_characters_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="not a token") as caught:
        read_token(put(tmp_path, text))
    assert GOOD not in str(caught.value)


@pytest.mark.parametrize("text", [GOOD, f"{GOOD}\r\n", "0123456789abcdef0123456789abcdef"])
def test_128_bits_are_enough(tmp_path: Path, text: str) -> None:
    assert read_token(put(tmp_path, text)).is_same(text.strip())


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        read_token(tmp_path / "none")
    assert re.search("--new-token", caught.value.remedy or "")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="regular file"):
        read_token(pipe)
