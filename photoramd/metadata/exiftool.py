"""One resident ExifTool, which writes metadata into copies of photos.

Its channel of arguments is line based, so a line break in a name or a value would be an
option of its own. Nothing that a user or a file can choose ever comes near it: photos are
named by symbolic links in a private directory, values by files in it. ExifTool never
writes a photo in place (that loses ACLs and attributes, parts hard links and replaces
symbolic links); it writes a copy, and `replace` puts that in place.

The oldest version is that which writes HEIC and AVIF safely; versions 12.82 to 13.53 can be
made to run code by the metadata of a photo.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import resource
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from photoramd.errors import DecodeError, ToolError, WriteError

log = logging.getLogger(__name__)

OLDEST = (12, 38)
REFUSED = ((12, 82), (13, 53))
"""First and last of the versions with a code injection."""

TIMEOUT_SECONDS = 30.0
"""For one command; a photo of 100 MB takes two."""

MEMORY_BYTES = 2 << 30
"""Address space of the child; 100 MB photos need a third of it."""

_MAX_ANSWER_BYTES = 64 << 20
_BROKEN = (
    "see what exiftool -ver says; install it again (apt-get install --reinstall"
    ' libimage-exiftool-perl), or set write = "sidecar"'
)
_EXTENSION = re.compile(r"[a-z0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write.

    Attributes:
        xmp: The new XMP packet; empty: none is to be left; None: as it is.
        lists: Values to put in the place of list tags' (``IPTC:Keywords``) whole lists;
            an empty list removes the tag.
        options: Further arguments, constants of the caller.
    """

    xmp: bytes | None = None
    lists: dict[str, Sequence[str]] = field(default_factory=dict)
    options: Sequence[str] = ()


class ExifTool:
    """One child, started when it is first needed. From one thread, as a context manager."""

    def __init__(
        self,
        program: str = "exiftool",
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._program = program
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._serial = 0

    def __enter__(self) -> ExifTool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process(self) -> int | None:
        """The child's process id, if it runs."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the child and remove the private directory."""
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.write(b"-stay_open\nFalse\n")
                self._child.stdin.flush()
                self._child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(2)
        self._kill()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def version(self) -> str:
        """The version of the program.

        Raises:
            ToolError: It is missing, too old, or one of those that must not be used.
        """
        return self._start()

    def block(self, photo: Path, extension: str, tag: str, *, is_every: bool = False) -> bytes:
        """A block of metadata as it is in a photo, such as ``XMP`` or ``IPTC``.

        Args:
            photo: The photo, of any name.
            extension: What its content is, such as ``jpg``.
            tag: A constant of the caller.
            is_every: All such blocks, one after the other, where there are several.

        Returns:
            Its bytes; nothing if there is no such block.

        Raises:
            ToolError: ExifTool is missing, refused, took too long or died.
            DecodeError: It cannot read the photo.
        """
        every = ["-a"] if is_every else []
        answer, errors = self._on(photo, extension, [*every, "-b", f"-{tag}"])
        self._require_no_error(photo, errors)
        return answer

    def describe(self, photo: Path, extension: str, options: Sequence[str]) -> dict[str, object]:
        """What ExifTool says of a photo, with ``-j``: tag to value.

        Numbers look like numbers whatever they were: not for reading keywords.

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
        """The bytes of a photo with changes applied; the photo itself is only read.

        Raises:
            ToolError: See `block`.
            DecodeError: ExifTool cannot write such a photo; the message says why.
            WriteError: No room for the copy in the directory of temporary files.
        """
        self._start()
        directory = self._private_directory()
        output = directory / f"out{self._serial}.{_checked(extension)}"
        arguments = [*changes.options]
        errors = ""
        try:
            if changes.xmp:
                packet = directory / "packet.xmp"
                packet.write_bytes(changes.xmp)
                arguments.append(f"-XMP<={packet}")
            elif changes.xmp is not None:
                arguments.append("-XMP=")
            if changes.lists:
                values = directory / "values.json"
                lists = {tag: list(value) for tag, value in changes.lists.items()}
                values.write_text(json.dumps([{"SourceFile": "*", **lists}]), "utf-8")
                arguments.append(f"-j={values}")
            _, errors = self._on(photo, extension, [*arguments, "-o", os.fspath(output)])
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
        """Put bytes where they can be asked about; until the next call of this.

        Raises:
            WriteError: No room in the directory of temporary files.
        """
        self._start()
        path = self._private_directory() / f"copy.{_checked(extension)}"
        try:
            path.write_bytes(data)
        except OSError as error:
            raise _no_room(path, error) from error
        return path

    # Inside.

    def _require_no_error(self, photo: Path, errors: str) -> None:
        """Warnings are for people who look at the photo; errors mean that nothing was done."""
        for line in errors.splitlines():
            if line.startswith("Error"):
                reason = line.partition(":")[2].strip().rpartition(" - ")[0] or line
                raise DecodeError(f"ExifTool: {reason}", path=photo)

    def _on(self, photo: Path, extension: str, arguments: Sequence[str]) -> tuple[bytes, str]:
        """A command on a photo, which is named by a link of ours."""
        self._start()
        link = self._private_directory() / f"photo.{_checked(extension)}"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.abspath(photo))
        try:
            return self._execute([*arguments, os.fspath(link)], photo)
        finally:
            link.unlink(missing_ok=True)

    def _execute(self, arguments: Sequence[str], photo: Path | None = None) -> tuple[bytes, str]:
        """Run one command; returns what it wrote to standard output and standard error."""
        child = self._child
        assert child is not None  # noqa: S101
        assert child.stdin is not None  # noqa: S101
        self._serial += 1
        # The number tells this answer from the end of one that came too late.
        marks = (f"{{ready{self._serial}}}\n".encode(), f"{{done{self._serial}}}\n".encode())
        lines = [*arguments, "-echo4", f"{{done{self._serial}}}", f"-execute{self._serial}"]
        if any(_breaks_line(line) for line in lines):
            raise ValueError(f"an argument of several lines: {lines}")
        try:
            child.stdin.write("".join(f"{line}\n" for line in lines).encode())
            child.stdin.flush()
            answer, errors = self._answers(child, marks)
        except TimeoutError as error:  # an OSError, too, so it comes first
            self._kill()
            raise ToolError(
                f"ExifTool took longer than {self._timeout_seconds:g} seconds",
                path=photo,
                remedy="look at the photo's metadata, which may be damaged" if photo else _BROKEN,
            ) from error
        except (OSError, EOFError) as error:
            self._kill()
            raise ToolError(
                "ExifTool ended unexpectedly",
                path=photo,
                remedy="nothing; it is started again" if photo else _BROKEN,
            ) from error
        return answer, errors.decode("utf-8", "replace")

    def _answers(
        self, child: subprocess.Popen[bytes], marks: tuple[bytes, bytes]
    ) -> tuple[bytes, bytes]:
        """Read both streams up to their marks: one that is not read would fill and block."""
        deadline = time.monotonic() + self._timeout_seconds
        answers = [bytearray(), bytearray()]
        with selectors.DefaultSelector() as selector:
            for number, stream in enumerate((child.stdout, child.stderr)):
                assert stream is not None  # noqa: S101
                selector.register(stream.fileno(), selectors.EVENT_READ, number)
            while selector.get_map():
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise TimeoutError
                for key, _ in events:
                    chunk = os.read(key.fd, 1 << 16)
                    buffer = answers[key.data]
                    buffer += chunk
                    if not chunk or len(buffer) > _MAX_ANSWER_BYTES:
                        raise EOFError
                    if buffer.endswith(marks[key.data]):
                        selector.unregister(key.fd)
        return (
            bytes(answers[0].removesuffix(marks[0])),
            bytes(answers[1].removesuffix(marks[1])),
        )

    def _start(self) -> str:
        """Start the child if it does not run; returns its version."""
        if self._child is not None and self._child.poll() is None:
            return self._version
        self._kill()
        # The first option, and empty: no file of options from anywhere.
        command = [self._program, "-config", "", "-stay_open", "True", "-@", "-"]
        try:
            # Behind setpriv, a program that is missing would look like one that failed.
            if shutil.which(self._program) is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            self._child = subprocess.Popen(
                [*_tether(), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env={**os.environ, "LC_ALL": "C"},
                # Ctrl-C is for photoramd; it ends the child in its own time.
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(
                f"ExifTool cannot be started: {error.strerror}",
                remedy="install it (apt-get install libimage-exiftool-perl), or set"
                ' write = "sidecar"',
            ) from error
        limit = (self._memory_bytes, self._memory_bytes)
        # Fails only if the child is gone, which the first command tells.
        with suppress(OSError):
            resource.prlimit(self._child.pid, resource.RLIMIT_AS, limit)
            resource.prlimit(self._child.pid, resource.RLIMIT_CORE, (0, 0))
        answer, _ = self._execute(["-ver"])
        self._version = answer.decode("ascii", "replace").strip()
        try:
            require_version(self._version)
        except ToolError:
            self._kill()
            raise
        return self._version

    _version = ""

    def _private_directory(self) -> Path:
        if self._directory is None or not self._directory.is_dir():
            _sweep(Path(tempfile.gettempdir()))
            self._directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return self._directory

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(OSError):
            child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def require_version(version: str) -> None:
    """Refuse a version of ExifTool that is too old or unsafe.

    Raises:
        ToolError: With what to install instead.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number < OLDEST or REFUSED[0] <= number <= REFUSED[1]:
        why = "is too old" if number < OLDEST else "can be made to run code by a photo"
        raise ToolError(
            f"ExifTool {version} {why}",
            remedy="install 13.54 or newer, or one from 12.38 to 12.81; or set"
            ' write = "sidecar", which needs no ExifTool',
        )


_PREFIX = "photoramd-"


def _sweep(parent: Path) -> None:
    """Remove the private directories of processes of ours that were killed."""
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


def _breaks_line(argument: str) -> bool:
    return "\n" in argument or "\r" in argument


def _checked(extension: str) -> str:
    if not _EXTENSION.match(extension):
        raise ValueError(f"no extension: {extension!r}")
    return extension


def _tether() -> list[str]:
    """What has the child killed when photoramd is: it would wait at its closed input for ever.

    setpriv is part of util-linux; without it only a SIGKILL leaves a child behind.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    # Killed before setpriv took effect, photoramd is the parent no more: see prctl(2).
    is_tied = 'test "$PPID" = "$0" && exec "$@"'
    return [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", is_tied, str(os.getpid())]
