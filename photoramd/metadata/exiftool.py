"""Read and write metadata by one resident ExifTool, in copies of photos.

Nothing that a user or a file can choose reaches its line-based channel of arguments: photos are
named by symbolic links in a private directory, values by files in it. ExifTool never writes a
photo in place (that loses ACLs and attributes, parts hard links and replaces symbolic links); it
writes a copy, and `system.atomic` puts that in place.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from photoramd.errors import DecodeError, WriteError
from photoramd.metadata.exiftool_pipe import (
    MEMORY_BYTES,
    TIMEOUT_SECONDS,
    EndedError,
    ExifToolPipe,
    LateError,
)

log = logging.getLogger(__name__)

_EXTENSION = re.compile(r"[a-z0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to write.

    Attributes:
        xmp: The new XMP packet; empty removes it, None leaves it.
        lists: New values of list tags such as ``IPTC:Keywords``; an empty list removes the tag.
        options: Further arguments: constants of the caller.
    """

    xmp: bytes | None = None
    lists: dict[str, Sequence[str]] = field(default_factory=dict)
    options: Sequence[str] = ()


class Editor(Protocol):
    """What reads and writes metadata: ExifTool, in this process's child or the parent's.

    For its methods see `ExifTool`.
    """

    def block(self, photo: Path, extension: str, tag: str, *, is_every: bool = False) -> bytes:
        """Return a block of metadata of a photo."""

    def describe(self, photo: Path, extension: str, options: Sequence[str]) -> dict[str, object]:
        """Return what is read from a photo: tag to value."""

    def rewrite(self, photo: Path, extension: str, changes: Changes) -> bytes:
        """Return the bytes of a photo with changes."""

    def copy(self, data: bytes, extension: str) -> Path:
        """Write bytes to a file for the other commands."""


class ExifTool:
    """Commands of one ExifTool, started when first needed. A context manager for one thread."""

    def __init__(
        self,
        program: str = "exiftool",
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._pipe = ExifToolPipe(program, timeout_seconds, memory_bytes)
        self._directory: Path | None = None

    def __enter__(self) -> ExifTool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attend(self, is_wanted: Callable[[], bool]) -> None:
        """Have something asked several times a second while a command works.

        Args:
            is_wanted: Returns whether to go on; if not, the command ends with a StoppedError. It
                may tell a watchdog that all is well.
        """
        self._pipe.is_wanted = is_wanted

    @property
    def process(self) -> int | None:
        """The child's process id, if it runs."""
        return self._pipe.process

    def close(self) -> None:
        """End the child and remove the private directory."""
        self._pipe.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def version(self) -> str:
        """Return the version of the program.

        Raises:
            ToolError: It is missing, too old, or one of those that must not be used.
        """
        return self._pipe.start()

    def block(self, photo: Path, extension: str, tag: str, *, is_every: bool = False) -> bytes:
        """Return a block of metadata of a photo, such as ``XMP`` or ``IPTC``.

        Args:
            photo: The photo, of any name.
            extension: What its content is, such as ``jpg``.
            tag: A constant of the caller.
            is_every: All such blocks, one after the other, where there are several.

        Returns:
            Its bytes; nothing if there is no such block.

        Raises:
            ToolError: ExifTool is missing or refused.
            DecodeError: It cannot read the photo: it says so, takes too long, or dies of it twice.
        """
        every = ["-a"] if is_every else []
        answer, errors = self._on(photo, extension, [*every, "-b", f"-{tag}"])
        self._require_no_error(photo, errors)
        return answer

    def describe(self, photo: Path, extension: str, options: Sequence[str]) -> dict[str, object]:
        """Return what ExifTool reads from a photo with ``-j``: tag to value.

        Text that looks like a number becomes one, so this is not for keywords.

        Raises:
            ToolError: See `block`.
            DecodeError: See `block`.
        """
        answer, errors = self._on(photo, extension, ["-j", *options])
        self._require_no_error(photo, errors)
        try:
            (found,) = json.loads(answer)
        except ValueError as error:
            raise DecodeError("ExifTool's answer was not understood", path=photo) from error
        return dict(found)

    def rewrite(self, photo: Path, extension: str, changes: Changes) -> bytes:
        """Return the bytes of a photo with changes; the photo itself is only read.

        Raises:
            ToolError: See `block`.
            DecodeError: ExifTool cannot write such a photo; the message says why.
            WriteError: No room for the copy in the directory of temporary files.
        """
        self._pipe.start()
        directory = self._private_directory()
        output = directory / f"out{self._pipe.serial}.{_checked(extension)}"
        arguments = [*changes.options]
        errors = ""
        try:
            if changes.xmp:
                packet = directory / "packet.xmp"
                packet.write_bytes(changes.xmp)
                arguments.append(f"-XMP:XMP<={packet}")
            elif changes.xmp is not None:
                arguments.append("-XMP:XMP=")
            if changes.lists:
                values = directory / "values.json"
                lists = {tag: list(value) for tag, value in changes.lists.items()}
                values.write_text(json.dumps([{"SourceFile": "*", **lists}]), "utf-8")
                arguments.append(f"-j={values}")
            _, errors = self._on(photo, extension, arguments, output)
            self._require_no_error(photo, errors)
            return output.read_bytes()
        except FileNotFoundError as error:
            reason = errors.strip().splitlines()[-1:] or ["it did not say why"]
            raise DecodeError(f"ExifTool did not write it: {reason[0]}", path=photo) from error
        except OSError as error:
            raise _no_room(directory, error) from error
        finally:
            output.unlink(missing_ok=True)

    def copy(self, data: bytes, extension: str) -> Path:
        """Write bytes to a file for the other commands; the next call replaces it.

        Raises:
            WriteError: No room in the directory of temporary files.
        """
        self._pipe.start()
        path = self.copied(extension)
        try:
            path.write_bytes(data)
        except OSError as error:
            raise _no_room(path, error) from error
        return path

    def copied(self, extension: str) -> Path:
        """Return where `copy` writes to."""
        return self._private_directory() / f"copy.{_checked(extension)}"

    def _require_no_error(self, photo: Path, errors: str) -> None:
        """Raise for an error, which means that nothing was done; ignore warnings."""
        for line in errors.splitlines():
            if line.startswith("Error"):
                reason = line.partition(":")[2].strip().rpartition(" - ")[0] or line
                raise DecodeError(f"ExifTool: {reason}", path=photo)

    def _on(
        self, photo: Path, extension: str, arguments: Sequence[str], output: Path | None = None
    ) -> tuple[bytes, str]:
        """Run a command on a photo, which is named by a link of ours."""
        self._pipe.start()
        link = self._private_directory() / f"photo.{_checked(extension)}"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.abspath(photo))
        out = [] if output is None else ["-o", os.fspath(output)]
        command = [*arguments, *out, os.fspath(link)]
        try:
            try:
                return self._pipe.execute(command)
            except EndedError:
                # Whatever ended it may be over; half of the output may be there.
                self._pipe.start()
                if output is not None:
                    output.unlink(missing_ok=True)
                return self._pipe.execute(command)
        except (EndedError, LateError) as error:
            raise DecodeError(str(error), path=photo) from error
        finally:
            link.unlink(missing_ok=True)

    def _private_directory(self) -> Path:
        if self._directory is None or not self._directory.is_dir():
            _sweep(Path(tempfile.gettempdir()))
            self._directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return self._directory


_PREFIX = "photoramd-"


def _sweep(parent: Path) -> None:
    """Remove the private directories of killed processes of this user."""
    for path in parent.glob(f"{_PREFIX}[0-9]*-*"):
        process = path.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError):
            is_ours = path.lstat().st_uid == os.geteuid() and not path.is_symlink()
            if is_ours and process.isdigit() and not Path("/proc", process).exists():
                shutil.rmtree(path, ignore_errors=True)


def _no_room(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"no temporary copy can be made ({error.strerror})",
        error.errno or 0,
        path=path,
        remedy="free some space there, or set TMPDIR to another directory",
    )


def _checked(extension: str) -> str:
    if not _EXTENSION.match(extension):
        raise ValueError(f"no extension: {extension!r}")
    return extension
