"""Have workers look into photos and sidecars: the tasks of `tasks`, from the parent's side.

What a worker answers about where something is, or which file it saw, is not believed: the parent
opens the files, and says itself what a plan is about.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from photoramd.contained.pool import Answers, Pool, Task
from photoramd.contained.results import Crop, Read, Seen, exiftool_request
from photoramd.errors import DecodeError, LostError, PhotoramdError
from photoramd.images.renditions import THUMBNAIL, Rendition
from photoramd.metadata.changes import Place, Recorded
from photoramd.metadata.exiftool import Changes, ExifTool
from photoramd.metadata.plan import Plan, PlanRequest
from photoramd.metadata.reading import Beside, Reading, find_beside
from photoramd.metadata.replaceable import open_replaceable
from photoramd.metadata.sidecar import Found, KnownSidecar
from photoramd.photo import Fingerprint
from photoramd.system.beneath import open_read
from photoramd.system.files import why_not_opened
from photoramd.system.sandbox import Sandbox

if TYPE_CHECKING:
    from photoramd.models.preprocessing import Pixels

T = TypeVar("T")

_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class Contained:
    """Looks into files by workers. A context manager; used from any thread, but for plans.

    It has more than 12 methods because each is one task, or one state of the workers.

    Args:
        is_wanted: Asked by the main thread while it waits, several times a second: whether to go
            on. It may tell a watchdog that all is well.
        seconds: The limit for one file; None is `pool.TASK_SECONDS`.
    """

    def __init__(
        self, is_wanted: Callable[[], bool] = lambda: True, seconds: float | None = None
    ) -> None:
        self.is_wanted = is_wanted
        self._pool = Pool(seconds)

    def __enter__(self) -> Contained:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        self._pool.close()

    def rest(self) -> None:
        """Give back the memory of workers, as nothing is to be done now."""
        self._pool.rest()

    def stop(self) -> None:
        """Give up what is being done: it ends with a StoppedError."""
        self._pool.stop()

    def is_running(self) -> bool:
        """Return whether it was not stopped."""
        return self._pool.is_running()

    @property
    def workers_started(self) -> int:
        """How many workers were started."""
        return self._pool.started

    @property
    def workers_lost(self) -> int:
        """How many workers a file took down, or took too long for."""
        return self._pool.lost

    def sandbox(self) -> Sandbox:
        """Return what holds for workers.

        Raises:
            ToolError: None can be started.
        """
        return self._pool.sandbox()

    def see(
        self,
        photo: Path,
        crop: Crop,
        max_pixels: int,
        reserve: Callable[[int], object] = lambda _: None,
        keep_thumbnail: Callable[[bytes], object] | None = None,
    ) -> tuple[Pixels, Reading]:
        """Decode a photo to a model's input, and read what it and its sidecar say.

        Args:
            photo: The photo; symbolic links are not followed.
            crop: Makes the input.
            max_pixels: Photos with more are refused.
            reserve: Called before the pixels are decoded, with how much memory that takes, in
                bytes; it may wait.
            keep_thumbnail: Given a thumbnail that was made of the same pixels, if one could be;
                None: none is made.

        Returns:
            The input, and the reading.

        Raises:
            DecodeError: It cannot be decoded.
            ChangedError: It changed while it was read.
            LostError: The worker was lost with it.
            StoppedError: It was given up.
        """
        beside = find_beside(photo)
        with _opened(_open_photo(photo)) as fd:
            task = Task(
                "see",
                (photo, crop, max_pixels, beside, keep_thumbnail is not None),
                {os.fspath(photo): fd},
                _reserving(reserve),
                _modules_of(crop),
            )
            found = self._call(photo, task, Seen)
        import numpy as np  # which `doctor` and `undo` do not need

        try:
            pixels = np.frombuffer(found.pixels, np.uint8).reshape(found.shape)
        except ValueError as error:
            raise LostError("decoding it gave no image", path=photo) from error
        if keep_thumbnail is not None and THUMBNAIL.fits(found.thumbnail):
            keep_thumbnail(found.thumbnail)
        return pixels, _reading(found.read, beside)

    def picture(
        self,
        photo: Path,
        rendition: Rendition,
        max_pixels: int,
        reserve: Callable[[int], object] = lambda _: None,
    ) -> tuple[bytes, Fingerprint]:
        """Make a small picture of a photo.

        Args:
            photo: The photo; symbolic links are not followed.
            rendition: The kind of picture.
            max_pixels: Photos with more are refused.
            reserve: See `see`.

        Returns:
            The picture, and the fingerprint of the file that it is of.

        Raises:
            PhotoramdError: As for `see`.
        """
        with _opened(_open_photo(photo)) as fd:
            fingerprint = Fingerprint.of(os.fstat(fd))
            files = {os.fspath(photo): fd}
            task = Task("picture", (photo, rendition, max_pixels), files, _reserving(reserve))
            content = self._call(photo, task, bytes)
        if not rendition.fits(content):
            raise LostError("decoding it gave no picture", path=photo)
        return content, fingerprint

    def read(self, photo: Path, max_pixels: int) -> Reading:
        """Read what a photo and its sidecar say, without decoding it; see `see`."""
        beside = find_beside(photo)
        with _opened(_open_photo(photo)) as fd:
            task = Task("read", (photo, max_pixels, beside), {os.fspath(photo): fd})
            return _reading(self._call(photo, task, Read, self.is_wanted), beside)

    def plan_sidecar(
        self, found: Found, request: PlanRequest, known: KnownSidecar, inside: Recorded
    ) -> Plan:
        """See `photoramd.metadata.plan_sidecar.plan_found`.

        Raises:
            SidecarError: See there.
            ChangedError: See there.
            LostError: The worker was lost with it.
            StoppedError: It was given up.
        """
        with _photo_if_there(request.photo) as files:
            task = Task("plan_for_sidecar", (found, request, known, inside), files)
            plan = self._call(request.photo, task, Plan, self.is_wanted)
        target = None if plan.target is None else found.target.path
        has_ours = known.created or not known.recorded.is_empty or known.recorded.rejected
        if plan.is_removal and not has_ours:
            raise LostError("a sidecar that has nothing of ours would be removed", path=target)
        return replace(plan, target=target, expected=found.fingerprint, place=Place.SIDECAR)

    def plan_photo(
        self,
        request: PlanRequest,
        recorded: Recorded,
        exiftool: ExifTool,
        *,
        known: Fingerprint | None = None,
    ) -> Plan:
        """See `photoramd.metadata.plan_embedding.plan_photo`.

        Raises:
            EmbeddingError: See there.
            ChangedError: See there.
            ToolError: See there.
            WriteError: See there.
            LostError: The worker was lost with it.
            StoppedError: It was given up.
        """
        photo = request.photo
        with _opened(open_replaceable(photo)) as fd:
            before = Fingerprint.of(os.fstat(fd))
            task = Task(
                "plan_for_photo",
                (request, recorded, known),
                {os.fspath(photo): fd},
                {"exiftool": partial(_command, exiftool, fd)},
            )
            plan = self._call(photo, task, Plan, self.is_wanted)
        return replace(plan, target=photo, expected=before, place=Place.PHOTO)

    def is_only_ours(self, content: bytes, path: Path, recorded: Recorded) -> bool:
        """See `photoramd.metadata.plan_sidecar.is_only_ours`.

        Raises:
            PhotoramdError: It cannot be told.
        """
        return self._ask_about(path, "is_only_ours", (content, path, recorded), bool)

    def hides(self, content: bytes, path: Path, recorded: Recorded) -> bool:
        """Return whether a sidecar has keywords of the user's, which hide those in the photo.

        Args:
            content: Its bytes.
            path: Where it is.
            recorded: What the ledger has of it.

        Raises:
            PhotoramdError: It cannot be told.
        """
        return self._ask_about(path, "hides", (content, path, recorded), bool)

    def values(self, content: bytes, path: Path) -> Mapping[str, tuple[str, ...]]:
        """Return the entries of a sidecar's fields.

        Raises:
            PhotoramdError: It cannot be read.
        """
        return self._ask_about(path, "values", (content, path), dict[str, tuple[str, ...]])

    def judge_orphan(self, content: bytes, path: Path, seeds: Sequence[str]) -> str | None:
        """See `photoramd.metadata.orphan.judge`.

        Raises:
            PhotoramdError: It cannot be read.
        """
        arguments = (content, path, tuple(seeds))
        (found,) = self._ask_about(path, "judge_orphan", arguments, tuple[str | None])
        return found

    def _ask_about(self, path: Path, name: str, arguments: Sequence[object], kind: type[T]) -> T:
        return self._call(path, Task(name, arguments), kind, self.is_wanted)

    def _call(
        self,
        path: Path,
        task: Task,
        kind: type[T],
        is_wanted: Callable[[], bool] | None = None,
    ) -> T:
        try:
            return self._pool.call(task, kind, is_wanted)
        except PhotoramdError as error:
            if error.path is None:
                error.path = os.fspath(path)
            raise


@cache
def shared() -> Contained:
    """Return workers that commands share which do one thing after another."""
    contained = Contained()
    atexit.register(contained.close)
    return contained


@contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _open_photo(photo: Path) -> int:
    try:
        return open_read(photo)
    except (OSError, ValueError) as error:
        raise DecodeError(why_not_opened(error), path=photo) from error


@contextmanager
def _photo_if_there(photo: Path) -> Iterator[dict[str, int]]:
    """Open a photo for a task which may need it; without it, the task says so."""
    fd = None
    with suppress(OSError, ValueError):
        fd = open_read(photo)
    try:
        yield {} if fd is None else {os.fspath(photo): fd}
    finally:
        if fd is not None:
            os.close(fd)


def _reading(found: Read, beside: Beside | None) -> Reading:
    sidecar = None if beside is None else (beside.path, beside.mtime_ns)
    return Reading(found.look, found.inside, found.beside, sidecar, found.fingerprint)


def _reserving(reserve: Callable[[int], object]) -> Answers:
    return {"reserve": lambda needed: reserve(msgspec.convert(needed, _Bytes))}


def _modules_of(crop: Crop) -> tuple[str, ...]:
    return (type(crop).__module__,)


# --- ExifTool for workers ---

_EXTENSIONS = frozenset({"jpg", "png", "webp", "tif", "heic", "avif"})
_TAGS = frozenset({"Main:XMP", "IPTC", "Photoshop:IPTCDigest"})
_LISTS = frozenset({"IPTC:Keywords"})
_OPTIONS = {
    "describe": frozenset(
        {
            "-G3:4:1", "-a", "-u", "-ee", "-struct", "-b", "-Preview:all", "--Main:XMP:all",
            "--IPTC:all", "--Photoshop:IPTCDigest", "--System:all", "--File:all",
            "--Composite:all", "--ExifTool:all",
        }
    ),
    "rewrite": frozenset(
        {
            "-IPTC:all=", "-IPTC:Keywords=", "-IPTC:CodedCharacterSet=UTF8",
            "-IPTC:CodedCharacterSet=", "-Photoshop:IPTCDigest=new",
        }
    ),
}  # fmt: skip
"""All that planning asks for. A worker that a file has taken over gets nothing else done."""


def _command(exiftool: ExifTool, fd: int, asked: object) -> object:
    """Do for the task of one photo what it asks of ExifTool.

    Raises:
        ValueError: No plan needs that.
        PhotoramdError: As ExifTool does, about no path: it does not know the photo's.
    """
    try:
        return _done(exiftool, fd, asked)
    except PhotoramdError as error:
        error.path = None
        raise


def _done(exiftool: ExifTool, fd: int, asked: object) -> object:
    request = exiftool_request(asked)
    is_known = (
        request.extension in _EXTENSIONS
        and request.lists.keys() <= _LISTS
        and _OPTIONS.get(request.command, frozenset()).issuperset(request.options)
    )
    if not is_known:
        raise ValueError(f"a command of ExifTool: {request.command}")
    extension = request.extension
    if request.command == "copy":
        exiftool.copy(request.data, extension)
        return None
    # By the descriptor: whatever has this name by now, ExifTool reads the file that was opened.
    file = exiftool.copied(extension) if request.is_copy else Path(f"/proc/{os.getpid()}/fd/{fd}")
    if request.command == "describe":
        return exiftool.describe(file, extension, request.options)
    if request.command == "rewrite":
        changes = Changes(request.xmp, dict(request.lists), request.options)
        return exiftool.rewrite(file, extension, changes)
    if request.command != "block" or request.tag not in _TAGS:
        raise ValueError(f"a command of ExifTool: {request.command} {request.tag}")
    return exiftool.block(file, extension, request.tag, is_every=request.is_every)
