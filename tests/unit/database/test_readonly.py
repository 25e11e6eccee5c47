"""Readers beside a writer that comes and goes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from photoramd.database.connection import connect
from photoramd.database.readonly import open_readonly

WRITE = """
import sys
from contextlib import closing
from pathlib import Path
from photoramd.database.connection import connect

with closing(connect(Path(sys.argv[1]))) as writer:
    writer.execute("INSERT INTO directories (path) VALUES (?)", (sys.argv[2].encode(),))
"""


def write(path: Path, folder: str) -> None:
    """Write as another process, which then ends: SQLite's locks are of processes."""
    subprocess.run([sys.executable, "-c", WRITE, path, folder], check=True)


def folders(reader: sqlite3.Connection) -> int:
    ((count,),) = reader.execute("SELECT count(*) FROM directories")
    return int(count)


def test_another_reader_of_the_process_does_not_cost_one_its_locks(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    connect(path).close()
    with closing(open_readonly(path)) as reader:
        assert folders(reader) == 0
        for count in range(1, 4):
            open_readonly(path).close()
            # Without its locks the writer would take the journal away, and the reader would see
            # nothing of what is written later.
            write(path, f"/{count}")
            assert folders(reader) == count
