"""Keywords inside of photos: whether it is safe, the new bytes, and proof that they are right.

Nothing is written here: a plan holds the photo's new bytes, and `replace` puts them in its
place. What cannot be done without a risk is refused with a reason (`EmbeddingError`), and
the keywords go into a sidecar instead.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from photoramd.errors import (
    ChangedError,
    EmbeddingError,
    SidecarError,
    WriteError,
)
from photoramd.images.formats import HEAD_BYTES, describe, recognise, suffix
from photoramd.metadata import containers, delta, embedded, iptc
from photoramd.metadata.changes import Change, Place, Recorded
from photoramd.metadata.containers import Layout
from photoramd.metadata.embedded import UnreadableError
from photoramd.metadata.exiftool import Changes, ExifTool
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.iptc import IptcPlan
from photoramd.metadata.merge import Merged, merge
from photoramd.metadata.plan import Origin, Plan
from photoramd.metadata.verify import asked, iptc_record, layout_of, verify
from photoramd.metadata.xmp_keywords import holds_nothing, values
from photoramd.photo import Fingerprint, Tag
from photoramd.system import file_attributes

MAX_XMP_BYTES = 64_000
"""A JPEG holds 65,502 bytes of XMP in one part; readers of further parts are rare."""

MAX_FILE_BYTES = 256 << 20
"""Photos are verified in memory."""


_EXTENSIONS = {
    "JPEG": ("jpg", {".jpg", ".jpeg", ".jpe", ".jfif"}),
    "PNG": ("png", {".png"}),
    "WEBP": ("webp", {".webp"}),
    "TIFF": ("tif", {".tif", ".tiff"}),
    "HEIF": ("heic", {".heic", ".heif", ".hif"}),
    "AVIF": ("avif", {".avif"}),
}
"""For each format how ExifTool is told of it, and the suffixes it may have."""

_TRACED = {"TIFF", "HEIF", "AVIF"}
"""Formats that ExifTool writes anew, so that they are not the same when XMP is taken out."""


def plan_photo(
    photo: Path,
    tags: Sequence[Tag],
    origin: Origin,
    now: float,
    recorded: Recorded,
    exiftool: ExifTool,
    *,
    known: Fingerprint | None = None,
    create: Collection[str] = (),
    is_undo: bool = False,
) -> Plan:
    """What a photo should become: the union of what is in it and the tags.

    Args:
        photo: The photo.
        tags: Its keywords, the surest first; none takes everything of ours out.
        origin: Who gives them.
        now: Unix seconds.
        recorded: What the ledger has of the photo itself.
        exiftool: Writes the copy.
        known: What the photo must look like; None: as it does.
        create: Hierarchical fields to make where they are not.
        is_undo: See `merge.merge`.

    Raises:
        EmbeddingError: It would not be safe; nothing is wrong with the photo.
        ChangedError: It is being written by another program, or is not what was tagged.
        ToolError: ExifTool is missing, refused, took too long or died.
        WriteError: No room for a temporary copy.
    """
    data, fingerprint = _read(photo)
    if known is not None and fingerprint != known:
        raise ChangedError("it changed since it was tagged", path=photo)
    format_ = _format(photo, data)
    parts = layout_of(photo, data, format_) if containers.is_known(format_) else None
    if parts.is_signed if parts is not None else containers.is_signed(data):
        raise EmbeddingError("it has content credentials, which would be broken", path=photo)
    packet = _packet(photo, parts, format_, exiftool)
    try:
        merged = merge(
            packet,
            tags,
            recorded,
            create=create,
            others=lambda: embedded.read_keywords(photo),
            mark=lambda tag, fields: origin.mark(tag, fields, now),
            is_undo=is_undo,
            path=photo,
        )
    except SidecarError as error:
        raise EmbeddingError(f"its XMP cannot be added to: {error.message}", path=photo) from error
    ours = _machines(recorded, merged)
    present = values(merged.content)[SUBJECT.name] if ours and merged.content else ()
    users = [word for word in present if word not in ours]
    record, digest = _iptc(photo, parts, format_, exiftool)
    given_up = merged.given_up.get(SUBJECT.name, ())
    planned = _plan_iptc(photo, format_, record, digest, ours, users, given_up, recorded, create)
    plan = Plan(
        photo,
        None,
        fingerprint,
        Place.PHOTO,
        change=_joined(merged.change, planned.change),
        rejected={**merged.rejected, **planned.rejected},
    )
    changes = _changes(photo, merged, planned)
    if changes is None:
        return plan
    is_traced = format_ in _TRACED or planned.keywords is not None
    original = _original(data, packet, recorded, is_traced=is_traced)
    if original is not None and changes.xmp == b"":
        new = original
    else:
        new = _rewritten(photo, data, format_, changes, exiftool)
    verify(photo, parts, new, format_, _EXTENSIONS[format_][0], packet, changes, exiftool)
    change = _joined(plan.change, _restoration(photo, original, new, recorded))
    return replace(plan, content=new, change=change)


def _original(
    data: bytes, packet: bytes | None, recorded: Recorded, *, is_traced: bool
) -> bytes | None:
    """A file as it was before it got XMP, where ExifTool would leave a trace of that."""
    remembered = recorded.added.get(delta.FIELD)
    if remembered:
        return delta.restore(remembered[0], data)
    return data if is_traced and packet is None else None


def _restoration(photo: Path, original: bytes | None, new: bytes, recorded: Recorded) -> Change:
    """What the ledger is to remember of the original from now on."""
    old = recorded.added.get(delta.FIELD, ())
    removed = {delta.FIELD: old} if old else {}
    if original is None or original == new:
        return Change(removed=removed)
    text = delta.remember(original, new)
    if text is None:
        raise EmbeddingError("it could not be given back as it is", path=photo)
    return Change({delta.FIELD: (text,)}, removed=removed)


def _machines(recorded: Recorded, merged: Merged) -> list[str]:
    """The machine's keywords in ``dc:subject`` afterwards."""
    name = SUBJECT.name
    gone = (*merged.change.removed.get(name, ()), *merged.rejected.get(name, ()))
    kept = [word for word in recorded.added.get(name, ()) if word not in gone]
    return [*kept, *merged.change.added.get(name, ())]


def _joined(first: Change, second: Change) -> Change:
    return Change(
        {**first.added, **second.added},
        {**first.seeded, **second.seeded},
        {**first.removed, **second.removed},
    )


def _changes(photo: Path, merged: Merged, planned: IptcPlan) -> Changes | None:
    """What ExifTool is to do; None: nothing."""
    packet: bytes | None = None
    if merged.is_changed and merged.content is not None:
        packet = b"" if _is_ours_and_spent(merged.content, photo) else merged.content
        if len(packet) > MAX_XMP_BYTES:
            raise EmbeddingError(f"its XMP would be over {MAX_XMP_BYTES:,} bytes", path=photo)
    options = list(planned.options)
    lists: dict[str, Sequence[str]] = {}
    if planned.is_removed:
        options.append("-IPTC:all=")
    elif planned.keywords:
        lists[iptc.FIELD] = planned.keywords
    elif planned.keywords is not None:
        options.append(f"-{iptc.FIELD}=")
    if packet is None and planned.keywords is None:
        return None
    return Changes(packet, lists, options)


def _iptc(
    photo: Path, parts: Layout | None, format_: str, exiftool: ExifTool
) -> tuple[bytes | None, bytes | None]:
    """The photo's IPTC record, and the digest that is recorded of it."""
    if parts is not None:
        return parts.iptc, parts.iptc_digest
    if format_ != "TIFF":
        return None, None
    extension = _EXTENSIONS[format_][0]
    record = iptc_record(photo, photo, extension, exiftool)
    if record is None:
        return None, None
    text = asked(photo, lambda: exiftool.block(photo, extension, "Photoshop:IPTCDigest"))
    try:
        return record, bytes.fromhex(text.decode("ascii").strip()) or None
    except ValueError:
        return record, None


def _plan_iptc(
    photo: Path,
    format_: str,
    record: bytes | None,
    digest: bytes | None,
    ours: Sequence[str],
    users: Sequence[str],
    given_up: Sequence[str],
    recorded: Recorded,
    create: Collection[str],
) -> IptcPlan:
    if format_ not in ("JPEG", "TIFF"):
        return IptcPlan()
    try:
        is_wanted = iptc.FIELD in create
        return iptc.plan(record, digest, ours, users, recorded, given_up, create=is_wanted)
    except UnreadableError as error:
        raise EmbeddingError(f"its IPTC is damaged: {error}", path=photo) from error


def _read(photo: Path) -> tuple[bytes, Fingerprint]:
    """The photo's bytes, after a look at whether it may be replaced at all."""
    try:
        fd = os.open(photo, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ChangedError("it is not there", path=photo) from error
    except OSError as error:
        raise EmbeddingError(f"it cannot be opened ({error.strerror})", path=photo) from error
    with os.fdopen(fd, "rb") as file:
        before = os.fstat(fd)
        _require_replaceable(photo, fd, before)
        try:
            data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            code = error.errno or 0
            raise WriteError(f"cannot be read ({error.strerror})", code, path=photo) from error
        after = os.fstat(fd)
    if len(data) > MAX_FILE_BYTES:
        raise EmbeddingError(f"it is over {MAX_FILE_BYTES >> 20} MiB", path=photo)
    if not Fingerprint.of(after).is_stable_since(Fingerprint.of(before)):
        raise ChangedError("it changed while it was read", path=photo)
    return data, Fingerprint.of(after)


def _require_replaceable(photo: Path, fd: int, status: os.stat_result) -> None:
    reason = None
    if not stat.S_ISREG(status.st_mode):
        reason = "it is no regular file"
    elif status.st_nlink > 1:
        reason = "it has several hard links, which replacing it would part"
    elif not status.st_mode & 0o222:
        reason = "it is read-only"
    elif os.geteuid() not in (0, status.st_uid):
        reason = "it belongs to another user, whom a new file cannot be given to"
    elif file_attributes.is_locked(fd):
        reason = "it is immutable or append-only (lsattr)"
    if reason is not None:
        raise EmbeddingError(reason, path=photo)


def _format(photo: Path, data: bytes) -> str:
    format_ = recognise(data[:HEAD_BYTES])
    if format_ is None:
        raise EmbeddingError(describe(data[:HEAD_BYTES]), path=photo)
    if format_ not in _EXTENSIONS:
        raise EmbeddingError(f"keywords are not written into {format_} files", path=photo)
    ending = suffix(photo.name)
    if ending not in _EXTENSIONS[format_][1]:
        raise EmbeddingError(f"it is named {ending}, but is a {format_} file", path=photo)
    return format_


def _packet(photo: Path, parts: Layout | None, format_: str, exiftool: ExifTool) -> bytes | None:
    """The photo's XMP packet."""
    if parts is None:
        found = asked(photo, lambda: exiftool.block(photo, _EXTENSIONS[format_][0], "XMP"))
        packets: tuple[bytes, ...] = (found,) if found else ()
    else:
        if parts.has_extended_xmp or len(parts.packets) > 1:
            raise EmbeddingError("its XMP is in several parts", path=photo)
        packets = parts.packets
    if packets and len(packets[0]) > MAX_XMP_BYTES:
        raise EmbeddingError(f"its XMP is over {MAX_XMP_BYTES:,} bytes", path=photo)
    return packets[0] if packets else None


def _is_ours_and_spent(packet: bytes, photo: Path) -> bool:
    """Whether a packet was made by us, and nothing is left in it."""
    return b'x:xmptk="photoramd"' in packet and holds_nothing(packet, path=photo)


def _rewritten(
    photo: Path, data: bytes, format_: str, changes: Changes, exiftool: ExifTool
) -> bytes:
    if format_ == "WEBP":
        with Image.open(BytesIO(data)) as image:
            size = image.size
        packet = changes.xmp or b""
        return asked(photo, lambda: containers.rewrite_webp(data, packet, size))
    extension = _EXTENSIONS[format_][0]
    return asked(photo, lambda: exiftool.rewrite(photo, extension, changes))
