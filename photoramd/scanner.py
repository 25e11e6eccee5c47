"""Walk a directory tree and say how it differs from the database.

The walk is a generator of one directory at a time, so that the loop which drives it
stays responsive. It follows no symbolic link, and what it cannot read is unknown, never
gone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from photoramd.filters import TEMPORARY_PREFIX, Filter
from photoramd.photo import Fingerprint, Photo
from photoramd.store import Known, Store


@dataclass(slots=True)
class Scan:
    """One walk of a tree. Iterate it once; then the totals hold.

    Attributes:
        top: Where the walk starts: a root or a directory below it.
        present: Photos seen so far.
        absent: Row ids of photos that were expected and not there. They mean something
            only after the walk, and only if the root was healthy all the time.
        unreadable: Directories that could not be read, with the reason.
        leftovers: Temporary files of photoramd's own.
    """

    top: str
    filter: Filter
    store: Store
    present: int = 0
    absent: list[int] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    leftovers: list[Path] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[Photo]]:
        """Yield, for every directory, the photos that are new or changed."""
        visited = set()
        stack = [self.top]
        while stack:
            directory = stack.pop()
            visited.add(directory)
            known = self.store.listing(directory)
            try:
                found, below = self._read(directory)
            except OSError as error:
                self.unreadable[directory] = error.strerror or str(error)
                continue
            stack += below
            yield self._compare(found, known)
        for directory in self.store.directories_under(self.top):
            if directory not in visited and not self._is_unknown(directory):
                self.absent += [k.id for k in self.store.listing(directory).values() if _alive(k)]
                yield []

    def _read(self, directory: str) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
        """The photos by name, and the directories to walk next."""
        found, below = {}, []
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.filter.enters(entry.path):
                        below.append(entry.path)
                elif self.filter.wants(entry.path):
                    found[entry.name] = entry
                elif entry.name.startswith(TEMPORARY_PREFIX):
                    self.leftovers.append(Path(entry.path))
        return found, sorted(below, reverse=True)

    def _compare(self, found: dict[str, os.DirEntry[str]], known: dict[str, Known]) -> list[Photo]:
        changed, returned = [], []
        for name, entry in sorted(found.items()):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone, or going: the next scan will tell
            if not stat.S_ISREG(status.st_mode):
                continue
            self.present += 1
            fingerprint = Fingerprint.of(status)
            row = known.pop(name, None)
            if row is None or row.fingerprint != fingerprint:
                changed.append(Photo(Path(entry.path), fingerprint))
            elif row.missed_scans:
                returned.append(row.id)
        self.absent += [row.id for row in known.values() if _alive(row)]
        if returned:
            self.store.seen(returned)
        return changed

    def _is_unknown(self, directory: str) -> bool:
        return any(
            directory == broken or directory.startswith(broken.rstrip("/") + "/")
            for broken in self.unreadable
        )


def _alive(known: Known) -> bool:
    return known.state != "missing"
