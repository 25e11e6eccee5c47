"""Walk a directory tree and say how it differs from the database.

The walk is a generator of one directory at a time, so that the loop which drives it
stays responsive. It follows no symbolic link, and what it cannot read is unknown, never
gone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from photoramd.filters import TEMPORARY_PREFIX, Filter
from photoramd.mounts import is_below
from photoramd.photo import Fingerprint, Photo
from photoramd.store import Known, Store


@dataclass(slots=True)
class Scan:
    """One walk of a tree. Iterate it once; then the totals hold.

    Attributes:
        top: Where the walk starts: a root or a directory below it.
        present: Photos seen so far.
        absent: Photos that were expected and not there: row ids by the device number they
            were known with. They mean something only after the walk, and only if the root
            was healthy all the time.
        unreadable: Directories that could not be read, with the reason.
        left_out: RAW files seen so far that cannot be decoded here.
        leftovers: Temporary files of photoramd's own.
        directories: The device and inode numbers of the directories walked, by path.
        devices: The device numbers of what was walked.
        moved_devices: A device number that photos were known with, to the one that the very
            same photos have now: a file system that was mounted anew.
    """

    top: str
    filter: Filter
    store: Store
    present: int = 0
    left_out: int = 0
    absent: dict[int, list[int]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    leftovers: list[Path] = field(default_factory=list)
    directories: dict[str, tuple[int, int]] = field(default_factory=dict)
    devices: set[int] = field(default_factory=set)
    moved_devices: dict[int, int] = field(default_factory=dict)
    _fleeting: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[list[Photo]]:
        """Yield, for every directory, the photos that are new or changed."""
        stack = [self.top]
        while stack:
            directory = stack.pop()
            known = self.store.listing(directory)
            try:
                status = os.stat(directory, follow_symlinks=False)
                found, below = self._read(directory, known)
            except (FileNotFoundError, NotADirectoryError):
                # Renamed or removed under our feet: the next scan knows more.
                self._fleeting.add(directory)
                continue
            except OSError as error:
                self.unreadable[directory] = error.strerror or str(error)
                continue
            self.directories[directory] = (status.st_dev, status.st_ino)
            self.devices.add(status.st_dev)
            stack += below
            yield self._compare(found, known)
        for directory in self.store.directories_under(self.top):
            if directory not in self.directories and not self._is_unknown(directory):
                self._miss(self.store.listing(directory))
                yield []

    def gone(self) -> list[int]:
        """Row ids of absent photos whose file system is there: these have been removed."""
        here = self.devices | self.moved_devices.keys()
        return [number for device in self.absent.keys() & here for number in self.absent[device]]

    def unmounted(self) -> int:
        """How many photos are absent together with the whole file system they are on."""
        here = self.devices | self.moved_devices.keys()
        return sum(len(self.absent[device]) for device in self.absent.keys() - here)

    def _read(
        self, directory: str, known: dict[str, Known]
    ) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
        """The photos by name, and the directories to walk next."""
        found, below = {}, []
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.filter.enters(entry.path):
                        below.append(entry.path)
                elif self.filter.wants(entry.path):
                    found[entry.name] = entry
                elif self.filter.leaves_out(entry.path):
                    self.left_out += 1
                    # Tagged when there was a decoder: it is not gone.
                    known.pop(entry.name, None)
                elif entry.name.startswith(TEMPORARY_PREFIX):
                    self.leftovers.append(Path(entry.path))
        return found, sorted(below, reverse=True)

    def _compare(self, found: dict[str, os.DirEntry[str]], known: dict[str, Known]) -> list[Photo]:
        changed, returned = [], []
        for name, entry in sorted(found.items()):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone, or going: the next scan will tell
            except OSError as error:
                # A directory that may be listed and not entered, say: nothing is known of it.
                self.unreadable[os.path.dirname(entry.path)] = error.strerror or str(error)
                known.pop(name, None)
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            self.present += 1
            # On a stacked file system files have other device numbers than directories.
            self.devices.add(status.st_dev)
            fingerprint = Fingerprint.of(status)
            row = known.pop(name, None)
            if row is None or not self._is_same(row.fingerprint, fingerprint):
                changed.append(Photo(Path(entry.path), fingerprint))
            elif row.missed_scans:
                returned.append(row.id)
        self._miss(known)
        if returned:
            self.store.seen(returned)
        return changed

    def _is_same(self, old: Fingerprint, new: Fingerprint) -> bool:
        """Whether a photo is unchanged; a new device number alone is a file system remounted."""
        if old == new:
            return True
        if replace(old, device=new.device) != new:
            return False
        self.moved_devices[old.device] = new.device
        return True

    def _miss(self, expected: dict[str, Known]) -> None:
        for known in expected.values():
            if known.state != "missing":
                self.absent.setdefault(known.fingerprint.device, []).append(known.id)

    def _is_unknown(self, directory: str) -> bool:
        broken = [*self.unreadable, *self._fleeting]
        return any(is_below(directory, top) for top in broken)
