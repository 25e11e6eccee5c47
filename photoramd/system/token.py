"""Tokens: secret texts in files, which open a server to those who have them."""

from __future__ import annotations

import hmac
import math
import os
import secrets
import stat
from pathlib import Path

from photoramd.errors import ConfigError, UsageError
from photoramd.system.files import PRIVATE, READ_FLAGS, write_all

LEAST_BITS = 128

_MOST_BYTES = 1024
_LEAST_DIFFERENT = 8
"""Characters that are chosen at random repeat themselves, but not that often."""


class Token:
    """A secret text. It is compared only, and shows up in no message.

    Args:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self._secret = text.encode("ascii")

    @property
    def header(self) -> str:
        """What a client sends as ``Authorization``: RFC 6750."""
        return f"Bearer {self._secret.decode('ascii')}"

    def is_same(self, given: str | bytes) -> bool:
        """Return whether a text is the token, in a time that tells nothing of where it differs."""
        if isinstance(given, str):
            given = given.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(given, self._secret)


def read_token(path: Path, maker: str = "photoramd serve --new-token") -> Token:
    """Read a token from a file.

    Args:
        path: The file.
        maker: The command that makes such a file, for remedies.

    Raises:
        ConfigError: It cannot be read, others may read it, or its text is too easy to guess.
    """
    try:
        # A link is followed: its owner, and what it leads to, are the administrator's choice.
        fd = os.open(path, READ_FLAGS & ~os.O_NOFOLLOW)
    except FileNotFoundError as error:
        remedy = f"{maker} {path} makes one"
        raise ConfigError("there is no such file with a token", path=path, remedy=remedy) from error
    except OSError as error:
        raise ConfigError(f"the token cannot be read: {error.strerror}", path=path) from error
    try:
        require_private(path, os.fstat(fd))
        content = os.read(fd, _MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the token cannot be read: {error.strerror}", path=path) from error
    finally:
        os.close(fd)
    return Token(_checked(path, content, maker))


def make_token(path: Path) -> None:
    """Write a new token into a new file that only this user may read.

    Raises:
        UsageError: There is a file already, or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, PRIVATE)
    except FileExistsError as error:
        remedy = "remove it first; who has the old token must log in again"
        raise UsageError("there is a file already", path=path, remedy=remedy) from error
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", path=path) from error
    try:
        os.fchmod(fd, PRIVATE)
        write_all(fd, secrets.token_urlsafe(32).encode() + b"\n")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UsageError(f"cannot be written: {error.strerror}", path=path) from error
    finally:
        os.close(fd)


def require_private(path: Path, status: os.stat_result, what: str = "the token") -> None:
    """Refuse a secret that others may read or change.

    Args:
        path: The file that it is in.
        status: The file's.
        what: What it is, for errors.

    Raises:
        ConfigError: They may, or it is no file.
    """
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{what} is to be in a regular file", path=path)
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{what}'s file belongs to another user", path=path)
    # What is root's may be the service's group's, too: so are systemd's credentials.
    forbidden = 0o037 if status.st_uid == 0 else 0o077
    if status.st_mode & forbidden:
        raise ConfigError(
            f"others may read {what}, or change it",
            path=path,
            remedy=f"chmod 600 {path}, and make a new one if somebody may have read it",
        )


def _checked(path: Path, content: bytes, maker: str) -> str:
    remedy = f"remove it; {maker} {path} makes a good one"
    text = content.decode("latin-1").strip("\r\n\t ")
    if len(content) > _MOST_BYTES or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(
            f"not a token: allowed is one line of at most {_MOST_BYTES} letters, digits and signs",
            path=path,
            remedy=remedy,
        )
    if _bits(text) < LEAST_BITS:
        raise ConfigError(
            f"the token is too easy to guess: it must have {LEAST_BITS} bits, such as 32 "
            "hexadecimal digits chosen at random",
            path=path,
            remedy=remedy,
        )
    return text


def _bits(text: str) -> float:
    """Return how many bits a text has, if its characters were chosen at random."""
    if len(set(text)) < _LEAST_DIFFERENT:
        return 0.0
    if text.isdigit():
        kinds = 10
    elif set(text.lower()) <= set("0123456789abcdef"):
        kinds = 16
    else:
        kinds = 64
    return len(text) * math.log2(kinds)
