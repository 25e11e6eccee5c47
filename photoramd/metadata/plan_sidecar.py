"""Plan what a photo's sidecar should become, without writing anything."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from photoramd.errors import ChangedError
from photoramd.keywords import fold
from photoramd.metadata import embedded, sidecar
from photoramd.metadata.changes import NOTHING_RECORDED, Recorded, WriteOutcome
from photoramd.metadata.merge import merge
from photoramd.metadata.plan import Plan, PlanRequest
from photoramd.metadata.xmp_keywords import holds_nothing
from photoramd.metadata.xmp_packet import EMPTY_PACKET, Packet
from photoramd.photo import Fingerprint


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


def plan_sidecar(
    request: PlanRequest,
    known: KnownSidecar | None = None,
    *,
    embedded_ours: Collection[str] = (),
    lightroom_names: bool = False,
) -> Plan:
    """Plan a photo's sidecar: what is there, merged with the tags.

    Args:
        request: The keywords that the photo should have.
        known: What the ledger has of its sidecar.
        embedded_ours: The keywords inside the photo that are ours.
        lightroom_names: Whether a new sidecar of a RAW is ``IMG.xmp``.

    Raises:
        SidecarError: The sidecar cannot be read, or must not be written.
        ChangedError: It is being written by another program.
    """
    known = known or KnownSidecar()
    photo, recorded = request.photo, known.recorded
    target = sidecar.locate(photo, known=known.path, lightroom_names=lightroom_names)
    is_elsewhere = (
        known.path is not None and known.path != target.path and os.path.lexists(known.path)
    )
    is_left = is_elsewhere and (request.is_undo or not recorded.is_empty)
    if known.path is not None and is_left:
        # Ours is there, though another sidecar takes precedence now, or it is another photo's.
        target, request = sidecar.Target(known.path, exists=True), replace(request, tags=())
    is_another = target.path != known.path
    packet: Packet | None = None
    expected: Fingerprint | None = None
    if target.exists:
        content, expected = sidecar.read(target.path)
        packet = Packet(content, target.path)
    elif not request.tags and recorded.is_empty:
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

    wanted = request.merge_request(replace(recorded, is_of_another=is_another), others)
    merged = merge(packet, wanted, path=target.path)
    # Another sidecar than the one we made is not ours.
    is_ours = not target.exists or (known.created and not is_another)
    plan = Plan(
        target.path if target.exists or merged.packet is not None else None,
        merged.content if merged.is_changed else None,
        expected,
        change=merged.change,
        rejected=merged.rejected,
        created=is_ours,
        outcome=WriteOutcome.AGAIN if is_left and not request.is_undo else WriteOutcome.WRITTEN,
    )
    if expected is None or merged.packet is None or not _is_spent(merged.packet, is_ours):
        return plan
    if not merged.is_changed and recorded.is_empty:
        return plan  # it was empty before, whoever made it
    return replace(plan, content=None, created=False, is_removal=True)


def _is_spent(packet: Packet, is_ours: bool) -> bool:
    """Return whether a sidecar is ours and nothing is left in it."""
    return packet.data == EMPTY_PACKET or (is_ours and holds_nothing(packet))
