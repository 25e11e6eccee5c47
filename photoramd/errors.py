"""The exceptions of photoramd.

Each carries the path it is about, a remedy (what the user can do) and the exit
code of the command line. Errors of the system and of libraries (OSError, sqlite3,
torch, lxml) become one of these where they occur; only the command line turns them
into text and an exit code.

    PhotoramdError             4
    ├── NoImagesError          1   nothing to work on
    ├── UsageError             2   arguments that cannot be used together
    │   └── QueryError         2   a query that cannot be read, or names what is not known
    ├── ModelError             3   weights missing, unusable, or not loadable
    │   ├── IntegrityError     3   weights are not the pinned bytes
    │   └── ModelUnavailableError 3  for now; no photo's fault
    │       └── UndecidedError 3   refused by some machines, while others are away
    ├── ConfigError           78   configuration file (EX_CONFIG of sysexits.h)
    ├── DecodeError            4   one photo cannot be decoded
    ├── ChangedError           4   a file changed while it was being read or replaced
    ├── SidecarError           4   one sidecar cannot be read or must not be written
    ├── EmbeddingError         4   keywords must not be written into one photo
    ├── WriteError             4   the system does not let us write a file
    ├── ToolError              4   a program of the system is missing, refused or failed
    ├── LostError              4   the process that looked into a file was lost with it
    ├── StoppedError           4   photoramd was stopped before it was done
    ├── BusyError              4   too much is asked for at once
    └── StoreError             4   the database
        ├── LockedError        4   another process owns the database
        └── DamagedError       4   the database is damaged
"""

from __future__ import annotations

import os
import shlex
import sys
from enum import IntEnum
from errno import EDQUOT, EIO, ENOSPC, EROFS
from typing import ClassVar

PIP = f"{shlex.quote(sys.executable)} -m pip install"
"""What installs into this environment: `pip` alone may be another one's, or not there."""

_FILE_SYSTEM = frozenset({ENOSPC, EDQUOT, EROFS, EIO})


class ExitCode(IntEnum):
    """The exit codes of the command line."""

    SUCCESS = 0
    NO_IMAGES = 1
    USAGE = 2
    MODEL = 3
    ERROR = 4
    CONFIGURATION = 78
    INTERRUPTED = 130


class PhotoramdError(Exception):
    """Base of all errors that photoramd raises on purpose.

    Args:
        message: What happened, in one sentence without a full stop.
        path: The file or directory it is about.
        remedy: What the user can do about it.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else os.fspath(path)
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message if self.path is None else f"{printable(self.path)}: {self.message}"


class NoImagesError(PhotoramdError):
    """There is no image to work on."""

    exit_code = ExitCode.NO_IMAGES


class UsageError(PhotoramdError):
    """The arguments cannot be used."""

    exit_code = ExitCode.USAGE


class QueryError(UsageError):
    """A query cannot be read, or names a photo that is not known.

    Attributes:
        position: Where in the query the error is, in characters from 1; None: in all of it.
    """

    def __init__(self, message: str, position: int | None = None, *, remedy: str) -> None:
        where = "" if position is None else f"in the query at position {position}: "
        super().__init__(f"{where}{message}", remedy=remedy)
        self.position = position


class ModelError(PhotoramdError):
    """The model or its weights are missing or cannot be used."""

    exit_code = ExitCode.MODEL


class IntegrityError(ModelError):
    """The weights are not the pinned bytes; they were not loaded."""


class ModelUnavailableError(ModelError):
    """The model cannot run now, whatever the photo; it is tried again by itself."""


class UndecidedError(ModelUnavailableError):
    """A machine refused this photo, and another one that may soon be back was not asked."""


class ConfigError(PhotoramdError):
    """The configuration is missing, malformed or contradicts itself."""

    exit_code = ExitCode.CONFIGURATION


class DecodeError(PhotoramdError):
    """One photo cannot be decoded."""


class ChangedError(PhotoramdError):
    """A file changed while it was in use; try again later."""


class SidecarError(PhotoramdError):
    """One sidecar cannot be read, or must not be written."""


class EmbeddingError(PhotoramdError):
    """Writing keywords into this photo would not be safe; a sidecar takes them."""


class WriteError(PhotoramdError):
    """A file could not be written; the one that was there is intact.

    Attributes:
        errno: The system's error number.
    """

    def __init__(
        self,
        message: str,
        errno: int,
        *,
        path: str | os.PathLike[str] | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, path=path, remedy=remedy)
        self.errno = errno

    @property
    def concerns_file_system(self) -> bool:
        """Whether other files there will fail, too, until somebody acts."""
        return self.errno in _FILE_SYSTEM


class ToolError(PhotoramdError):
    """A program that photoramd uses is missing, must not be used, or failed."""


class LostError(PhotoramdError):
    """The process that looked into a file was lost with it: it crashed, or took too much."""


class StoppedError(PhotoramdError):
    """The work was given up because photoramd stops; nothing is wrong with the file."""


class BusyError(PhotoramdError):
    """Too much is asked for at once; it can be asked for again soon."""


class StoreError(PhotoramdError):
    """The database cannot be used."""


class LockedError(StoreError):
    """Another process owns the database."""


class DamagedError(StoreError):
    """The file is no longer a whole database.

    Attributes:
        is_ours: Whether it certainly was photoramd's.
    """

    def __init__(
        self,
        message: str,
        *,
        is_ours: bool,
        path: str | os.PathLike[str] | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, path=path, remedy=remedy)
        self.is_ours = is_ours


def printable(path: str | os.PathLike[str]) -> str:
    r"""A path as text that any terminal or log can take.

    Undecodable bytes and control characters become ``\xNN``, a new line ``\n``.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text.translate(_ESCAPES)


_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_ESCAPES = {code: rf"\x{code:02x}" for code in _CONTROLS} | {ord("\n"): r"\n"}
