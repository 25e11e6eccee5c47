"""Read what `photoramd.database.features` keeps, whether or not a daemon adds to it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from photoramd.database.features import APPLICATION_ID
from photoramd.database.readonly import BUSY_SECONDS, uri_options
from photoramd.errors import StoreError
from photoramd.system.container import how_to
from photoramd.system.files import require_readable
from photoramd.system.users import who_may_read

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DIGEST_BYTES = 16

_ROWS = 8192
"""Rows that are read at a time: 4 MB of vectors."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some of the pictures.

    Attributes:
        ids: Of their rows, int64, rising.
        digests: uint8, shape (pictures, DIGEST_BYTES).
        vectors: int8, shape (pictures, numbers).
    """

    ids: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.int8]


class StoredVectors:
    """The vectors of pictures, read-only. Use it as a context manager or `close` it.

    Numpy is imported when vectors are read.

    Args:
        path: The file: see `photoramd.database.features.features_path`.
        version: Of the vectors that can be used.

    Raises:
        StoreError: There are none of this version yet, or they may not or cannot be read.
    """

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        try:
            stat = require_readable(path)
        except FileNotFoundError as error:
            raise _nothing_yet(path) from error
        except OSError as error:
            raise StoreError(
                f"cannot read what similar photos are found by: {error.strerror}",
                path=path,
                remedy=who_may_read(path),
            ) from error
        options = uri_options(path, stat.st_uid == os.geteuid() and os.access(path.parent, os.W_OK))
        uri = f"file:{quote(os.fsencode(path.absolute()))}?{options}"
        with _translated(path):
            # Threads may take turns with it.
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with _translated(path):
                self._check(version)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless if repeated."""
        self._connection.close()

    def blocks(self) -> Iterator[Block]:
        """Return all pictures, in the order of their ids.

        Raises:
            StoreError: They cannot be read.
        """
        last = -1
        while rows := self._rows(
            "SELECT id, digest, vector FROM features WHERE id > ? ORDER BY id LIMIT ?",
            (last, _ROWS),
        ):
            last = rows[-1][0]
            yield _block(rows)

    def fetch(self, ids: Sequence[int]) -> Block:
        """Return pictures by the ids of their rows, without those that are there no longer.

        Raises:
            StoreError: They cannot be read.
        """
        return _block(
            self._rows(
                """SELECT id, digest, vector FROM features
                   WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id""",
                (json.dumps(list(ids)),),
            )
        )

    def find(self, digest: bytes) -> npt.NDArray[np.int8] | None:
        """Return the vector of a picture; None if there is none.

        Raises:
            StoreError: It cannot be read.
        """
        rows = self._rows("SELECT id, digest, vector FROM features WHERE digest = ?", (digest,))
        return _block(rows).vectors[0] if rows else None

    def state(self) -> object:
        """Return what is another one when pictures came or went.

        Raises:
            StoreError: They cannot be read.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise _nothing_yet(self.path) from error
        counted = self._rows("SELECT count(*), max(id) FROM features")
        return status.st_dev, status.st_ino, counted

    def _check(self, version: str) -> None:
        if self._rows("PRAGMA application_id") != [(APPLICATION_ID,)]:
            raise _nothing_yet(self.path)
        if self._rows("SELECT name FROM version") != [(version,)]:
            raise StoreError(
                "similar photos are found by what another version of photoramd has kept",
                path=self.path,
                remedy=f"start the daemon ({how_to('start')}), or run photoramd"
                " scan for one pass, of this version",
            )

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._connection.execute(sql, parameters).fetchall()


def _block(rows: Sequence[tuple[Any, ...]]) -> Block:
    import numpy as np

    ids = np.array([row[0] for row in rows], np.int64)
    digests = np.frombuffer(b"".join(row[1] for row in rows), np.uint8)
    vectors = np.frombuffer(b"".join(row[2] for row in rows), np.int8)
    width = len(vectors) // len(rows) if rows else 0
    return Block(ids, digests.reshape(len(rows), DIGEST_BYTES), vectors.reshape(len(rows), width))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"cannot read what similar photos are found by: {error}",
            path=path,
            remedy="if it is damaged, remove it: photos get it again when they are tagged",
        ) from error


def _nothing_yet(path: Path) -> StoreError:
    return StoreError(
        "no similar photos can be found yet: nothing has been kept to find them by",
        path=path,
        remedy=f"start the daemon ({how_to('start')}) with the embedded model:"
        " it looks at known photos, too, when nothing else is to be done",
    )
