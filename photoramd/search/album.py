"""Albums: directories of symbolic links to photos that a query found.

A list beside the links says which of them photoramd made. Only those are ever renewed or removed,
and only as long as they are the links that were made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from photoramd.errors import PhotoramdError, printable

LIST = ".photoramd-album.json"
"""The name of the list."""

_NEW_LIST = f"{LIST}.new"

_NAME_BYTES = 255
"""The longest name that Linux's file systems take."""


@dataclass(frozen=True, slots=True)
class Album:
    """What became of an album.

    Attributes:
        added: Links that are new.
        removed: Links to photos that the query no longer finds.
        kept: Links that were there.
        in_the_way: Names that something else has; it was left alone.
    """

    added: int
    removed: int
    kept: int
    in_the_way: tuple[str, ...]


def link(photos: Iterable[Path], directory: Path) -> Album:
    """Make an album, or bring it up to date.

    Args:
        photos: The photos; absolute paths.
        directory: The album's; it is made if it is missing.

    Raises:
        PhotoramdError: It holds other files and no list, or the system refuses.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        known = _read_list(directory)
        wanted = dict(_named(photos, {os.fsencode(target): name for name, target in known.items()}))
        made = {name: target for name, target in known.items() if _is_link(directory, name, target)}
        # First what will be there, then the links: whatever ends the process, none is forgotten.
        _write_list(directory, made | wanted)
        removed = 0
        for name, target in made.items():
            if wanted.get(name) != target:
                (directory / name).unlink(missing_ok=True)
                removed += 1
        added, in_the_way = 0, []
        for name, target in wanted.items():
            if made.get(name) == target:
                continue
            try:
                os.symlink(target, directory / name)
                added += 1
            except FileExistsError:
                in_the_way.append(name)
        kept = len(wanted) - added - len(in_the_way)
        _write_list(directory, {n: t for n, t in wanted.items() if n not in in_the_way})
    except OSError as error:
        raise PhotoramdError(
            f"the album cannot be written: {error.strerror or error}", path=directory
        ) from error
    return Album(added, removed, kept, tuple(in_the_way))


def _named(photos: Iterable[Path], names: dict[bytes, str]) -> Iterable[tuple[str, str]]:
    """Yield a name for each photo, with its path: the one that it had, if it had one."""
    taken = set(names.values()) | {LIST, _NEW_LIST}
    for photo in photos:
        target = os.fspath(photo)
        name = names.get(os.fsencode(target))
        if name is None:
            name = photo.name
            length = 4
            while name in taken:
                # By the path, so that another run comes to the same name.
                end = f"~{hashlib.blake2b(os.fsencode(target)).hexdigest()[:length]}{photo.suffix}"
                room = _NAME_BYTES - len(os.fsencode(end))
                name = os.fsdecode(os.fsencode(photo.stem)[:room]) + end
                length += 1
            taken.add(name)
        yield name, target


def _is_link(directory: Path, name: str, target: str) -> bool:
    try:
        return os.readlink(directory / name) == target
    except OSError:
        return False


def _read_list(directory: Path) -> dict[str, str]:
    """Return the links that were made here: target by name.

    Raises:
        PhotoramdError: This directory is no album.
    """
    try:
        found = json.loads((directory / LIST).read_bytes())
        links = {
            bytes.fromhex(name): bytes.fromhex(target) for name, target in found["links"].items()
        }
        # Names stay within the directory, whoever has edited the list.
        return {
            os.fsdecode(name): os.fsdecode(target)
            for name, target in links.items()
            if name not in (b"", b".", b"..") and not {*b"/\0"} & {*name} and b"\0" not in target
        }
    except FileNotFoundError as error:
        if os.listdir(directory):
            raise PhotoramdError(
                "this directory has other files, and is no album of photoramd's",
                path=directory,
                remedy="name an empty or a new directory",
            ) from error
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PhotoramdError(
            f"{LIST} cannot be read, so it is not known which links photoramd made",
            path=directory,
            remedy=f"remove the links and {printable(LIST)}, or name another directory",
        ) from error


def _write_list(directory: Path, links: dict[str, str]) -> None:
    content = {
        "photoramd": "these links were made by photoramd query --link",
        "links": {os.fsencode(n).hex(): os.fsencode(t).hex() for n, t in links.items()},
    }
    temporary = directory / _NEW_LIST
    # It may be left from a run that was killed; or a link, through which nothing is written.
    temporary.unlink(missing_ok=True)
    with temporary.open("x", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, directory / LIST)
