"""Plan what a photo's sidecar should become, without writing anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from photoramd.errors import ChangedError, SidecarError
from photoramd.keywords import fold
from photoramd.metadata import embedded, meaning, seed
from photoramd.metadata.changes import (
    NOTHING_RECORDED,
    SEED,
    Change,
    Entries,
    Recorded,
    WriteOutcome,
)
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.merge import Merged, merge
from photoramd.metadata.plan import Plan, PlanRequest
from photoramd.metadata.sidecar import Found, KnownSidecar, find
from photoramd.metadata.xmp_keywords import holds_nothing
from photoramd.metadata.xmp_packet import EMPTY_PACKET, Packet


def plan_sidecar(
    request: PlanRequest,
    known: KnownSidecar | None = None,
    *,
    inside: Recorded = NOTHING_RECORDED,
    lightroom_names: bool = False,
) -> Plan:
    """Plan a photo's sidecar: find it, and see `plan_found`.

    Args:
        request: The keywords that the photo should have.
        known: What the ledger has of its sidecar.
        inside: What the ledger has of the photo itself.
        lightroom_names: Whether a new sidecar of a RAW is ``IMG.xmp``.

    Raises:
        SidecarError: The sidecar cannot be read, or must not be written.
        ChangedError: It is being written by another program.
    """
    known = known or KnownSidecar()
    found = find(request.photo, known, is_undo=request.is_undo, lightroom_names=lightroom_names)
    return plan_found(found, request, known, inside)


def plan_found(found: Found, request: PlanRequest, known: KnownSidecar, inside: Recorded) -> Plan:
    """Plan what a sidecar should become: what is there, merged with the tags.

    A new sidecar begins with what the photo says of itself: see `seed`. So does one that we made
    and nobody else has touched, when the photo's own metadata has changed since.

    Args:
        found: What is there.
        request: The keywords that the photo should have.
        known: What the ledger has of its sidecar.
        inside: What the ledger has of the photo itself.

    Raises:
        SidecarError: The sidecar must not be written.
        ChangedError: The photo is not there.
    """
    photo, recorded, target = request.photo, known.recorded, found.target
    if found.is_left:
        request = replace(request, tags=())
    is_another = target.path != known.path
    packet: Packet | None = None
    if found.content is not None:
        packet = Packet(found.content, target.path)
    elif not request.tags and recorded.is_empty:
        return Plan()
    elif not found.has_photo:
        # A directory that is not mounted looks like this: what is recorded stays recorded.
        raise ChangedError(
            "it is not there", path=photo, remedy="mount its directory, if it is elsewhere"
        )
    # Another sidecar than the one we made is not ours.
    is_ours = not target.exists or (known.created and not is_another)
    present = replace(recorded, is_of_another=is_another)
    can_begin = request.tags and is_ours and (packet is None or is_only_ours(packet, recorded))
    begun = seed.seed(photo, inside) if can_begin else None
    merged = _merged(packet, request, present, inside, target.path, begun)
    if not request.tags and (old := recorded.added.get(SEED)):
        removed = {**merged.change.removed, SEED: old}
        merged = replace(merged, change=replace(merged.change, removed=removed))
    before = None if packet is None else packet.data
    is_again = found.is_left and not request.is_undo
    plan = Plan(
        target.path if target.exists or merged.packet is not None else None,
        merged.content if merged.content != before else None,
        found.fingerprint,
        change=merged.change,
        rejected=merged.rejected,
        created=is_ours,
        outcome=WriteOutcome.AGAIN if is_again else WriteOutcome.WRITTEN,
    )
    if merged.packet is None or not _is_spent(merged, recorded, is_ours=is_ours):
        return plan
    if found.fingerprint is None:
        return Plan(rejected=merged.rejected)  # there is nothing to add to what the photo says
    if merged.content == before and recorded.is_empty:
        return plan  # it was empty before, whoever made it
    return replace(plan, content=None, created=False, is_removal=True)


def _merged(
    packet: Packet | None,
    request: PlanRequest,
    recorded: Recorded,
    inside: Recorded,
    path: Path,
    begun: Packet | None,
) -> Merged:
    """Return what becomes of a sidecar.

    Args:
        packet: The present one.
        request: The keywords that the photo should have.
        recorded: What the ledger has of the sidecar.
        inside: What the ledger has of the photo.
        path: Where the sidecar is.
        begun: What it begins with, if it is made, or may be made anew.
    """
    if begun is not None and packet is None:
        return _begun_anew(begun, request, recorded, {}, path)
    ours = set(map(fold, inside.added.get(SUBJECT.name, ())))

    def others() -> list[str]:
        # A sidecar with the machine's keywords alone would hide the photo's own from
        # programs that read the sidecar in place of the photo.
        return [word for word in embedded.read_keywords(request.photo) if fold(word) not in ours]

    merged = merge(packet, request.merge_request(recorded, others), path=path)
    if begun is None or _digests(begun) == recorded.added.get(SEED, ()):
        return merged
    return _begun_anew(begun, request, recorded, merged.rejected, path)


def _digests(begun: Packet) -> tuple[str, ...]:
    """Return what the ledger has of a sidecar that begins so: nothing if it is empty."""
    return () if holds_nothing(begun) else (meaning.digest(begun),)


def _begun_anew(
    begun: Packet, request: PlanRequest, recorded: Recorded, rejected: Entries, path: Path
) -> Merged:
    """Return a sidecar that begins with what the photo says now; nothing of an old one stays."""
    refused = {
        name: (*recorded.rejected.get(name, ()), *rejected.get(name, ()))
        for name in {*recorded.rejected, *rejected}
    }
    packet = None if holds_nothing(begun) else begun
    # It has all of the user's keywords already.
    fresh = merge(packet, request.merge_request(Recorded(rejected=refused), tuple), path=path)
    names = sorted({*recorded.added, *recorded.seeded})
    added = dict(fresh.change.added)
    if packet is not None:
        added[SEED] = _digests(packet)
    change = Change(added, fresh.change.seeded, {name: recorded.ours(name) for name in names})
    return replace(fresh, change=change, rejected=rejected)


def is_only_ours(packet: Packet, recorded: Recorded) -> bool:
    """Return whether nobody but us has written a sidecar, by this version or an earlier one."""
    if recorded.added.get(SEED):
        return seed.is_untouched(packet, recorded)
    try:
        return holds_nothing(seed.without_ours(packet, recorded))
    except SidecarError:
        return False


def _is_spent(merged: Merged, recorded: Recorded, *, is_ours: bool) -> bool:
    """Return whether a sidecar is ours and nothing but its seed is left in it."""
    packet = merged.packet
    if packet is None or packet.data == EMPTY_PACKET:
        return packet is not None
    seeds = (
        *recorded.added.get(SEED, ()),
        *merged.change.added.get(SEED, ()),
    )
    if is_ours and holds_nothing(packet):
        return True
    return bool(seeds) and meaning.digest(packet) in seeds
