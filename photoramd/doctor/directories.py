"""Check watched directories, and how many directories can be watched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from photoramd.config.schema import Watch
from photoramd.doctor.finding import ERROR, Finding, Grade
from photoramd.errors import PhotoramdError, WriteError, printable
from photoramd.system import atomic, paths
from photoramd.system.atomic import TEMPORARY_PREFIX
from photoramd.system.container import is_container
from photoramd.system.mounts import read_mounts, silent_parts
from photoramd.system.users import user_name
from photoramd.watch.filters import Filter


class Checkup:
    """The checks of a watched directory.

    Attributes:
        watches: How many inotify watches it needs; known after `findings`.
    """

    def __init__(self, watch: Watch, daemon: int | None) -> None:
        self.watches = 0
        self._watch = watch
        self._silent = silent_parts(os.fspath(watch.path), read_mounts())
        self._daemon = daemon
        self._name = printable(watch.path)
        self._filter = Filter(watch.path, watch.exclude)

    def findings(self) -> Iterator[Finding]:
        """Check the directory."""
        path = self._watch.path
        if paths.kind_of(path) == "missing":
            yield self._found(
                Grade.WARNING,
                "is not there now; it is watched as soon as it appears",
                "mount the share or disk, or correct the path in the configuration",
            )
            return
        if not os.access(path, os.R_OK | os.X_OK):
            yield self._found(
                Grade.ERROR, "cannot be read", self._permit("rX", os.fspath(self._watch.path))
            )
            return
        yield self._events()
        yield from self._permissions()
        yield from self._view()

    def _found(self, grade: Grade, text: str, remedy: str | None = None) -> Finding:
        return Finding(self._name, grade, text, remedy, ERROR if grade == Grade.ERROR else 0)

    @property
    def _is_polled(self) -> bool:
        """Whether the whole directory is polled instead of watched."""
        poll = self._watch.poll
        return poll == "always" or (poll == "auto" and os.fspath(self._watch.path) in self._silent)

    def _events(self) -> Finding:
        kind = paths.filesystem_type(self._watch.path) or "a file system of unknown type"
        parts = ", ".join(f"{printable(top)} ({type_})" for top, type_ in self._silent.items())
        if self._watch.poll == "always":
            return self._found(Grade.OK, f'on {kind}, polled, for poll = "always"')
        if self._watch.poll == "never" and parts:
            text = f'poll = "never", but not all changes are reported for {parts}'
            return self._found(Grade.WARNING, text, 'set poll = "auto" for it')
        if self._is_polled:
            return self._found(Grade.OK, f"on {kind}, which does not report all changes: polled")
        return self._found(
            Grade.OK, f"on {kind}, watched" + (f"; polled: {parts}" if parts else "")
        )

    def _permissions(self) -> Iterator[Finding]:
        unreadable: list[str] = []
        closed: list[str] = []
        directories = 0
        walk = os.walk(self._watch.path, onerror=lambda error: unreadable.append(error.filename))
        for directory, _, _ in walk:
            directories += 1
            counts = directory == os.fspath(self._watch.path) or self._filter.enters(directory)
            if counts and not os.access(directory, os.W_OK | os.X_OK):
                closed.append(directory)
        unreadable = [each for each in unreadable if self._filter.enters(each)]
        self.watches = 0 if self._is_polled else directories
        if unreadable:
            yield self._found(
                Grade.WARNING,
                f"{len(unreadable)} directories in it cannot be read, such as "
                f"{printable(unreadable[0])}",
                self._permit("rX", unreadable[0]),
            )
        if self._watch.write == "none":
            yield self._found(
                Grade.OK, f'{directories} directories; nothing is written (write = "none")'
            )
            return
        try:
            # Exactly the steps before a sidecar gets its name.
            name = self._watch.path / f"{TEMPORARY_PREFIX}doctor.xmp"
            atomic.discard(atomic.prepare(name, b"photoramd doctor", expected=None))
        except PhotoramdError as error:
            text = f"no sidecar can be written: {error.message}"
            # Permissions do not help where the disk is full, broken or mounted read-only.
            is_disk = isinstance(error, WriteError) and error.concerns_file_system
            place = os.fspath(self._watch.path)
            remedy = error.remedy if is_disk else self._permit("rwX", place)
            yield self._found(Grade.ERROR, text, remedy)
            return
        if closed:
            yield self._found(
                Grade.ERROR,
                f"no sidecar can be written into {len(closed)} of its {directories} directories,"
                f" such as {printable(closed[0])}",
                self._permit("rwX", closed[0]),
            )
        else:
            yield self._found(Grade.OK, f"sidecars can be written ({directories} directories)")

    def _permit(self, rights: str, directory: str) -> str:
        otherwise = "" if rights == "rX" else ', or set write = "none"'
        try:
            status = os.stat(directory)
        except OSError as error:  # such as that of a share whose server is away
            return f"it cannot be looked at: {error.strerror}"
        if is_container():
            return (
                f"set PUID={status.st_uid} and PGID={status.st_gid}, whom it belongs to"
                f" (docs/container.md); if it is mounted read-only, mount it writable{otherwise}"
            )
        user = user_name(os.geteuid())
        lists = f"-m u:{user}:{rights} -m d:u:{user}:{rights}"
        theirs = ""
        if status.st_uid not in (0, os.geteuid()):
            owner = printable(user_name(status.st_uid))
            theirs = (
                f"run it as {owner}, whom it belongs to (contrib/install.sh --user {owner}), or "
            )
        return (
            f'{theirs}setfacl -R {lists} "{printable(directory)}" (of the package acl), or a group'
            f" that may (docs/install.md); if it is mounted read-only, mount it writable{otherwise}"
        )

    def _view(self) -> Iterator[Finding]:
        """Check what the running daemon sees there: its unit may hide directories from it."""
        outside = Path(f"/proc/{self._daemon}/root")
        seen = outside / self._watch.path.relative_to("/")
        try:
            outside.stat()
        except OSError:
            return  # no daemon, or another user's
        try:
            is_same = os.path.samestat(seen.stat(), self._watch.path.stat())
            is_readonly = bool(os.statvfs(seen).f_flag & os.ST_RDONLY)
        except OSError:
            is_same = is_readonly = False
        if not is_same:
            yield self._found(
                Grade.ERROR,
                "the running daemon sees another directory there, or none",
                "restart it after a share or disk was mounted; below /home and /tmp its unit needs"
                " a drop-in with BindPaths=, which contrib/install.sh --photos writes",
            )
        elif is_readonly and self._watch.write != "none":
            remedy = (
                f'add ReadWritePaths="-{self._name}" to a drop-in of its unit (systemctl edit'
                " photoramd) and restart it"
            )
            if is_container():
                remedy = "mount it writable (docs/container.md)"
            yield self._found(Grade.ERROR, "the running daemon may only read it", remedy)


def limits(needed: int) -> Iterator[Finding]:
    """Check inotify's limits: inotify(7), and those of user namespaces in namespaces(7)."""
    for what, count in (("watches", needed), ("instances", int(needed > 0))):
        name = f"max_user_{what}"
        limits = (f"/proc/sys/fs/inotify/{name}", f"/proc/sys/user/max_inotify_{what}")
        numbers = [number for number in map(_number, limits) if number is not None]
        if not numbers:
            continue
        limit = min(numbers)
        text = f"{count} directories to watch, {limit} {what} allowed"
        if what == "instances":
            text = f"{limit} instances allowed"
        # Other programs of this user have watches, too.
        if count <= 0.9 * limit:
            yield Finding("inotify", Grade.OK, text)
        else:
            yield Finding(
                "inotify",
                Grade.WARNING,
                f"{text}; what cannot be watched is polled",
                f"raise fs.inotify.{name} in /etc/sysctl.d/60-photoramd.conf"
                f"{' of the host' if is_container() else ''}, then sysctl --system",
            )


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
