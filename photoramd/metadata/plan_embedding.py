"""Plan keywords inside a photo: whether it is safe, the new bytes, and their verification.

Nothing is written here: a plan holds the photo's new bytes, and `replace` puts them in its
place. What cannot be done without a risk is refused with a reason (`EmbeddingError`), and
the keywords go into a sidecar instead.
"""

from __future__ import annotations

import os
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
from photoramd.metadata.containers import UnreadableError
from photoramd.metadata.exiftool import Changes, Editor
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.iptc import IptcPlan, IptcState
from photoramd.metadata.merge import Merged, merge
from photoramd.metadata.plan import Plan, PlanRequest
from photoramd.metadata.replaceable import open_replaceable
from photoramd.metadata.verify import PHOTOS_XMP, Original, asked, iptc_record, layout_of, verify
from photoramd.metadata.xmp_keywords import holds_nothing, values
from photoramd.metadata.xmp_packet import Packet
from photoramd.photo import Fingerprint

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

_OUR_TOOLKIT = b'x:xmptk="photoramd"'
"""In a packet that photoramd made and no other program has written since."""


def plan_photo(
    request: PlanRequest,
    recorded: Recorded,
    exiftool: Editor,
    *,
    known: Fingerprint | None = None,
) -> Plan:
    """Plan what a photo should become: what is in it, merged with the tags.

    Args:
        request: The keywords that it should have.
        recorded: What the ledger has of the photo itself.
        exiftool: Writes the copy.
        known: The fingerprint it must have; None accepts any.

    Raises:
        EmbeddingError: It would not be safe; nothing is wrong with the photo.
        ChangedError: It is being written by another program, or is not what was tagged.
        ToolError: ExifTool is missing, refused, took too long or died.
        WriteError: No room for a temporary copy.
    """
    photo = request.photo
    original = _load(photo, known)
    if _is_signed(original):
        raise EmbeddingError("it has content credentials, which would be broken", path=photo)
    packet = _packet(original, exiftool)
    try:
        merged = merge(
            None if packet is None else Packet(packet, photo, name="its XMP"),
            request.merge_request(recorded, lambda: embedded.read_keywords(photo)),
            path=photo,
        )
    except SidecarError as error:
        raise EmbeddingError(error.message, path=photo) from error
    planned = _plan_iptc(original, merged, request.create, recorded, exiftool)
    plan = Plan(
        photo,
        None,
        original.fingerprint,
        Place.PHOTO,
        change=_joined(merged.change, planned.change),
        rejected={**merged.rejected, **planned.rejected},
    )
    changes = _changes(photo, merged, planned)
    if changes is None:
        return plan
    base = _base(original, packet, recorded)
    new = None
    if base is not None and not _machines(recorded, merged):
        new = _if_proven(original, base, packet, changes, exiftool)
    if new is None:
        new = _rewritten(original, changes, exiftool)
        verify(original, new, packet, changes, exiftool)
    change = _joined(plan.change, _restoration(original, base, new, recorded))
    return replace(plan, content=new, change=change)


def _load(photo: Path, known: Fingerprint | None) -> Original:
    data, fingerprint = _read(photo)
    if known is not None and fingerprint != known:
        raise ChangedError("it changed since it was tagged", path=photo)
    format_ = _format(photo, data)
    parts = layout_of(photo, data, format_) if containers.is_known(format_) else None
    return Original(photo, data, fingerprint, format_, _EXTENSIONS[format_][0], parts)


def _is_signed(original: Original) -> bool:
    if original.parts is not None:
        return original.parts.is_signed
    return containers.is_signed(original.data)


def _base(original: Original, packet: bytes | None, recorded: Recorded) -> bytes | None:
    """Return the file as it was before anything of ours was in it; None if that is unknown."""
    if remembered := recorded.added.get(delta.FIELD):
        return delta.restore(remembered[0], original.data)
    if packet is not None and _OUR_TOOLKIT in packet:
        return _without_packet(original, original.data)
    return original.data if recorded.is_empty else None


def _if_proven(
    original: Original, new: bytes, packet: bytes | None, changes: Changes, exiftool: Editor
) -> bytes | None:
    """Return new bytes if they have the wanted changes and no others; else None."""
    if new == original.data:
        return None
    try:
        verify(original, new, packet, changes, exiftool)
    except EmbeddingError:
        return None
    return new


def _without_packet(original: Original, data: bytes) -> bytes | None:
    """Return the bytes of such a photo without XMP; None if only ExifTool can remove it."""
    if original.format == "WEBP":
        return _webp_with(b"", original.photo, data)
    if original.parts is None:
        return None
    return asked(original.photo, lambda: containers.without_packet(data, original.format))


def _webp_with(packet: bytes, photo: Path, data: bytes) -> bytes:
    """Return the bytes of a WebP with another packet; an empty one removes it."""
    with Image.open(BytesIO(data)) as image:
        size = image.size
    return asked(photo, lambda: containers.rewrite_webp(data, packet, size))


def _restoration(original: Original, base: bytes | None, new: bytes, recorded: Recorded) -> Change:
    """Return what the ledger should remember of the file as it was, from now on."""
    old = recorded.added.get(delta.FIELD, ())
    removed = {delta.FIELD: old} if old else {}
    if base is None or base in (new, _without_packet(original, new)):
        return Change(removed=removed)
    text = delta.remember(base, new)
    if text is None:
        raise EmbeddingError("it could not be given back as it is", path=original.photo)
    return Change({delta.FIELD: (text,)}, removed=removed)


def _machines(recorded: Recorded, merged: Merged) -> list[str]:
    """Return the machine's keywords in ``dc:subject`` afterwards."""
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
    """Return what ExifTool should change; None if nothing."""
    packet: bytes | None = None
    if merged.is_changed and merged.packet is not None:
        # ExifTool would put the end of its wrapper behind zeros.
        packet = b"" if _is_ours_and_spent(merged.packet) else merged.packet.trimmed
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


def _iptc_state(original: Original, exiftool: Editor) -> IptcState:
    if original.parts is not None:
        return IptcState(original.parts.iptc, original.parts.iptc_digest)
    if original.format != "TIFF":
        return IptcState()
    photo, extension = original.photo, original.extension
    record = iptc_record(photo, photo, extension, exiftool)
    if record is None:
        return IptcState()
    text = asked(photo, lambda: exiftool.block(photo, extension, "Photoshop:IPTCDigest"))
    try:
        return IptcState(record, bytes.fromhex(text.decode("ascii").strip()) or None)
    except ValueError:
        return IptcState(record)


def _plan_iptc(
    original: Original,
    merged: Merged,
    create: Collection[str],
    recorded: Recorded,
    exiftool: Editor,
) -> IptcPlan:
    state = _iptc_state(original, exiftool)
    if original.format not in ("JPEG", "TIFF"):
        return IptcPlan()
    ours = _machines(recorded, merged)
    present = values(merged.packet)[SUBJECT.name] if ours and merged.packet is not None else ()
    users = [word for word in present if word not in ours]
    given_up = merged.given_up.get(SUBJECT.name, ())
    try:
        return iptc.plan(state, ours, users, recorded, given_up, create=iptc.FIELD in create)
    except UnreadableError as error:
        raise EmbeddingError(f"its IPTC is damaged: {error}", path=original.photo) from error


def _read(photo: Path) -> tuple[bytes, Fingerprint]:
    """Return the photo's bytes, after checking that it may be replaced."""
    fd = open_replaceable(photo)
    with os.fdopen(fd, "rb") as file:
        before = os.fstat(fd)
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


def _packet(original: Original, exiftool: Editor) -> bytes | None:
    """Return the photo's XMP packet; None if there is none."""
    photo, parts = original.photo, original.parts
    if parts is None:
        found = asked(photo, lambda: exiftool.block(photo, original.extension, PHOTOS_XMP))
        packets: tuple[bytes, ...] = (found,) if found else ()
    else:
        if parts.has_extended_xmp or len(parts.packets) > 1:
            raise EmbeddingError("its XMP is in several parts", path=photo)
        packets = parts.packets
    if packets and len(packets[0]) > MAX_XMP_BYTES:
        raise EmbeddingError(f"its XMP is over {MAX_XMP_BYTES:,} bytes", path=photo)
    return packets[0] if packets else None


def _is_ours_and_spent(packet: Packet) -> bool:
    """Return whether photoramd made a packet and nothing is left in it."""
    return _OUR_TOOLKIT in packet.data and holds_nothing(packet)


def _rewritten(original: Original, changes: Changes, exiftool: Editor) -> bytes:
    photo, data = original.photo, original.data
    if changes.xmp == b"" and not changes.lists and not changes.options:
        removed = _without_packet(original, data)
        if removed is not None:
            return removed
    if original.format == "WEBP":
        return _webp_with(changes.xmp or b"", photo, data)
    return asked(photo, lambda: exiftool.rewrite(photo, original.extension, changes))
