"""Locate weights, and verify that they are the pinned bytes.

Nothing of a file is parsed before all of it was read through one descriptor and its size
and SHA-256 agree with the pin. Small files are then parsed from the same bytes that were
hashed (`read_verified`), large ones from the same descriptor (`open_verified`), those of torch with
its ``weights_only`` unpickler. So replacing a file between check and load has no effect, and a file
that does not agree is refused.

Locating and verifying import neither torch nor the package that carries the weights.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pickle  # only for the error that torch raises  # nosec B403
import stat
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from photoramd.errors import IntegrityError, ModelError
from photoramd.models.weights.catalog import (
    PinnedFile,
)
from photoramd.models.weights.store import open_trusted, search_stores
from photoramd.system.files import open_unfollowed

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK_BYTES = 1 << 20


class WrongBytesError(IntegrityError):
    """A file of the right name has another size or digest; it must be installed again."""


Progress = Callable[[int], object]
"""Called with the number of bytes processed since the last call."""


def locate(pin: PinnedFile) -> Path:
    """Return where a file is: in the package that contains it, else in a model store.

    The user's store comes before the system's. The first that has the name counts, so that a
    bad file is not skipped. Nothing is opened or imported.

    Raises:
        ModelError: It is not installed.
    """
    if pin.package:
        return _locate_in_package(pin)
    paths = [store.path(pin.folder, pin.name) for store in search_stores()]
    for path in paths:
        if os.path.lexists(path):
            return path
    raise ModelError("not installed", path=paths[0], remedy=pin.remedy)


def _locate_in_package(pin: PinnedFile) -> Path:
    """Return where a package keeps a file.

    Some installers link packages' files from a cache instead of copying them, so links are
    resolved here, once. That is safe: the file must have the pinned bytes wherever the path
    leads, so a link can make loading fail but cannot make it load other bytes.
    """
    spec = find_spec(pin.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the package {pin.package} with the weights {pin.name} is not installed",
            remedy=pin.remedy,
        )
    path = Path(spec.submodule_search_locations[0], *pin.member.split("/"))
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError("the weights are missing", path=path, remedy=pin.remedy) from error


def resolve_digest(pin: PinnedFile) -> PinnedFile:
    """Return the pin with its whole digest, which for some was noted when they were installed.

    Raises:
        IntegrityError: Nothing was recorded, or no digest, or not the published one,
            or others could have changed it.
        ModelError: The file is not installed.
    """
    if pin.is_full:
        return pin
    path = locate(pin)
    store = next(each for each in search_stores() if each.path(pin.folder, pin.name) == path)
    digest = store.recorded(pin.folder, pin.name)
    if digest is None:
        raise WrongBytesError(
            "its digest was not noted when it was installed", path=path, remedy=pin.remedy
        )
    _check_digest(digest, path, pin)
    return replace(pin, sha256=digest)


def verify(pin: PinnedFile, progress: Progress | None = None) -> Path:
    """Locate a file and check all its bytes; return its path.

    Raises:
        IntegrityError: Its bytes are not the pinned ones.
        ModelError: It is missing or cannot be read.
    """
    path = locate(pin)
    if pin.package:
        read_verified(path, pin)
        return path
    with open_verified(path, resolve_digest(pin), progress):
        return path


class VerifiedFile:
    """An open file whose bytes were hashed and are the pinned ones.

    A context manager: leaving it without an exception checks that the file was not changed
    since it was hashed, then closes it.

    It guards against another file in its place at any time, because the path is looked up only
    once; against a change in place by an ordinary program such as rsync, which shows in the
    file's times; and against a change by another user, who was found unable to write to it. It
    cannot guard against this user and root, who could change photoramd itself as well.
    A mapped file stays open to them for as long as it is mapped.

    Attributes:
        path: Where it was.
        pin: Its name, size and digest.
        file: The file itself, open for reading, at its beginning.
    """

    def __init__(self, path: Path, pin: PinnedFile, file: BinaryIO) -> None:
        self.path = path
        self.pin = pin
        self.file = file
        self._state = _state(file)

    @property
    def name(self) -> str:
        """A path to the open file itself, wherever its own path leads by now.

        It is for libraries that map files and want a path, and is valid until the file is closed.
        """
        base = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
        return f"{base}/{self.file.fileno()}"

    def check_unchanged(self) -> None:
        """Compare the file's size and times with what they were before it was hashed.

        Raises:
            IntegrityError: They differ.
        """
        if _state(self.file) != self._state:
            raise IntegrityError(
                "was changed while it was being loaded",
                path=self.path,
                remedy=f"try again; if that does not help: {self.pin.remedy}",
            )

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.check_unchanged()
        finally:
            self.close()


def open_verified(path: Path, pin: PinnedFile, progress: Progress | None = None) -> VerifiedFile:
    """Open a file of a model store and hash it whole; use the result in a ``with`` block.

    Memory is bounded by one chunk, whatever the size of the file.

    Args:
        path: Where `locate` found it.
        pin: What the bytes must be, with its whole digest: see `resolve_digest`.
        progress: Called for every chunk.

    Raises:
        IntegrityError: Another size or digest, no regular file, a symbolic link, or others
            could change it.
        ModelError: The file is missing or cannot be read.
        ValueError: The pin has no whole digest.
    """
    _check_full(pin)
    try:
        file = open_trusted(path)
    except OSError as error:
        raise _unreadable(error, path, pin) from error
    try:
        verified = VerifiedFile(path, pin, file)
        _check_size(os.fstat(file.fileno()).st_size, path, pin)
        _check_digest(_digest(file, progress), path, pin)
        file.seek(0)
        verified.check_unchanged()
    except OSError as error:
        file.close()
        raise _unreadable(error, path, pin) from error
    except BaseException:
        file.close()
        raise
    return verified


def read_verified(path: Path, pin: PinnedFile) -> bytes:
    """Read a whole file through one descriptor; return the bytes that were hashed.

    Nothing that happens to the file afterwards matters, so it may belong to anybody.

    Args:
        path: The file itself: a symbolic link as last component is refused.
        pin: What the bytes must be, with its whole digest and its size.

    Raises:
        IntegrityError: Another size or digest, or no regular file.
        ModelError: The file is missing or cannot be read.
        ValueError: The pin has no whole digest.
    """
    _check_full(pin)
    try:
        with open(path, "rb", opener=lambda name, _: open_unfollowed(name)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise IntegrityError("not a regular file", path=path, remedy=pin.remedy)
            _check_size(status.st_size, path, pin)
            # One byte more than expected, to notice a file that has grown since.
            data = file.read(status.st_size + 1)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR}:
            raise IntegrityError("not a regular file", path=path, remedy=pin.remedy) from error
        raise _unreadable(error, path, pin) from error
    _check_size(len(data), path, pin)
    _check_digest(hashlib.sha256(data).hexdigest(), path, pin)
    return data


def load_state_dict(
    source: VerifiedFile, *, key: str | None = None, mmap: bool = False
) -> dict[str, Tensor]:
    """Parse a torch file that holds a flat state dict; imports torch.

    Only tensors and plain containers are built (``weights_only``): a pickle that names
    anything else is refused, not executed.

    Args:
        source: The result of `open_verified`.
        key: The state dict's key, if the file holds a dict around it.
        mmap: Whether to map the tensors instead of reading them.

    Returns:
        Parameter names to tensors on the CPU.

    Raises:
        ModelError: It is not such a file.
    """
    import torch

    file: Any = source.name if mmap else source.file
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
        if key is not None:
            content = content[key]
    except (
        pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, OSError,
    ) as error:  # fmt: skip
        summary = str(error).partition("\n")[0]
        raise ModelError(f"the weights cannot be loaded: {summary}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ModelError("the weights are no state dict")
    return dict(content)


def _state(file: BinaryIO) -> tuple[int, ...]:
    """Return what changes when a file's content does. Of its times, ctime cannot be set back."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(file: BinaryIO, progress: Progress | None) -> str:
    digest = hashlib.sha256()
    chunk = bytearray(_CHUNK_BYTES)
    view = memoryview(chunk)
    while count := file.readinto(chunk):  # type: ignore[attr-defined]
        digest.update(view[:count])
        if progress is not None:
            progress(count)
    return digest.hexdigest()


def _check_full(pin: PinnedFile) -> None:
    if not pin.is_full:
        raise ValueError(f"{pin.name}: a part of a digest is not enough to trust a file")


def _check_digest(digest: str, path: Path, pin: PinnedFile) -> None:
    if not pin.agrees(digest):
        raise WrongBytesError(
            f"SHA-256 is {digest}, expected {pin.sha256}", path=path, remedy=pin.remedy
        )


def _check_size(size_bytes: int, path: Path, pin: PinnedFile) -> None:
    if pin.size_bytes is not None and size_bytes != pin.size_bytes:
        raise WrongBytesError(
            f"{size_bytes:,} bytes, expected {pin.size_bytes:,}", path=path, remedy=pin.remedy
        )


def _unreadable(error: OSError, path: Path, pin: PinnedFile) -> ModelError:
    return ModelError(f"cannot read the weights: {error.strerror}", path=path, remedy=pin.remedy)
