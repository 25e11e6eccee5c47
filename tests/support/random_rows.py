"""Small databases of random rows: odd names, extreme values, ids in several chunks."""

from __future__ import annotations

import os
import random
import sqlite3

from photoramd.database import derived
from photoramd.database.columns import printable_unless_utf8
from photoramd.database.derived import Kind
from photoramd.keywords import comparison_key
from photoramd.search.sets import Sets

IDS = (1, 2, 3, 7, 500, 65_534, 65_535, 65_536, 65_537, 131_072, 200_000, 200_001, 4_294_967_295)
STATES = ("pending", "tagged", "written", "written", "failed", "missing")
DIRECTORIES = (
    b"/photos/2024/Italy", b"/photos/2024", b"/photos/2024-07", b"/other/it's 100%_*[a]?",
    b"/photos/a\nb", b"/photos/caf\xe9", "/photos/Caf\u00e9".encode(), b'/x/"quoted"',
    b"/photos/STRASSE/Rom", b"/photos",
)  # fmt: skip
NAMES = (
    b"IMG_0001.JPG", b"IMG_0002.jpg", b"img%0003.jpeg", b'a"b.jpg', b"*.jpg", b"[ab].png",
    b"caf\xe9.jpg", "cafe\u0301.jpg".encode(), "Stra\u00dfe.NEF".encode(), b"a  b\n.jpg",
    b"x.y.tif",
    b".jpg", b"long.suffix_1", b"IMG-12.arw", "\u212aelvin.webp".encode(), b"dog",
)  # fmt: skip
LABELS = (
    "animal",
    "dog",
    "Dog",
    "puppy",
    "cat",
    "tiger cat",
    "caf\u00e9",
    "50%_*",
    "Rome",
    "x\ud7ff",
)
SCORED = ("object: dog", "scene: beach")
CONFIDENCES = (0.0, 0.05, 0.3, 0.5, 0.8, 1.0)
MODELS = (("embedded", "r1"), ("embedded", "r2"), ("ram++", "3f2a"))
TAKEN = (
    None, -5_364_662_400.0, -1.0, 0.0, 1_704_067_199.5, 1_704_067_200.0, 1_709_164_800.0,
    1_719_792_000.0, 1_720_000_000.0, 1_722_470_399.999, 1_722_470_399.9999, 1_722_470_400.0,
    1_735_084_800.0, 7_258_118_399.0,
)  # fmt: skip
"""With the ends of months, to the tenth of a millisecond; 1800 and 2199."""

MOMENTS = (
    1_500_000_000.0, 1_704_063_600.0, 1_704_067_200.0,
    1_728_136_800.0, 1_719_950_000.25, 1_728_135_000.0, 1_728_138_000.0,
    1_728_140_400.0, 1_735_080_000.0,
)  # fmt: skip
PLACES = (
    (None, None), (48.85, 2.35), (48.86, 2.36), (90.0, 10.0), (-90.0, 0.0), (0.0, 180.0),
    (0.001, -180.0), (-33.8, 151.2), (None, 3.0),
)  # fmt: skip
SIZES = (1, 20, 1_000, 10_000_000, 2**62)
REJECTED = ("dog", "Tiger  cat", "gone")


def contents(sets: Sets) -> dict[tuple[Kind, int], set[int]]:
    """Return all sets, by what they are about."""
    return {(kind, key): set(members) for kind in Kind for key, members in sets.all(kind)}


class Rows:
    """Makes and changes rows as photoramd does.

    Args:
        db: A database of the newest version, in a transaction.
        seed: The same gives the same rows.
    """

    def __init__(self, db: sqlite3.Connection, seed: int) -> None:
        self._db = db
        self._any = random.Random(seed)  # noqa: S311
        self._labels = {name: self._label(name) for name in (*LABELS, *SCORED)}
        for child, parent in (
            ("dog", "animal"),
            ("Dog", "animal"),
            ("puppy", "Dog"),
            ("cat", "animal"),
            ("animal", "puppy"),
            ("tiger cat", "cat"),
            ("cat", "cat"),
        ):
            if self._any.random() < 0.8:  # with cycles
                self._run(
                    "INSERT INTO label_parents VALUES (?, ?)",
                    (self._labels[child], self._labels[parent]),
                )
        self._results = [self._result(number) for number in range(6)]
        self._run(
            "INSERT INTO roots (path, health, since) VALUES (?, 'online', 0), (?, 'online', 0)",
            (b"/photos", b"/other"),
        )

    def fill(self, count: int) -> None:
        for number in self._any.sample(IDS, min(count, len(IDS))):
            self.add(number)

    def add(self, number: int) -> None:
        """Add a photo, unless one has its id or its path."""
        directory, name = self._directory(), self._any.choice(NAMES)
        odd = printable_unless_utf8(os.fsdecode(name))
        state = self._any.choice(STATES)
        reason = self._any.choice(("truncated", "Waits for the DISK 100%", None))
        is_queued = state not in ("written", "missing")
        moment, size = self._moment(), self._any.choice(SIZES)
        done = self._run(
            """INSERT OR IGNORE INTO photos (id, directory_id, name, printable, size, mtime_ns,
                   device, inode, state, reason, found_at, tagged_at, result_id, undone_at,
                   sidecar, place)
               VALUES (?, ?, ?, ?, ?, ?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                number,
                directory,
                name,
                odd,
                size,
                int(self._moment() * 1e9),
                state,
                reason if is_queued else None,
                moment,
                self._maybe(self._moment()),
                self._maybe(self._any.choice(self._results)),
                self._maybe(5.0),
                self._maybe(b"/photos/a.xmp"),
                self._maybe("sidecar"),
            ),
        )
        if done.rowcount:
            self.retag(number)
            self.look(number)

    def commit(self, changes: int, *, is_folded: bool) -> None:
        """Make some changes in a transaction of their own, and fold them into the sets or not."""
        self._db.execute("BEGIN")
        for _ in range(changes):
            self.change()
        if is_folded:
            derived.fold(self._db, above=0)
        self._db.execute("COMMIT")

    def change(self) -> None:
        """Do to one photo what happens to photos."""
        ids = [number for (number,) in self._run("SELECT id FROM photos")]
        if not ids:
            self.fill(3)
            return
        number = self._any.choice(ids)
        what = self._any.randrange(8)
        if what == 0:
            odd = self._any.choice(NAMES)
            self._run(
                "UPDATE OR IGNORE photos SET directory_id = ?, name = ?, printable = ?"
                " WHERE id = ?",
                (self._directory(), odd, printable_unless_utf8(os.fsdecode(odd)), number),
            )
        elif what == 1:
            state = self._any.choice(STATES)
            self._run("UPDATE photos SET state = ? WHERE id = ?", (state, number))
        elif what == 2:
            self._run("DELETE FROM photos WHERE id = ?", (number,))
        elif what == 3:
            self.look(number)
        elif what == 4:
            self.add(self._any.choice(IDS))
        else:
            self.retag(number)

    def retag(self, number: int) -> None:
        """Give a photo other keywords, the machine's and the user's, and other rejections."""
        for table in ("keywords", "user_keywords", "ledger", "read_sidecars"):
            if self._any.random() < 0.8:
                self._run(f"DELETE FROM {table} WHERE photo_id = ?", (number,))  # noqa: S608
        for name in self._some(LABELS):
            self._run(
                "INSERT OR IGNORE INTO keywords (photo_id, label_id, confidence) VALUES (?, ?, ?)",
                (number, self._labels[name], self._any.choice(CONFIDENCES)),
            )
        for name in self._some(LABELS):
            self._run(
                "INSERT OR IGNORE INTO user_keywords VALUES (?, ?, ?)",
                (number, self._labels[name], self._any.randrange(2)),
            )
        for value in self._some(REJECTED):
            field = self._any.choice(("dc:subject", "photo:dc:subject", "lr:hierarchicalSubject"))
            self._run(
                "INSERT OR IGNORE INTO ledger (photo_id, field, value, added_at, rejected_at)"
                " VALUES (?, ?, ?, 1, ?)",
                (number, field, value, self._maybe(2.0)),
            )
        if self._any.random() < 0.2:
            self._run("INSERT OR IGNORE INTO read_sidecars VALUES (?, x'2f', 1)", (number,))

    def look(self, number: int) -> None:
        """Give a photo another look, or none."""
        self._run("DELETE FROM looks WHERE photo_id = ?", (number,))
        if self._any.random() < 0.2:
            return
        formats = ("JPEG", "RAW", "HEIF")
        lat, lon = self._any.choice(PLACES)
        numbers = (None, 0.0, 1.8, 2.8, 50.0, 100.0, 1600.0, 1e300, 1 / 250, -1.0)
        self._run(
            f"INSERT INTO looks VALUES ({', '.join('?' * 14)})",  # noqa: S608
            (
                number,
                self._any.choice((1, 51, 100, 102, 103, 4000, 2**40)),
                self._any.choice((1, 50, 100, 104, 3000)),
                self._named("formats", self._any.choice(formats)),
                self._any.choice(TAKEN),
                self._maybe(60),
                self._maybe(
                    self._named("cameras", self._any.choice(("Canon EOS R6", 'x100% "v"')))
                ),
                self._maybe(self._named("lenses", self._any.choice(("RF70-200*", "50_mm")))),
                self._any.choice((None, 100, 1600, 2**50)),
                *(self._any.choice(numbers) for _ in range(3)),
                lat,
                lon,
            ),
        )

    def _run(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self._db.execute(sql, values)

    def _label(self, name: str) -> int:
        known = self._run("SELECT id FROM labels WHERE name = ?", (name,)).fetchone()
        if known:
            return int(known[0])
        values = (name, comparison_key(name))
        return self._run("INSERT INTO labels (name, folded) VALUES (?, ?)", values).lastrowid or 0

    def _named(self, table: str, name: str) -> int:
        self._run(f"INSERT OR IGNORE INTO {table} (name) VALUES (?)", (name,))  # noqa: S608
        found = self._run(f"SELECT id FROM {table} WHERE name = ?", (name,))  # noqa: S608
        return int(found.fetchone()[0])

    def _result(self, number: int) -> int:
        model, revision = MODELS[number % len(MODELS)]
        values = (bytes([number // 3]), model, revision)
        made = (
            self._run(
                "INSERT INTO results (digest, model, revision, created_at) VALUES (?, ?, ?, 0)",
                values,
            ).lastrowid
            or 0
        )
        for name in self._some((*LABELS, *SCORED)):
            score = self._any.choice(CONFIDENCES)
            self._run("INSERT INTO scores VALUES (?, ?, ?)", (made, self._labels[name], score))
        return made

    def _directory(self) -> int:
        path = self._any.choice(DIRECTORIES)
        values = (path, printable_unless_utf8(os.fsdecode(path)))
        self._run("INSERT OR IGNORE INTO directories (path, printable) VALUES (?, ?)", values)
        return int(self._run("SELECT id FROM directories WHERE path = ?", (path,)).fetchone()[0])

    def _moment(self) -> float:
        return self._any.choice(MOMENTS)

    def _maybe(self, value: object) -> object:
        return value if self._any.random() < 0.6 else None

    def _some(self, names: tuple[str, ...]) -> list[str]:
        return self._any.sample(names, self._any.randrange(min(4, len(names))))
