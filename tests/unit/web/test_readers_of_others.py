"""The gallery of one user reads the database of another's daemon, whichever starts first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import photoramd
from photoramd.database.connection import Database
from photoramd.system.files import GROUP_READABLE

GROUP = 4321

CODE = """
import sys
from pathlib import Path
from photoramd.database.readonly import fetch
from photoramd.errors import PhotoramdError
from photoramd.web.readers import Readers

readers = Readers(Path(sys.argv[1]))
for _ in sys.stdin:
    try:
        question = lambda reader: fetch(reader.connection, "SELECT count(*) FROM directories")
        print(readers.ask_here(question)[0][0], flush=True)
    except PhotoramdError as error:
        print(error, flush=True)
readers.close()
"""


class Gallery:
    """The readers of a gallery that is a user of its own."""

    def __init__(self, database: Path) -> None:
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--groups", str(GROUP)]
        self.process = subprocess.Popen(
            [*user, sys.executable, "-P", "-c", CODE, os.fspath(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.fspath(Path(photoramd.__file__).parents[1])},
        )

    def count(self) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(30) == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    assert os.geteuid() == 0, "this test must run as root, to act as another user"
    state = tmp_path / "state"
    state.mkdir()
    for each in tmp_path.parents:
        each.chmod(each.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    os.chown(state, -1, GROUP)
    state.chmod(0o2755)  # new files get the group
    return state / "photoramd.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    made = Gallery(path)
    yield made
    made.close()


def daemon(path: Path) -> Database:
    return Database(path, mode=GROUP_READABLE)


def add(database: Database, *names: str) -> None:
    with database.transaction():
        for name in names:
            database.file_key(Path(name))


def test_a_gallery_that_was_there_first_sees_what_the_daemon_writes(
    path: Path, gallery: Gallery
) -> None:
    assert "no database" in gallery.count()
    with daemon(path) as database:
        assert gallery.count() == "0"
        add(database, "/one/a")
        assert gallery.count() == "1"
        add(database, "/two/b")
        assert gallery.count() == "2"
    assert gallery.count() == "2"


def test_it_sees_what_was_written_while_it_did_not_look(path: Path, gallery: Gallery) -> None:
    with daemon(path) as database:
        add(database, "/one/a")
    assert gallery.count() == "1"
    assert not path.with_name(f"{path.name}-wal").exists()
    with daemon(path) as database:
        add(database, "/two/b")
    assert gallery.count() == "2"
    with daemon(path) as database:
        assert gallery.count() == "2"
        add(database, "/three/c")
        assert gallery.count() == "3"


def test_it_reads_the_database_that_took_another_s_place(path: Path, gallery: Gallery) -> None:
    other = path.with_name("other.db")
    with daemon(other) as database:
        add(database, "/one/a", "/two/b", "/three/c")
    with daemon(path) as database:
        add(database, "/one/a")
        assert gallery.count() == "1"
    other.rename(path)
    for end in ("-wal", "-shm"):
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
    assert gallery.count() == "3"
