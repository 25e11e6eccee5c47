"""What is to become of a photo's files: plans, made without writing anything."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from photoramd.errors import ChangedError
from photoramd.keywords import fold
from photoramd.metadata import embedded, sidecar
from photoramd.metadata.changes import Recorded
from photoramd.metadata.merge import merge
from photoramd.metadata.plan import Origin, Plan
from photoramd.metadata.xmp_keywords import holds_nothing
from photoramd.metadata.xmp_packet import EMPTY_PACKET
from photoramd.photo import Fingerprint, Tag


def plan_sidecar(
    photo: Path,
    tags: Sequence[Tag],
    origin: Origin,
    now: float,
    recorded: Recorded | None = None,
    *,
    embedded_ours: Collection[str] = (),
    create: Collection[str] = (),
    created: bool = False,
    known: Path | None = None,
    lightroom_names: bool = False,
    is_undo: bool = False,
) -> Plan:
    """What a photo's sidecar should become: the union of what is there and the tags.

    Args:
        photo: The photo.
        tags: Its keywords, the surest first; none takes everything of ours out.
        origin: Who gives them.
        now: Unix seconds.
        recorded: What the ledger has of the sidecar.
        embedded_ours: The keywords inside the photo that are ours.
        create: Hierarchical fields to make where they are not.
        created: Whether photoramd made the sidecar that was written last.
        known: Where that is.
        lightroom_names: Whether a new sidecar of a RAW is ``IMG.xmp``.
        is_undo: See `merge.merge`.

    Raises:
        SidecarError: The sidecar cannot be read, or must not be written.
        ChangedError: It is being written by another program.
    """
    recorded = recorded or Recorded()
    target = sidecar.locate(photo, known=known, lightroom_names=lightroom_names)
    is_elsewhere = known is not None and known != target.path and os.path.lexists(known)
    is_left = is_elsewhere and (is_undo or not recorded.is_empty)
    if known is not None and is_left:
        # Ours is there, though another sidecar goes before it now, or it is another photo's.
        target, tags = sidecar.Target(known, exists=True), ()
    is_another = target.path != known
    content: bytes | None = None
    expected: Fingerprint | None = None
    if target.exists:
        content, expected = sidecar.load(target.path)
    elif not tags and recorded.is_empty:
        return Plan()
    elif not os.path.lexists(photo):
        # A directory that is not mounted looks like this: what is recorded stays recorded.
        raise ChangedError(
            "it is not there", path=photo, remedy="mount its directory, if it is elsewhere"
        )
    ours = set(map(fold, embedded_ours))

    def others() -> list[str]:
        # A sidecar with the machine's keywords alone would hide the photo's own from
        # programs that read the sidecar in place of the photo.
        return [word for word in embedded.read_keywords(photo) if fold(word) not in ours]

    merged = merge(
        content,
        tags,
        replace(recorded, is_of_another=is_another),
        create=create,
        others=others,
        mark=lambda tag, fields: origin.mark(tag, fields, now),
        is_undo=is_undo,
        path=target.path,
    )
    # Another sidecar than the one we made is not ours.
    is_ours = not target.exists or (created and not is_another)
    path = target.path if target.exists or merged.content is not None else None
    plan = Plan(
        path,
        merged.content if merged.is_changed else None,
        expected,
        change=merged.change,
        rejected=merged.rejected,
        created=is_ours,
        outcome="again" if is_left and not is_undo else "written",
    )
    if expected is None or merged.content is None or not _is_spent(merged.content, is_ours, path):
        return plan
    if not merged.is_changed and recorded.is_empty:
        return plan  # it was empty before, whoever made it
    return replace(plan, content=None, created=False, is_removal=True)


def _is_spent(content: bytes, is_ours: bool, path: Path | None) -> bool:
    """Whether a sidecar is ours and nothing is left in it."""
    return content == EMPTY_PACKET or (is_ours and holds_nothing(content, path=path))
