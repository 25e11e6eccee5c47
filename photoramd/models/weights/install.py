"""Install models' files in the store: fetch them, or copy the user's own."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from photoramd.errors import ModelError, UsageError
from photoramd.models.weights import verified
from photoramd.models.weights.catalog import MODELS, Model, PinnedFile
from photoramd.models.weights.converted import CALIBRATION_SUFFIX
from photoramd.models.weights.download import Downloader
from photoramd.models.weights.store import ModelStore, store_error
from photoramd.models.weights.verified import Progress, WrongBytesError
from photoramd.system.files import write_all

RESERVE_BYTES = 64 * 2**20
"""The space that is left free: the database may be on the same disk."""

_CHUNK_BYTES = 1 << 20

Begin = Callable[[str, int, int], Progress]
"""Called when something long begins, with what it is in a few words, how many bytes are done
already, and how many there are in all."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A file that is in its place, verified.

    Attributes:
        pin: Which file.
        path: Where it is.
        how: How it came there: ``kept`` if it was there already.
    """

    pin: PinnedFile
    path: Path
    how: Literal["kept", "fetched", "imported"]


def nothing(_what: str, _done_bytes: int, _total_bytes: int) -> Progress:
    """Return a `Begin` that shows nothing."""
    return lambda _bytes: None


def fetch(
    model: Model,
    store: ModelStore,
    downloader: Downloader,
    begin: Begin = nothing,
    *,
    has_weights: bool = True,
) -> Iterator[Installed]:
    """Fetch the files of a model that are missing or wrong; yield each when it is in place.

    Args:
        model: The model.
        store: Where its files are kept.
        downloader: Fetches them.
        begin: See `Begin`.
        has_weights: Whether the weights are among them; a daemon whose model runs on other
            machines needs the others only.

    Raises:
        IntegrityError: The server's bytes are not the pinned ones, and were deleted; or others
            could change files in the store.
        ModelError: There is not enough space, or the network, the server or the disk failed.
            What was received is kept for the next time.
    """
    store.sweep(_resumable([model]))
    missing = []
    for pin in model.files if has_weights else model.companions:
        path = _right_one(pin, begin)
        if path is None:
            missing.append(pin)
        else:
            yield Installed(pin, path, "kept")
    _check_room(store, sum(pin.needed_bytes - _partial_bytes(store, pin) for pin in missing))
    for pin in missing:
        yield Installed(pin, _fetch(pin, store, downloader, begin), "fetched")


def import_file(
    source: Path, models: Iterable[Model], store: ModelStore, begin: Begin = nothing
) -> tuple[Model, Installed]:
    """Install a copy of a file, which is recognised by its bytes, not by its name.

    Returns:
        The model that it belongs to, and where it is now.

    Raises:
        IntegrityError: It is not a file of any model.
        ModelError: It cannot be read, there is not enough space, or the disk failed.
        UsageError: It is not a regular file.
    """
    models = tuple(models)
    store.sweep(_resumable(models))
    pins = {pin: model for model in models for pin in model.files if pin.folder}
    with _source(source) as (file, size_bytes):
        candidates = [pin for pin in pins if pin.could_have(size_bytes)]
        if not candidates:
            raise _unknown(source, f"{size_bytes:,} bytes", pins)
        _check_room(store, size_bytes)
        partial = f"import-{size_bytes}"
        with store.partial(partial) as copy, _discarded_on_failure(store, partial):
            digest = _copy(file, source, copy, store.partial_path(partial), begin)
            pin = next((pin for pin in candidates if pin.agrees(digest)), None)
            if pin is None:
                raise _unknown(source, f"SHA-256 is {digest}", candidates)
            path = _install(pin, digest, store, partial, copy)
    return pins[pin], Installed(pin, path, "imported")


def _right_one(pin: PinnedFile, begin: Begin) -> Path | None:
    """Return where a file is if it is there and right.

    A file that others could change is an error: fetching it again would not help.
    """
    try:
        path = verified.locate(pin)
    except ModelError:
        if pin.package:
            raise
        return None
    try:
        return verified.verify(pin, begin(f"verify {pin.name}", 0, path.lstat().st_size))
    except WrongBytesError:
        if pin.package:
            raise
        return None
    except OSError as error:
        raise store_error(error, path) from error


def _fetch(pin: PinnedFile, store: ModelStore, downloader: Downloader, begin: Begin) -> Path:
    partial = _partial_name(pin)
    with store.partial(partial) as file:
        have = file.seek(0, os.SEEK_END)
        try:
            downloader.fetch(pin, file, begin(f"fetch {pin.name}", have, pin.needed_bytes))
            digest = _digest(file, store.partial_path(partial), pin, begin)
            if not pin.agrees(digest):
                raise WrongBytesError(
                    f"{pin.name}: SHA-256 is {digest}, expected {pin.sha256}; it was deleted",
                    remedy="run the command again, or copy the file from another machine: "
                    "photoramd model import FILE",
                )
        except WrongBytesError:
            store.discard(partial)
            raise
        return _install(pin, digest, store, partial, file)


def _install(pin: PinnedFile, digest: str, store: ModelStore, partial: str, file: BinaryIO) -> Path:
    if not pin.is_full:
        # First, so that no file is ever without its note.
        store.record(pin.folder, pin.name, digest)
    return store.install(partial, file, pin.folder, pin.name)


def _digest(file: BinaryIO, path: Path, pin: PinnedFile, begin: Begin) -> str:
    progress = begin(f"verify {pin.name}", 0, file.seek(0, os.SEEK_END))
    file.seek(0)
    digest = hashlib.sha256()
    try:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            progress(len(chunk))
    except OSError as error:
        raise store_error(error, path) from error
    return digest.hexdigest()


@contextmanager
def _source(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a user's file for reading; yield it with its size in bytes."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", path=path) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise UsageError("not a file; name the files themselves", path=path)
    with os.fdopen(descriptor, "rb") as file:
        yield file, status.st_size


def _copy(file: BinaryIO, source: Path, copy: BinaryIO, target: Path, begin: Begin) -> str:
    """Copy a file and return the digest of the copy: the original may change meanwhile."""
    progress = begin(f"copy {source.name}", 0, os.fstat(file.fileno()).st_size)
    digest = hashlib.sha256()
    place = target
    try:
        copy.seek(0)
        copy.truncate()
        while True:
            place = source
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                return digest.hexdigest()
            place = target
            write_all(copy.fileno(), chunk)
            digest.update(chunk)
            progress(len(chunk))
    except OSError as error:
        raise store_error(error, place) from error


@contextmanager
def _discarded_on_failure(store: ModelStore, partial: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        store.discard(partial)
        raise


def _check_room(store: ModelStore, needed_bytes: int) -> None:
    if needed_bytes <= 0:
        return
    free_bytes = store.free_bytes()
    if free_bytes < needed_bytes + RESERVE_BYTES:
        raise ModelError(
            f"not enough room: {_size(needed_bytes)} and {_size(RESERVE_BYTES)} in reserve are "
            f"needed, {_size(free_bytes)} are free",
            path=store.root,
            remedy="make room; the directory may be a symbolic link to one on a larger disk",
        )


def _partial_name(pin: PinnedFile) -> str:
    # With the digest: the rest of another version is of no use.
    return f"{pin.name}-{pin.sha256[:16]}"


def _resumable(models: Iterable[Model]) -> Callable[[str], bool]:
    """Return a test for names of files of these or all models, or of a calibration."""
    names = {_partial_name(pin) for model in (*models, *MODELS.values()) for pin in model.files}
    return lambda name: name in names or name.endswith(CALIBRATION_SUFFIX)


def _partial_bytes(store: ModelStore, pin: PinnedFile) -> int:
    try:
        return store.partial_path(_partial_name(pin)).lstat().st_size
    except OSError:
        return 0


def _unknown(source: Path, what: str, pins: Iterable[PinnedFile]) -> WrongBytesError:
    """Return what a file that belongs to no model should have been."""
    pins = tuple(pins)
    expected = [pin for pin in pins if pin.name == source.name] or pins
    about = ("" if pin.size_bytes is not None else "about " for pin in expected)
    lines = (
        f"{pin.name}, {size}{pin.needed_bytes:,} bytes, SHA-256 {pin.sha256}"
        f"{'' if pin.is_full else '…'}"
        for pin, size in zip(expected, about, strict=True)
    )
    return WrongBytesError(
        f"not a file of any model: {what}",
        path=source,
        remedy="expected: " + "; ".join(lines),
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"
