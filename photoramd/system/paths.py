"""Locate photoramd's own files: configuration, overrides, database.

The places follow the Filesystem Hierarchy Standard for a system service and the XDG base
directory specification for a user.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Literal

from photoramd.errors import printable
from photoramd.system.mounts import mount_of, read_mounts

SYSTEM_CONFIG = Path("/etc/photoramd/config.toml")
SYSTEM_DATABASE = Path("/var/lib/photoramd/photoramd.db")
SYSTEM_CACHE = Path("/var/cache/photoramd")
MOUNTS = Path("/proc/self/mountinfo")

# SQLite's locks and shared memory do not work, or only seem to, across machines.
_NETWORK_TYPES = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|lustre|fuse\..*")


def find_config(path: Path | None = None) -> Path | None:
    """Return the configuration file: the given one, else the user's, else the system's.

    One in a directory that cannot be searched counts as found: reading it tells why.
    """
    if path is not None:
        return path
    for place in _search_places():
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass
        return place
    return None


def default_config() -> Path:
    """Return where a new configuration file belongs: for root the system's, else the user's."""
    user = user_directory("XDG_CONFIG_HOME", ".config")
    return SYSTEM_CONFIG if user is None or os.geteuid() == 0 else user / "config.toml"


def _search_places() -> list[Path]:
    user = user_directory("XDG_CONFIG_HOME", ".config")
    return [user / "config.toml", SYSTEM_CONFIG] if user else [SYSTEM_CONFIG]


def searched() -> str:
    """Return the paths that `find_config` looks for, in words."""
    return " nor ".join(printable(place) for place in _search_places())


def user_directory(variable: str, below_home: str) -> Path | None:
    """Return the directory of photoramd in an XDG base directory; None for a user without a home.

    The XDG base directory specification says to ignore relative paths.
    """
    base = Path(os.environ.get(variable, ""))
    if not base.is_absolute():
        base = Path(os.path.expanduser("~")) / below_home  # never raises
    return base / "photoramd" if base.is_absolute() else None


def default_database(config_path: Path | None) -> Path:
    """Return the system's database for root, its service and its configuration, else the user's."""
    user = user_directory("XDG_STATE_HOME", ".local/state")
    if user is None or _is_systems(SYSTEM_DATABASE.parent, config_path):
        return SYSTEM_DATABASE
    return user / SYSTEM_DATABASE.name


def default_cache(config_path: Path | None) -> Path:
    """Return the system's cache directory, or the user's; see `default_database`."""
    user = user_directory("XDG_CACHE_HOME", ".cache")
    if user is None or _is_systems(SYSTEM_CACHE, config_path):
        return SYSTEM_CACHE
    return user


def _is_systems(directory: Path, config_path: Path | None) -> bool:
    writable = directory.is_dir() and os.access(directory, os.W_OK)
    return os.geteuid() == 0 or writable or config_path == SYSTEM_CONFIG


def find_overrides(name: Path, base: Path | None) -> Path | None:
    """Return an overrides file relative to ``base``, else in the user's configuration folder."""
    user = user_directory("XDG_CONFIG_HOME", ".config")
    expanded = Path(os.path.expanduser(name))  # never raises
    places = [place / expanded for place in (base, user) if place is not None]
    return next((place for place in places if os.path.lexists(place)), None)


def kind_of(path: Path) -> Literal["directory", "other", "missing", "unreachable"]:
    """Return what is at a path; raise nothing for any path."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "unreachable"
    return "directory" if stat.S_ISDIR(mode) else "other"


def filesystem_type(path: Path) -> str:
    """Return the type of the file system that holds a path, or would; empty where it is unknown."""
    mount = mount_of(os.path.realpath(path), read_mounts(MOUNTS))
    return mount.kind if mount else ""


def is_network_type(kind: str) -> bool:
    """Return whether a type of file system, from `filesystem_type`, is a network share."""
    return _NETWORK_TYPES.fullmatch(kind) is not None
