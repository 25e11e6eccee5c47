"""Nobody but the owner reads the database, or keeps the daemon from using it."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import photoramd
from photoramd.config.schema import State
from photoramd.daemon.backup import DailyBackup
from photoramd.database import backups
from photoramd.database.connection import Database
from photoramd.database.features import Features, features_path
from photoramd.database.lock import holder
from photoramd.errors import DamagedError
from photoramd.system.files import GROUP_READABLE, create_private, make_private


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(directory: Path) -> set[int]:
    return {mode(path) for path in directory.iterdir()}


def as_another(
    code: str, database: Path, group: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code with a path as another user, who is in a group or in none."""
    groups = ["--clear-groups"] if group is None else ["--groups", str(group)]
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", *groups]
    command = [*user, sys.executable, "-P", "-c", code, os.fspath(database)]
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(photoramd.__file__).parents[1])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


COUNT = (
    "import sys; from pathlib import Path; from photoramd.database.readonly import *;"
    " connection = open_readonly(Path(sys.argv[1]));"
    " print(fetch(connection, 'SELECT count(*) FROM directories')[0][0])"
)


@pytest.mark.usefixtures("umask")
def test_every_file_is_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "state" / "photoramd.db"
    with Database(path) as database:
        database.probe()
        names = {each.name for each in path.parent.iterdir()}
        assert names == {
            "photoramd.db",
            "photoramd.db-wal",
            "photoramd.db-shm",
            "photoramd.db.lock",
        }
        assert modes(path.parent) == {0o600}
        backups.copy(path, path.with_name("copy.db"))
    assert modes(path.parent) == {0o600}
    assert mode(path.parent) == 0o700


def test_what_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with Database(path):
        pass
    old = path.with_name(f"{path.name}.backup-20260101T000000")
    old.write_bytes(path.read_bytes())
    for each in tmp_path.iterdir():
        each.chmod(0o644)
    tmp_path.chmod(0o755)
    with Database(path) as database:
        DailyBackup(path, 7)
        database.probe()
        assert modes(tmp_path) == {0o600}
    assert mode(tmp_path) == 0o755  # not ours


def test_another_program_s_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    path.write_bytes(b"no database " * 100)
    path.chmod(0o644)
    with pytest.raises(DamagedError), Database(path):
        pass
    assert mode(path) == 0o644


def test_another_user_cannot_hold_the_lock(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test must run as root, to act as another user"
    path = tmp_path / "photoramd.db"
    with Database(path):
        pass
    for each in (tmp_path, *tmp_path.parents):
        each.chmod(each.stat().st_mode | 0o055)
    code = f"import os; os.setuid(65534); os.open({os.fspath(path) + '.lock'!r}, os.O_RDONLY)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"PermissionError" in done.stderr
    with path.with_name(path.name + ".lock").open("rb") as file:  # the owner can
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert holder(path) is None


def test_another_user_knows_who_has_the_database(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test must run as root, to act as another user"
    path = tmp_path / "photoramd.db"
    code = (
        "import sys; from pathlib import Path; from photoramd.database.lock import holder;"
        " print(holder(Path(sys.argv[1])))"
    )
    with Database(path):
        for each in (tmp_path, *tmp_path.parents):
            each.chmod(each.stat().st_mode | 0o055)
        assert as_another(code, path).stdout == f"{os.getpid()}\n"
    assert as_another(code, path).stdout == "None\n"
    with path.with_name(path.name + ".lock").open("rb") as file:  # one who only asks has it, too
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert as_another(code, path).stdout == "None\n"


def test_only_what_is_this_users_own_is_made_private(tmp_path: Path) -> None:
    foreign, target, link = tmp_path / "foreign", tmp_path / "target", tmp_path / "link"
    foreign.touch()
    os.chown(foreign, 65534, 65534)
    foreign.chmod(0o666)
    target.touch()
    target.chmod(0o644)
    link.symlink_to(target)
    os.mkfifo(tmp_path / "pipe", 0o666)
    for path in (foreign, link, tmp_path / "missing"):
        make_private(path)
    assert mode(foreign) == 0o666
    assert mode(target) == 0o644
    make_private(target)
    assert mode(target) == 0o600


def test_a_file_that_is_there_is_not_created_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    create_private(path)
    assert path.read_text() == "content"


@pytest.mark.usefixtures("umask")
def test_the_group_reads_the_database_if_the_configuration_says_so(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test must run as root, to act as another user"
    path = tmp_path / "state" / "photoramd.db"
    group = 4321
    with Database(path, mode=State().file_mode):
        pass
    for each in (path.parent, *path.parent.parents):
        each.chmod(each.stat().st_mode | 0o055)
    os.chown(path.parent, -1, group)
    path.parent.chmod(0o2755)  # new files get the group
    os.chown(path, -1, group)
    with (
        Database(path, mode=State(readable_by_group=True).file_mode) as database,
        closing(Features(features_path(path), "1", GROUP_READABLE)) as features,
    ):
        with database.transaction():
            database.file_key(Path("/photos/cat.jpg"))
        features.save({b"digest": b"vector"})
        found = {each.name: mode(each) for each in path.parent.iterdir()}
        assert found.pop("photoramd.db.lock") == 0o600  # whoever opens it may hold it
        assert set(found) >= {"photoramd.db-wal", "photoramd.db-shm", "photoramd-similar.db"}
        assert set(found.values()) == {0o640}
        done = as_another(COUNT, path, group)
        assert (done.stdout, done.stderr) == ("1\n", "")
        assert "cannot read the database" in as_another(COUNT, path).stderr
        backups.copy(path, copy := path.with_name("copy.db"))
        assert mode(copy) == 0o600
    assert as_another(COUNT, path, group).stdout == "1\n"  # without a daemon
    with Database(path) as database:
        database.probe()
        assert modes(path.parent) <= {0o600, 0o640}
        assert {mode(Path(f"{path}{end}")) for end in ("", "-wal", "-shm")} == {0o600}
        assert "cannot read the database" in as_another(COUNT, path, group).stderr
