"""The invariants that hold after any fault, checked on disk and in the database."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from photoramd.database.columns import path_of
from photoramd.database.readonly import open_readonly
from photoramd.errors import StoreError
from tests.support.xmp import subjects

TEMPORARY = ".photoramd-"


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    """Query the database while another process may write to it."""
    with closing(open_readonly(database)) as connection:
        return connection.execute(sql).fetchall()


def states(database: Path, top: Path) -> dict[Path, str]:
    """Return the state of every photo at and below a path."""
    try:
        found = rows(
            database,
            """SELECT d.path, p.name, p.state FROM photos p
               JOIN directories d ON d.id = p.directory_id""",
        )
    except (StoreError, sqlite3.Error):
        return {}
    photos = {path_of(row[0], row[1]): str(row[2]) for row in found}  # type: ignore[arg-type]
    return {path: state for path, state in photos.items() if path.is_relative_to(top)}


def violations(
    database: Path,
    top: Path,
    photos: Mapping[Path, str],
    samples: Mapping[str, Path],
    tags: Mapping[str, tuple[str, ...]],
    *,
    theirs: Mapping[Path, bytes] | None = None,
    view: Path = Path("/"),
    temporaries: bool = False,
) -> list[str]:
    """Return the violations below a directory; empty if there are none.

    Args:
        database: The database.
        top: The directory, as the daemon names it.
        photos: The stable photos there, and which sample each of them is.
        samples: The samples' files.
        tags: The keywords of each sample, as a run without any fault gave them.
        theirs: Other files of the user, sidecars too, that must not have changed.
        view: Where the daemon's root directory is seen from here (a mount namespace).
        temporaries: Whether a killed process may have left temporary files behind.
    """
    found = []
    seen = {path: state for path, state in states(database, top).items() if state != "missing"}
    for path in photos.keys() | seen.keys():
        if path not in photos:
            found.append(f"{path!r} is {seen[path]} but is no stable photo")
        elif seen.get(path) != "written":
            found.append(f"{path!r} is {seen.get(path, 'unknown')}, not written")

    def there(path: Path) -> Path:
        return view / path.relative_to("/")

    sidecars = {Path(f"{os.fspath(path)}.xmp"): sample for path, sample in photos.items()}
    own = theirs or {}
    for path, sample in photos.items():
        if there(path).read_bytes() != samples[sample].read_bytes():
            found.append(f"{path!r} has changed")
    for path, sample in sidecars.items():
        try:
            keywords = subjects(there(path).read_bytes())
        except OSError:
            keywords = ()
        except Exception as error:
            found.append(f"{path!r} is torn: {error!r}")
            continue
        if len(set(keywords)) != len(keywords):
            found.append(f"{path!r} has a keyword twice: {keywords}")
        if path not in own and sorted(keywords) != sorted(tags[sample]):
            found.append(f"{path!r} has {keywords}, not {tags[sample]}")
    for path, content in own.items():
        if there(path).read_bytes() != content:
            found.append(f"{path!r}, the user's, has changed")
    expected = {*photos, *sidecars, *own}
    for directory, _, names in os.walk(os.fsencode(there(top))):
        for name in names:
            path = Path("/") / Path(os.fsdecode(os.path.join(directory, name))).relative_to(view)
            is_left = path.name.startswith(TEMPORARY) and temporaries
            if path not in expected and not is_left and _is_regular(there(path)):
                found.append(f"{path!r} should not be there")
    found += [f"the database: {row[0]}" for row in _damage(database)]
    return found


def _is_regular(path: Path) -> bool:
    """Return whether a path is a regular file; a temporary may be gone since it was listed."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _damage(database: Path) -> list[tuple[object, ...]]:
    check = rows(database, "PRAGMA integrity_check")
    return [*(row for row in check if row[0] != "ok"), *rows(database, "PRAGMA foreign_key_check")]
