"""Users, and what they may read."""

from __future__ import annotations

import pwd
from pathlib import Path

from photoramd.errors import printable


def user_name(uid: int) -> str:
    """Return a user's name, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def who_may_read(path: Path) -> str:
    """Return what to say to somebody who may not read a file of the daemon's."""
    try:
        owner = user_name(path.stat().st_uid)
    except OSError:  # in a directory that is closed, too
        owner = "USER"
    return f"only the user of the daemon may read it: sudo -u {printable(owner)} photoramd ..."
