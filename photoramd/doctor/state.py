"""Check the database, what the daemon wrote into it, and the free space on disks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from photoramd.database import versions
from photoramd.database.health import RootState
from photoramd.doctor.finding import ERROR, Finding, Grade, failure
from photoramd.errors import PhotoramdError, printable
from photoramd.search import queries
from photoramd.search.queries import RootStatus
from photoramd.system import paths
from photoramd.system.users import user_name

SCARCE_BYTES, FULL_BYTES = 1 << 30, 64 << 20
"""Less free space than this is worth a warning, and an error."""


def known_roots(database: Path) -> list[RootStatus]:
    """Return the watched directories as a daemon last saw them; none if that is not known."""
    try:
        with closing(queries.open_readonly(database)) as connection:
            return queries.roots(connection)
    except PhotoramdError:
        return []  # if there is one, `examine_database` says why


def examine_database(path: Path, daemon: int | None) -> Iterator[Finding]:
    """Check that the database can be read and written, or made.

    Args:
        path: Where it is configured to be.
        daemon: The process that holds it, if one does.
    """
    where = f"{printable(path)} on {paths.filesystem_type(path.parent) or 'unknown type'}"
    held = "" if daemon is None else f", held by process {daemon}"
    if paths.kind_of(path) == "missing":
        above = nearest_existing(path.parent)
        if os.access(above, os.W_OK | os.X_OK):
            yield Finding("database", Grade.OK, f"{where} is made at the first start")
        else:
            yield Finding(
                "database",
                Grade.ERROR,
                f"{where} cannot be made by user {user_name(os.geteuid())}",
                f"let that user write to {printable(above)}, or set [state] path",
                ERROR,
            )
        return
    try:
        with closing(queries.open_readonly(path)) as connection:
            versions.require_known(connection, path)
            known = sum(queries.counts(connection).values())
    except PhotoramdError as error:
        yield failure("database", error)
        return
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK):
        yield Finding("database", Grade.OK, f"{where}{held}, {known} photos")
    else:
        yield Finding(
            "database",
            Grade.ERROR,
            f"{where} cannot be written by user {user_name(os.geteuid())}",
            "run this as the daemon's user, or give it to that user (chown)",
            ERROR,
        )


def examine_health(roots: list[RootStatus]) -> Iterator[Finding]:
    """Report what the running daemon found wrong with its directories."""
    for root in roots:
        if root.health != RootState.ONLINE:
            yield Finding(
                printable(root.path),
                Grade.WARNING,
                f"the daemon finds it {root.health}: {root.reason or 'no reason given'}",
                root.remedy,
            )


def examine_space(paths: list[Path]) -> Iterator[Finding]:
    """Check the free space on the disks of some paths; each disk once."""
    seen: set[int] = set()
    for path in paths:
        try:
            device = path.stat().st_dev
            status = os.statvfs(path)
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        free = status.f_bavail * status.f_frsize
        text = f"{free / 1e9:.1f} GB free for {printable(path)}"
        remedy = "make room: results wait in the database while a disk is full"
        if free < FULL_BYTES:
            yield Finding("space", Grade.ERROR, text, remedy, ERROR)
        elif free < SCARCE_BYTES:
            yield Finding("space", Grade.WARNING, text, remedy)
        else:
            yield Finding("space", Grade.OK, text)
        # Some file systems (btrfs) have no fixed number, and say 0 of 0.
        if status.f_files and not status.f_favail:
            text = f"no further file can be made on the disk of {printable(path)}: no inode is free"
            yield Finding(
                "space", Grade.ERROR, text, "delete files there; df -i counts them", ERROR
            )


def nearest_existing(path: Path) -> Path:
    """Return a path, or its nearest ancestor that exists."""
    return next(each for each in (path, *path.parents) if paths.kind_of(each) != "missing")
