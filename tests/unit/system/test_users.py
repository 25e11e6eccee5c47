"""Users by name, and who may read what is the daemon's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from photoramd.system.users import user_name, who_may_read

NOBODY = 4_000_000_000
"""A number that no user has."""


def test_a_user_without_a_name_is_a_number() -> None:
    assert user_name(0) == "root"
    assert user_name(NOBODY) == str(NOBODY)


def test_whoever_may_not_read_the_database_is_told_by_whose_name_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    assert who_may_read(path).endswith(": sudo -u USER photoramd ...")  # it cannot be looked at
    path.touch()
    own = pwd.getpwuid(os.geteuid()).pw_name
    assert who_may_read(path).endswith(f": sudo -u {own} photoramd ...")
