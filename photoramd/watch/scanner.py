"""Walk a directory tree and compare it with the database.

The walk is a generator of one directory at a time, so that the loop which drives it
stays responsive. It follows no symbolic link. What it cannot read is unknown, never
gone.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from photoramd.database.photos import Known, Photos
from photoramd.images.formats import suffix
from photoramd.metadata.sidecar import SIDECAR_SUFFIX
from photoramd.photo import Fingerprint, Photo, PhotoState
from photoramd.system.atomic import TEMPORARY_PREFIX
from photoramd.system.beneath import Directory
from photoramd.system.mounts import is_below
from photoramd.watch.filters import Filter


@dataclass(slots=True)
class Scan:
    """One walk of a tree. Iterate it once; then the totals hold.

    Attributes:
        top: Where the walk starts: a root or a directory below it.
        present: Photos seen so far.
        unmounted_points: Former mount points with nothing mounted now: what is below is unknown.
        absent: Photos that were expected but not found: row ids by two device numbers, the
            photos' known one and that of their expected place (None: unknown). They mean
            something only after the walk, and only if the root was healthy all the time.
        unreadable: Directories that could not be read, with the reason.
        left_out: RAW files seen so far that cannot be decoded here.
        leftovers: Temporary files of photoramd's own.
        sidecars: Sidecars that somebody else wrote or removed; whoever iterates clears it.
        directories: The device and inode numbers of the directories walked, by path.
        devices: The device numbers of the directories walked, mapped to those of the files in
            them, which differ on a stacked file system.
        moves: For each directory, the device numbers that photos were known with, mapped to
            those that the same photos have now: a file system was remounted.
    """

    top: str
    filter: Filter
    photos: Photos
    unmounted_points: Collection[str] = ()
    present: int = 0
    left_out: int = 0
    absent: dict[tuple[int, int | None], list[int]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    leftovers: list[Path] = field(default_factory=list)
    sidecars: list[str] = field(default_factory=list)
    directories: dict[str, tuple[int, int]] = field(default_factory=dict)
    devices: dict[int, set[int]] = field(default_factory=dict)
    moves: dict[str, dict[int, int]] = field(default_factory=dict)
    _fleeting: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[list[Photo]]:
        """Yield, for every directory, the photos that are new or changed."""
        stack = [self.top]
        while stack:
            directory = stack.pop()
            known = self.photos.listing(directory)
            try:
                with Directory(Path(directory)) as opened:
                    status = os.fstat(opened.fd)
                    found, below = self._read(directory, opened, known)
                    self.directories[directory] = (status.st_dev, status.st_ino)
                    self.devices.setdefault(status.st_dev, set())
                    changed = self._compare(directory, found, known)
            except (FileNotFoundError, NotADirectoryError):
                # Renamed or removed meanwhile: the next scan knows more.
                self._fleeting.add(directory)
                continue
            except OSError as error:
                if error.errno == errno.ELOOP:
                    # An event may name a link to a directory, which is not followed.
                    self._fleeting.add(directory)
                    continue
                self.unreadable[directory] = error.strerror or str(error)
                continue
            stack += below
            yield changed
        for directory in self.photos.directories_under(self.top):
            if directory not in self.directories and not self._is_unknown(directory):
                self._miss(directory, self.photos.listing(directory))
                yield []

    def gone(self) -> list[int]:
        """Return row ids of absent photos whose file system is still there: they were removed."""
        here = filter(self._is_here, self.absent)
        return [number for key in here for number in self.absent[key]]

    def unmounted(self) -> int:
        """Return how many photos are absent because another file system is in their place."""
        return sum(len(ids) for key, ids in self.absent.items() if not self._is_here(key))

    def moved_wholly(self) -> dict[int, int]:
        """Return the device numbers that are no longer in use, mapped to the new ones."""
        moved = self._moved()
        in_use = self.devices.keys() | set().union(*self.devices.values())
        return {old: min(new) for old, new in moved.items() if old not in in_use and len(new) == 1}

    def moved_partly(self) -> dict[str, dict[int, int]]:
        """Return the rest of `moves`: device numbers that another file system has now."""
        whole = self.moved_wholly()
        return {top: moves for top, moves in self.moves.items() if moves.keys() - whole.keys()}

    def _moved(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for moves in self.moves.values():
            for old, new in moves.items():
                found.setdefault(old, set()).add(new)
        return found

    def _is_here(self, key: tuple[int, int | None]) -> bool:
        device, place = key
        if place is None:
            return False
        now = {device} | self._moved().get(device, set())
        return not now.isdisjoint({place} | self.devices[place])

    def _read(
        self, directory: str, opened: Directory, known: dict[str, Known]
    ) -> tuple[dict[str, os.DirEntry[str]], list[str]]:
        """Return the photos by name, and the directories to walk next."""
        found, below = {}, []
        dates = self.photos.sidecar_dates(directory)
        with os.scandir(opened.fd) as entries:
            for entry in entries:
                path = os.path.join(directory, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if self.filter.enters(path):
                        below.append(path)
                elif self.filter.wants(path):
                    found[entry.name] = entry
                elif self.filter.leaves_out(path):
                    self.left_out += 1
                    # Tagged when there was a decoder: it is not gone.
                    known.pop(entry.name, None)
                elif entry.name.startswith(TEMPORARY_PREFIX):
                    self.leftovers.append(Path(path))
                elif suffix(entry.name) == SIDECAR_SUFFIX:
                    known_dates = dates.pop(entry.name, set())
                    if known and not _has_date(entry, known_dates):
                        self.sidecars.append(path)
        self.sidecars += [os.path.join(directory, name) for name, found in dates.items() if found]
        return found, sorted(below, reverse=True)

    def _compare(
        self, directory: str, found: dict[str, os.DirEntry[str]], known: dict[str, Known]
    ) -> list[Photo]:
        """Return the photos that are new or changed; the directory is still open."""
        changed, returned = [], []
        devices = self.devices[self.directories[directory][0]]
        for name, entry in sorted(found.items()):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone, or going: the next scan will tell
            except OSError as error:
                # It may be a directory that can be listed but not entered: its content is unknown.
                self.unreadable[directory] = error.strerror or str(error)
                known.pop(name, None)
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            self.present += 1
            devices.add(status.st_dev)
            fingerprint = Fingerprint.of(status)
            row = known.pop(name, None)
            if row is None or not self._is_same(directory, row.fingerprint, fingerprint):
                changed.append(Photo(Path(directory, name), fingerprint))
            elif row.missed_scans:
                returned.append(row.id)
        self._miss(directory, known)
        if returned:
            self.photos.seen(returned)
        return changed

    def _is_same(self, directory: str, old: Fingerprint, new: Fingerprint) -> bool:
        """Return whether a photo is unchanged; a new device number alone is a remount."""
        if old == new:
            return True
        if replace(old, device=new.device) != new:
            return False
        self.moves.setdefault(directory, {})[old.device] = new.device
        return True

    def _miss(self, directory: str, expected: dict[str, Known]) -> None:
        if not expected:
            return
        place = self._place_of(directory)
        for known in expected.values():
            if known.state != PhotoState.MISSING:
                self.absent.setdefault((known.fingerprint.device, place), []).append(known.id)

    def _place_of(self, directory: str) -> int | None:
        """Return the device number of a directory, or of the next one above it that is there."""
        if any(is_below(directory, point) for point in self.unmounted_points):
            return None
        while directory not in self.directories and directory != self.top:
            directory = os.path.dirname(directory)
        return self.directories[directory][0] if directory in self.directories else None

    def _is_unknown(self, directory: str) -> bool:
        broken = [*self.unreadable, *self._fleeting]
        return any(is_below(directory, top) for top in broken)


def _has_date(entry: os.DirEntry[str], dates: Collection[int]) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns in dates
    except OSError:
        return True  # gone, or going: the next scan will tell
