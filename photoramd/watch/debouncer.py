"""Debounce events: decide when files have been quiet for long enough.

There are two numbers, as in watchfiles: a quiet period after the last event, and a maximum wait
for files that are quiet while others keep coming. Files of one directory with one stem (a RAW, its
JPEG, their sidecar) form a group: they become quiet together and leave together. Time is a
parameter.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from photoramd.clock import Monotonic

Group = tuple[str, str]
"""Directory and stem."""


@dataclass(slots=True)
class _Waiting:
    first: Monotonic
    last: Monotonic
    paths: dict[str, None] = field(default_factory=dict)


class Debouncer:
    """Collects paths until they have been quiet for long enough."""

    def __init__(
        self, *, quiet_seconds: float = 5, max_wait_seconds: float = 60, batch_size: int = 8
    ) -> None:
        self.quiet_seconds = quiet_seconds
        self._max_wait_seconds = max_wait_seconds
        self._batch_size = batch_size
        # In the order of the last event: the longest quiet group is the first.
        self._groups: dict[Group, _Waiting] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, path: str, now: Monotonic) -> None:
        """Record an event of a file; its group's quiet period begins again."""
        key = group_of(path)
        group = self._groups.pop(key, None) or _Waiting(now, now)
        group.last = now
        if path not in group.paths:
            group.paths[path] = None
            self._count += 1
        self._groups[key] = group

    def disturb(self, path: str, now: Monotonic) -> None:
        """Record an event of a companion; if its group waits, its quiet period begins again."""
        key = group_of(path)
        if key in self._groups:
            group = self._groups.pop(key)
            group.last = now
            self._groups[key] = group

    def ready(self, now: Monotonic) -> list[str]:
        """Take out the paths that are ready, the longest quiet first.

        Quiet groups are ready when nothing else waits, when there are enough of them
        for a batch, or when the oldest of them has waited for the maximum.
        """
        quiet: list[Group] = []
        for key, group in self._groups.items():
            if now - group.last < self.quiet_seconds:
                break
            quiet.append(key)
        if not quiet:
            return []
        all_quiet = len(quiet) == len(self._groups)
        full = sum(len(self._groups[key].paths) for key in quiet) >= self._batch_size
        overdue = any(now - self._groups[key].first >= self._max_wait_seconds for key in quiet)
        if not (all_quiet or full or overdue):
            return []
        paths = [path for key in quiet for path in self._groups.pop(key).paths]
        self._count -= len(paths)
        return paths

    def deadline(self, now: Monotonic) -> Monotonic | None:
        """Return when `ready` may next have something, or None when nothing waits."""
        moments: list[float] = []
        for group in self._groups.values():
            quiet_at = group.last + self.quiet_seconds
            if quiet_at > now:
                moments.append(quiet_at)
                break
            moments.append(group.first + self._max_wait_seconds)
        return Monotonic(min(moments)) if moments else None


def group_of(path: str) -> Group:
    """Return directory and stem: IMG.jpg, IMG.CR2, IMG.xmp and IMG.jpg.xmp belong together."""
    directory, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    if suffix.lower() == ".xmp":
        stem = os.path.splitext(stem)[0] if os.path.splitext(stem)[1] else stem
    return directory, stem
