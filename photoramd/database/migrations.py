"""The database's schema, as named migrations.

Each runs once, in a transaction, and is recorded in ``_sqlite_migrations``. A released one is
never edited; a change of the schema is a new one.

Paths are bytes, since names on disk are not always UTF-8. A photo is a row of ``photos`` in a
row of ``directories``; ``results`` and ``scores`` belong to pictures, not to files, so copies
and renamed files share them.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from photoramd.database.m060 import m060_asking
from photoramd.database.m070 import m070_edits
from photoramd.database.m080 import m080_workers
from photoramd.database.versions import SET


def m001_photos(db: Database) -> None:
    """Add photos, their states, scores and keywords, and the ledger of writes."""
    for statement in _M001:
        db.execute(statement)


def m002_undo(db: Database) -> None:
    """Add the columns for undo and for noticing changed settings."""
    for statement in _M002:
        db.execute(statement)


def m010_requests(db: Database) -> None:
    """Add requests of other processes, and since when a photo is missing."""
    for statement in _M010:
        db.execute(statement)


def m020_raw(db: Database) -> None:
    """Add how many RAW files below a root cannot be decoded here."""
    db.execute("ALTER TABLE roots ADD COLUMN raw_left_out INTEGER NOT NULL DEFAULT 0")


def m030_places(db: Database) -> None:
    """Add where a photo's keywords are, why not inside it, and when its sidecar was written."""
    for statement in _M030:
        db.execute(statement)


def m040_present_model(db: Database) -> None:
    """Add the model whose earlier revisions' tags are renewed."""
    db.execute("CREATE TABLE present_model (model TEXT NOT NULL, revision TEXT NOT NULL)")


def m050_begun(db: Database) -> None:
    """Add how often work on a photo was begun and not ended."""
    for statement in _M050:
        db.execute(statement)


def m071_figures(db: Database) -> None:
    """Add what only the running daemon knows."""
    db.execute(_M071)


STEPS = (
    m001_photos,
    m002_undo,
    m010_requests,
    m020_raw,
    m030_places,
    m040_present_model,
    m050_begun,
    m060_asking,
    m070_edits,
    m071_figures,
    m080_workers,
)

schema = Migrations(SET)
for _step in STEPS:
    schema()(_step)


_M001 = (
    """CREATE TABLE directories (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE
    )""",
    """CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    )""",
    # One model's result for one picture, however many files show it.
    """CREATE TABLE results (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL,
        model TEXT NOT NULL,
        revision TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (digest, model, revision)
    )""",
    """CREATE TABLE scores (
        result_id INTEGER NOT NULL REFERENCES results(id) ON DELETE CASCADE,
        label_id INTEGER NOT NULL REFERENCES labels(id),
        score REAL NOT NULL,
        PRIMARY KEY (result_id, label_id)
    ) WITHOUT ROWID""",
    # size to inode are the fingerprint; times are Unix seconds; a next_attempt of NULL means
    # that nothing is retried automatically.
    """CREATE TABLE photos (
        id INTEGER PRIMARY KEY,
        directory_id INTEGER NOT NULL REFERENCES directories(id),
        name BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('pending', 'tagged', 'written', 'failed', 'missing')),
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt REAL DEFAULT 0,
        reason TEXT,
        missed_scans INTEGER NOT NULL DEFAULT 0,
        result_id INTEGER REFERENCES results(id),
        sidecar BLOB,
        found_at REAL NOT NULL,
        tagged_at REAL,
        written_at REAL,
        UNIQUE (directory_id, name)
    )""",
    # The durable queue, newest first, without the finished photos.
    """CREATE INDEX photos_queue ON photos (state, found_at DESC, id DESC, next_attempt)
        WHERE state IN ('pending', 'tagged', 'failed')""",
    """CREATE INDEX photos_retry ON photos (state, next_attempt)
        WHERE state IN ('pending', 'tagged', 'failed')""",
    "CREATE INDEX photos_inode ON photos (inode, size)",
    "CREATE INDEX photos_result ON photos (result_id)",
    """CREATE TABLE keywords (
        photo_id INTEGER NOT NULL REFERENCES photos(id) ON DELETE CASCADE,
        label_id INTEGER NOT NULL REFERENCES labels(id),
        confidence REAL NOT NULL,
        PRIMARY KEY (photo_id, label_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX keywords_label ON keywords (label_id, photo_id)",
    # Exactly what photoramd added to a photo's metadata, by field; rejected_at: when the user
    # was found to have removed it, so it is never written again.
    """CREATE TABLE ledger (
        photo_id INTEGER NOT NULL REFERENCES photos(id) ON DELETE CASCADE,
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        added_at REAL NOT NULL,
        rejected_at REAL,
        PRIMARY KEY (photo_id, field, value)
    ) WITHOUT ROWID""",
    # A replacement of a file that may be under way, committed before the rename. size to inode
    # are the target's fingerprint afterwards.
    """CREATE TABLE writes (
        photo_id INTEGER PRIMARY KEY REFERENCES photos(id) ON DELETE CASCADE,
        target BLOB NOT NULL,
        temporary BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        additions TEXT NOT NULL
    )""",
    # The last known health of each watched directory.
    """CREATE TABLE roots (
        path BLOB PRIMARY KEY,
        health TEXT NOT NULL,
        reason TEXT,
        remedy TEXT,
        since REAL NOT NULL,
        scanned_at REAL
    ) WITHOUT ROWID""",
    """CREATE VIEW tags AS
        SELECT CAST(d.path || '/' || p.name AS TEXT) AS photo, l.name AS tag,
               k.confidence AS confidence, p.state AS state
        FROM keywords k
        JOIN labels l ON l.id = k.label_id
        JOIN photos p ON p.id = k.photo_id
        JOIN directories d ON d.id = p.directory_id""",
)

_M002 = (
    # The keywords above a keyword, the most general first, joined by "|".
    "ALTER TABLE keywords ADD COLUMN parents TEXT NOT NULL DEFAULT ''",
    # 1: the user's own keyword, copied from another field when this one was made. A field name
    # that begins with "photo:" is a field in the photo, not in its sidecar.
    "ALTER TABLE ledger ADD COLUMN seeded INTEGER NOT NULL DEFAULT 0",
    # When the user took the tags back; such a photo gets none until retag asks for it.
    "ALTER TABLE photos ADD COLUMN undone_at REAL",
    # A digest of the settings that chose the keywords; NULL: choose them again.
    "ALTER TABLE photos ADD COLUMN settings TEXT",
    # The write mode that each root had last.
    "CREATE TABLE modes (root BLOB PRIMARY KEY, mode TEXT NOT NULL) WITHOUT ROWID",
    # 1: photoramd made the sidecar.
    "ALTER TABLE photos ADD COLUMN created INTEGER NOT NULL DEFAULT 0",
)

_M010 = (
    # kind: retag, or retag-failed. The path is a photo, or a directory and all below it.
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        path BLOB NOT NULL,
        created_at REAL NOT NULL
    )""",
    # Unix seconds; for rows older than this column, the time of the migration.
    "ALTER TABLE photos ADD COLUMN missing_since REAL",
    "UPDATE photos SET missing_since = unixepoch() WHERE state = 'missing'",
    "CREATE INDEX photos_missing ON photos (missing_since) WHERE state = 'missing'",
)

_M030 = (
    # sidecar or photo; NULL: nowhere.
    "ALTER TABLE photos ADD COLUMN place TEXT",
    # Why the keywords are not inside the photo, although they should be.
    "ALTER TABLE photos ADD COLUMN fallback TEXT",
    # The sidecar's date when it was last read or written; NULL: not known.
    "ALTER TABLE photos ADD COLUMN sidecar_mtime_ns INTEGER",
    """UPDATE photos SET place = CASE
           WHEN EXISTS (SELECT 1 FROM ledger WHERE photo_id = photos.id
                        AND field LIKE 'photo:%' AND rejected_at IS NULL) THEN 'photo'
           WHEN sidecar IS NOT NULL THEN 'sidecar' END
       WHERE state = 'written'""",
    "CREATE INDEX photos_place ON photos (place, fallback) WHERE place IS NOT NULL",
    # How far the present scan of a root is; NULL: none runs, or it has only just begun.
    "ALTER TABLE roots ADD COLUMN scanning_since REAL",
    "ALTER TABLE roots ADD COLUMN scanned_photos INTEGER",
    # Our sidecars of photos that are gone.
    """CREATE INDEX photos_orphans ON photos (next_attempt)
       WHERE state = 'missing' AND created = 1 AND sidecar IS NOT NULL""",
)

_M050 = (
    # Counted before a photo is decoded, and 0 again when that is over, however it ended.
    "ALTER TABLE photos ADD COLUMN begun INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX photos_begun ON photos (begun) WHERE begun > 0",
)

# One row, of the daemon that ran last; counts are since started_at.
_M071 = """CREATE TABLE figures (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stored_at REAL NOT NULL,
    process INTEGER NOT NULL,
    started_at REAL NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    is_model_available INTEGER NOT NULL,
    written INTEGER NOT NULL,
    not_written INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    undone INTEGER NOT NULL,
    inferred INTEGER NOT NULL,
    inference_seconds REAL NOT NULL,
    workers_started INTEGER NOT NULL,
    workers_lost INTEGER NOT NULL
)"""
