"""List the mounts, and tell whether the system reports changes there.

Format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

# Changes made on another machine, or in a lower layer, come without an event.
_SILENT_TYPES = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|virtiofs|fuse|fuseblk|fuse\..*|overlay|aufs"
)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount point, and the type and device number of its file system."""

    point: str
    kind: str
    device: int = 0

    @property
    def is_silent(self) -> bool:
        """Whether changes there may come without an event."""
        return _SILENT_TYPES.fullmatch(self.kind) is not None


def read_mounts(table: Path = MOUNTS) -> list[Mount]:
    """Return all mounts, in the order of the table; empty where the system does not tell."""
    try:
        lines = table.read_bytes().splitlines()
    except OSError:
        return []
    mounts = []
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields = before.split()
        point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), fields[4])
        major, _, minor = fields[2].partition(b":")
        kind = after.split()[0].decode("ascii", "replace")
        mounts.append(Mount(os.fsdecode(point), kind, os.makedev(int(major), int(minor))))
    return mounts


def is_below(path: str, top: str) -> bool:
    """Return whether a path is ``top`` or inside it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """Return the mount that holds an absolute path without links; of two in one place the later."""
    best = None
    for mount in mounts:
        inside = is_below(path, mount.point)
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def silent_parts(root: str, mounts: list[Mount]) -> dict[str, str]:
    """Return the parts of a tree that report no events: the root itself, or mount points inside.

    Returns:
        The type of the file system by the top of each part.
    """
    own = mount_of(root, mounts)
    parts = {root: own.kind} if own is not None and own.is_silent else {}
    # Of two mounts in one place the later one hides the other.
    inside = {m.point: m for m in mounts if m.point != root and is_below(m.point, root)}
    parts |= {point: mount.kind for point, mount in inside.items() if mount.is_silent}
    return parts
