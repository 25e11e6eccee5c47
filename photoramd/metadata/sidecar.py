"""Find the XMP sidecar of a photo, and read it.

Its content is parsed by `xmp_packet`; `system.atomic` puts it on the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from photoramd.errors import ChangedError, SidecarError
from photoramd.images.formats import PHOTO_SUFFIXES, RAW_SUFFIXES, suffix
from photoramd.metadata.changes import NOTHING_RECORDED, Recorded
from photoramd.metadata.xmp_packet import MAX_BYTES
from photoramd.photo import Fingerprint
from photoramd.system import beneath
from photoramd.system.beneath import Directory, open_read
from photoramd.system.write_errors import refuse_unless_plain

_PICTURE_SUFFIXES = PHOTO_SUFFIXES | RAW_SUFFIXES | {".jxl", ".jp2", ".psd"}
"""Pictures that can own an ``IMG.xmp``, whether they can be decoded here or not."""

_XMP_SPELLINGS = (".xmp", ".XMP", ".Xmp")


@dataclass(frozen=True, slots=True)
class Target:
    """The sidecar of a photo: to be updated if it exists, else to be created."""

    path: Path
    exists: bool


def locate(
    photo: Path,
    *,
    names: Sequence[str] | None = None,
    lightroom_names: bool = False,
    known: Path | None = None,
) -> Target:
    """Find the sidecar of a photo, or the name of the one to create.

    1. An existing ``IMG.EXT.xmp``.
    2. Else an existing ``IMG.xmp``, if the photo is the only RAW or the only photo with
       that stem, or if this RAW's keywords were written there when it was. Beside a RAW it
       belongs to the RAW.
    3. Else ``IMG.EXT.xmp`` is to be created.

    ``.XMP`` counts too. The directory is only listed when there is an ``IMG.xmp`` and no
    ``IMG.EXT.xmp``, so a directory of many photos costs a few ``lstat`` calls each.

    Args:
        photo: The photo.
        names: The names in its directory, or those that begin with its stem, if known.
        lightroom_names: Create ``IMG.xmp`` for a RAW if no other RAW has that stem.
        known: The sidecar that the photo had when it was last written.

    Raises:
        SidecarError: The sidecar is a symbolic link, a hard link or no regular file, so
            that writing it would reach further than the photo's directory.
    """
    try:
        directory = Directory(photo.parent)
    except (FileNotFoundError, NotADirectoryError):
        # Whether a photo that is gone had a sidecar cannot be told.
        return Target(photo.with_name(f"{photo.name}.xmp"), exists=False)
    except OSError as error:
        raise _unreadable(photo.parent, error) from error
    with directory:
        return _located(photo, directory, names, known, lightroom_names=lightroom_names)


def _located(
    photo: Path,
    directory: Directory,
    names: Sequence[str] | None,
    known: Path | None,
    *,
    lightroom_names: bool,
) -> Target:
    if (own := _find(directory, photo.name)) is not None:
        return _plain(own)
    new = Target(photo.with_name(f"{photo.name}.xmp"), exists=False)
    shared = _find(directory, photo.stem)
    is_raw = suffix(photo.name) in RAW_SUFFIXES
    if shared is None and not (lightroom_names and is_raw):
        return new
    if shared is not None and is_raw and shared[0] == known:
        return _plain(shared)
    if not _owns_stem(photo.name, _list(directory) if names is None else names):
        return new
    if shared is not None:
        return _plain(shared)
    return Target(photo.with_name(f"{photo.stem}.xmp"), exists=False)


def read(path: Path) -> tuple[bytes, Fingerprint]:
    """Return the content of a sidecar and its fingerprint.

    Raises:
        SidecarError: It cannot be read, is over 1 MiB or must not be replaced.
        ChangedError: It went away, or changed while it was read.
    """
    try:
        fd = open_read(path)
    except FileNotFoundError as error:
        raise ChangedError("the sidecar is gone", path=path) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        before = os.fstat(fd)
        refuse_unless_plain(path, before)
        data = b""
        while chunk := os.read(fd, MAX_BYTES + 1 - len(data)):
            data += chunk
        after = os.fstat(fd)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(fd)
    if not Fingerprint.of(after).is_stable_since(Fingerprint.of(before)):
        raise ChangedError("the sidecar is being written by another program", path=path)
    return data, Fingerprint.of(after)


@dataclass(frozen=True, slots=True)
class KnownSidecar:
    """What the ledger has of a photo's sidecar.

    Attributes:
        path: The one that was written last, if any.
        created: Whether photoramd made it.
        recorded: What was added to it.
    """

    path: Path | None = None
    created: bool = False
    recorded: Recorded = NOTHING_RECORDED


@dataclass(frozen=True, slots=True)
class Found:
    """A photo's sidecar as it is now.

    Attributes:
        target: Which it is, or would be.
        content: Its bytes; None if there is none.
        fingerprint: Of the file that they were read from.
        is_left: Whether it is the one that was written last, which no longer is the photo's; what
            is ours is to be taken out of it.
        has_photo: Whether the photo is there.
    """

    target: Target
    content: bytes | None = None
    fingerprint: Fingerprint | None = None
    is_left: bool = False
    has_photo: bool = True


def find(
    photo: Path, known: KnownSidecar, *, is_undo: bool = False, lightroom_names: bool = False
) -> Found:
    """Find and read the sidecar of a photo that is to be written next.

    Args:
        photo: The photo.
        known: What the ledger has of its sidecar.
        is_undo: Whether what is ours is taken out wherever it is.
        lightroom_names: See `locate`.

    Raises:
        SidecarError: It cannot be read, or must not be written.
        ChangedError: It is being written by another program.
    """
    target = locate(photo, known=known.path, lightroom_names=lightroom_names)
    is_left = False
    if known.path is not None and known.path != target.path and beneath.exists(known.path):
        # Ours is there, though another sidecar takes precedence now, or it is another photo's.
        is_left = is_undo or not known.recorded.is_empty
        target = Target(known.path, exists=True) if is_left else target
    has_photo = beneath.exists(photo)
    if not target.exists:
        return Found(target, is_left=is_left, has_photo=has_photo)
    return Found(target, *read(target.path), is_left, has_photo)


def _find(directory: Directory, base: str) -> tuple[Path, os.stat_result] | None:
    for spelling in _XMP_SPELLINGS:
        name = f"{base}{spelling}"
        path = directory.path / name
        try:
            status = directory.look(name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise _unreadable(path, error) from error
        if status is not None:
            return path, status
    return None


def _plain(found: tuple[Path, os.stat_result]) -> Target:
    refuse_unless_plain(*found)
    return Target(found[0], exists=True)


def _list(directory: Directory) -> list[str]:
    try:
        return directory.names()
    except OSError as error:
        raise _unreadable(directory.path, error) from error


def _owns_stem(photo: str, names: Iterable[str]) -> bool:
    """Return whether ``IMG.xmp`` is the sidecar of that photo and of no other one.

    Case is ignored: on a file system that ignores it, ``img.jpg`` shares the sidecar too.
    """
    stem = os.path.splitext(photo)[0].casefold()
    rivals = RAW_SUFFIXES if suffix(photo) in RAW_SUFFIXES else _PICTURE_SUFFIXES
    for name in names:
        folded = name.casefold()
        if not folded.startswith(stem) or name == photo:
            continue
        other, extension = os.path.splitext(folded)
        # A photo "IMG.JPG" owns the "IMG.JPG.xmp" that "IMG.JPG.tif" would share.
        if folded == stem or (other == stem and extension in rivals):
            return False
    return True


def _unreadable(path: Path, error: OSError) -> SidecarError:
    if error.errno == errno.ELOOP:
        with suppress(OSError):
            refuse_unless_plain(path, beneath.look(path))
    return SidecarError(
        f"cannot be read ({error.strerror})",
        path=path,
        remedy="let the user that photoramd runs as read it",
    )


SIDECAR_SUFFIX = ".xmp"
