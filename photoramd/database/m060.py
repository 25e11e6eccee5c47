"""Migration 60: what queries need beside the keywords.

A module of its own for its length. Like the others it is never edited once released; `derived`
fills what it makes from the rows that are there.
"""

from __future__ import annotations

from sqlite_utils import Database

from photoramd.database.conditions import is_panorama, month_of, shape_of, suffix_of
from photoramd.keywords import comparison_key


def m060_asking(db: Database) -> None:
    """Add looks, the user's own keywords, the hierarchy of labels, and what is derived."""
    for statement in (*_TABLES, *_DERIVED, *_TRIGGERS):
        db.execute(statement)
    for name, sql in _VIEWS.items():
        db.create_view(name, sql, replace=True)
    for number, name in db.execute("SELECT id, name FROM labels").fetchall():
        db.execute("UPDATE labels SET folded = ? WHERE id = ?", (comparison_key(name), number))
    for table, column, printable in _PATHS:
        rows = db.execute(f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608
        odd = [(number, text) for number, text in rows if not _is_utf8(text)]
        for number, text in odd:
            printed = text.decode("utf-8", "backslashreplace")
            sql = f"UPDATE {table} SET {printable} = ? WHERE id = ?"  # noqa: S608
            db.execute(sql, (printed, number))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


_PATHS = (
    ("directories", "path", "printable"),
    ("photos", "name", "printable"),
    ("photos", "sidecar", "printable_sidecar"),
)
"""Columns of paths, and where they are as text for people."""

_NAMED = tuple(
    f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"
    for table in ("cameras", "lenses", "formats", "extensions")
)

_TABLES = (
    # As labels are compared: photoramd.keywords.comparison_key.
    "ALTER TABLE labels ADD COLUMN folded TEXT",
    "CREATE INDEX labels_folded ON labels (folded)",
    # The keywords right above a keyword in the models' hierarchy.
    """CREATE TABLE label_parents (
        label_id INTEGER NOT NULL REFERENCES labels(id),
        parent_id INTEGER NOT NULL REFERENCES labels(id),
        PRIMARY KEY (label_id, parent_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX label_parents_parent ON label_parents (parent_id, label_id)",
    # The user's own keywords, in the photo or its sidecar. is_above: 1 if the user filed another
    # keyword below it and did not give it by itself.
    """CREATE TABLE user_keywords (
        photo_id INTEGER NOT NULL REFERENCES photos(id) ON DELETE CASCADE,
        label_id INTEGER NOT NULL REFERENCES labels(id),
        is_above INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (photo_id, label_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX user_keywords_label ON user_keywords (label_id, photo_id)",
    # The sidecar that they were read from, and its date then.
    """CREATE TABLE read_sidecars (
        photo_id INTEGER PRIMARY KEY REFERENCES photos(id) ON DELETE CASCADE,
        path BLOB NOT NULL,
        mtime_ns INTEGER NOT NULL
    )""",
    # 1: looks and user_keywords are as the files were when they were last seen.
    "ALTER TABLE photos ADD COLUMN is_read INTEGER NOT NULL DEFAULT 0",
    """CREATE INDEX photos_unread ON photos (id)
       WHERE is_read = 0 AND state IN ('tagged', 'written')""",
    # Text for people; NULL where the bytes are UTF-8 themselves.
    "ALTER TABLE photos ADD COLUMN printable TEXT",
    "ALTER TABLE photos ADD COLUMN printable_sidecar TEXT",
    "ALTER TABLE directories ADD COLUMN printable TEXT",
    # To the letter, photoramd.database.conditions.ODD_NAMES.
    """CREATE INDEX photos_odd_names ON photos (id)
       WHERE (printable IS NOT NULL OR length(CAST(name AS TEXT)) <> length(name))""",
    "CREATE INDEX photos_found ON photos (found_at)",
    "CREATE INDEX photos_tagged ON photos (tagged_at)",
    "CREATE INDEX photos_changed ON photos (mtime_ns)",
    "CREATE INDEX photos_undone ON photos (undone_at) WHERE undone_at IS NOT NULL",
    """CREATE INDEX ledger_rejected ON ledger (photo_id, value)
       WHERE rejected_at IS NOT NULL AND field IN ('dc:subject', 'photo:dc:subject')""",
    *_NAMED,
    # What the file says of the picture. taken: the camera's clock, in seconds as if it were UTC;
    # tz: minutes east of UTC; exposure in seconds, mm the focal length, lat and lon in degrees.
    """CREATE TABLE looks (
        photo_id INTEGER PRIMARY KEY REFERENCES photos(id) ON DELETE CASCADE,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        format_id INTEGER NOT NULL REFERENCES formats(id),
        taken REAL,
        tz INTEGER,
        camera_id INTEGER REFERENCES cameras(id),
        lens_id INTEGER REFERENCES lenses(id),
        iso INTEGER,
        f REAL,
        exposure REAL,
        mm REAL,
        lat REAL,
        lon REAL
    )""",
    "CREATE INDEX looks_taken ON looks (taken DESC, photo_id DESC)",
    "CREATE INDEX looks_numbers ON looks (iso, f, mm, exposure, width, height)",
)

_DERIVED = (
    # Roaring bitmaps of photo ids by kind (see photoramd.database.derived), key and id >> 16. By
    # chunk first: what new photos alter is all in the last one, and so on few pages.
    """CREATE TABLE sets (
        kind INTEGER NOT NULL,
        key INTEGER NOT NULL,
        chunk INTEGER NOT NULL,
        photos BLOB NOT NULL,
        PRIMARY KEY (chunk, kind, key)
    ) WITHOUT ROWID""",
    # What has changed since; a later row counts.
    """CREATE TABLE set_changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind INTEGER NOT NULL,
        key INTEGER NOT NULL,
        photo_id INTEGER NOT NULL,
        is_member INTEGER NOT NULL
    )""",
    # How far the changes are in the sets; NULL: the sets are yet to be made.
    "CREATE TABLE folded (last_change INTEGER)",
    "INSERT INTO folded VALUES (NULL)",
    # Contentless: only looked up in, by three letters. It may hold names that photos no longer
    # have, and those of the latest photos are in set_changes yet.
    """CREATE VIRTUAL TABLE names USING fts5(
        name, content='', columnsize=0, detail=none, tokenize='trigram'
    )""",
    # It may hold places that photos no longer have; the latest are in set_changes yet. Coordinates
    # are 32 bits wide, rounded down and up.
    "CREATE VIRTUAL TABLE places USING rtree(photo_id, south, north, west, east)",
)


def _noted(kind: int, key: str, photo: str, is_member: str) -> str:
    columns = "(kind, key, photo_id, is_member)"
    values = f"({kind}, {key}, {photo}, {is_member})"
    return f"INSERT INTO set_changes {columns} VALUES {values};"  # noqa: S608


def _has_suffix(row: str, is_member: int) -> str:
    suffix = suffix_of(f"{row}.name")
    return f"""INSERT OR IGNORE INTO extensions (name) VALUES ({suffix});
        INSERT INTO set_changes (kind, key, photo_id, is_member)
        SELECT 5, id, {row}.id, {is_member} FROM extensions WHERE name = {suffix};"""  # noqa: S608


def _is_named(row: str) -> str:
    # What the index of names holds of other names is harmless: hits are checked.
    return _noted(11, "0", f"{row}.id", "1")


def _looks(row: str, is_member: int) -> str:
    parts = [
        (6, month_of(f"{row}.taken"), f"{row}.taken IS NOT NULL"),
        (7, f"{row}.camera_id", f"{row}.camera_id IS NOT NULL"),
        (8, f"{row}.lens_id", f"{row}.lens_id IS NOT NULL"),
        (9, f"{row}.format_id", "1"),
        (12, shape_of(f"{row}.width", f"{row}.height"), "1"),
        (12, "3", is_panorama(f"{row}.width", f"{row}.height")),
        (13, "0", f"{row}.lat IS NOT NULL AND {row}.lon IS NOT NULL"),
    ]
    noted = [
        f"""INSERT INTO set_changes (kind, key, photo_id, is_member)
            SELECT {kind}, {key}, {row}.photo_id, {is_member} WHERE {value};"""
        for kind, key, value in parts
    ]
    return "\n".join(noted)


def _keywords_change(table: str, key: int) -> tuple[str, ...]:
    """Return triggers that note whether a photo has any keyword at all of this table."""
    others = f"EXISTS (SELECT 1 FROM {table} WHERE photo_id = {{0}}.photo_id AND label_id <> {{0}}.label_id)"  # noqa: E501, S608
    return (
        f"""CREATE TRIGGER {table}_begin AFTER INSERT ON {table}
            WHEN NOT {others.format("NEW")} BEGIN
            {_noted(10, str(key), "NEW.photo_id", "1")}
        END""",
        f"""CREATE TRIGGER {table}_end AFTER DELETE ON {table}
            WHEN NOT {others.format("OLD")} BEGIN
            {_noted(10, str(key), "OLD.photo_id", "0")}
        END""",
    )


_TRIGGERS = (
    f"""CREATE TRIGGER photos_are_added AFTER INSERT ON photos BEGIN
        {_noted(0, "0", "NEW.id", "NEW.state <> 'missing'")}
        {_noted(4, "NEW.directory_id", "NEW.id", "1")}
        {_has_suffix("NEW", 1)}
        {_is_named("NEW")}
    END""",
    f"""CREATE TRIGGER photos_are_removed AFTER DELETE ON photos BEGIN
        {_noted(0, "0", "OLD.id", "0")}
        {_noted(4, "OLD.directory_id", "OLD.id", "0")}
        {_has_suffix("OLD", 0)}
    END""",
    f"""CREATE TRIGGER photos_go_missing AFTER UPDATE OF state ON photos
        WHEN (OLD.state = 'missing') <> (NEW.state = 'missing') BEGIN
        {_noted(0, "0", "NEW.id", "NEW.state <> 'missing'")}
    END""",
    f"""CREATE TRIGGER photos_are_moved AFTER UPDATE OF directory_id ON photos
        WHEN OLD.directory_id <> NEW.directory_id BEGIN
        {_noted(4, "OLD.directory_id", "OLD.id", "0")}
        {_noted(4, "NEW.directory_id", "NEW.id", "1")}
    END""",
    f"""CREATE TRIGGER photos_are_renamed AFTER UPDATE OF name ON photos
        WHEN OLD.name <> NEW.name BEGIN
        {_has_suffix("OLD", 0)}
        {_has_suffix("NEW", 1)}
        {_is_named("NEW")}
    END""",
    *_keywords_change("keywords", 0),
    *_keywords_change("user_keywords", 1),
    f"""CREATE TRIGGER keywords_are_added AFTER INSERT ON keywords BEGIN
        {_noted(1, "NEW.label_id", "NEW.photo_id", "1")}
    END""",
    f"""CREATE TRIGGER keywords_are_removed AFTER DELETE ON keywords BEGIN
        {_noted(1, "OLD.label_id", "OLD.photo_id", "0")}
    END""",
    f"""CREATE TRIGGER user_keywords_are_added AFTER INSERT ON user_keywords BEGIN
        {_noted(2, "NEW.label_id", "NEW.photo_id", "NOT NEW.is_above")}
        {_noted(3, "NEW.label_id", "NEW.photo_id", "NEW.is_above")}
    END""",
    f"""CREATE TRIGGER user_keywords_are_removed AFTER DELETE ON user_keywords BEGIN
        {_noted(2, "OLD.label_id", "OLD.photo_id", "0")}
        {_noted(3, "OLD.label_id", "OLD.photo_id", "0")}
    END""",
    f"""CREATE TRIGGER looks_are_added AFTER INSERT ON looks BEGIN
        {_looks("NEW", 1)}
    END""",
    f"""CREATE TRIGGER looks_are_removed AFTER DELETE ON looks BEGIN
        {_looks("OLD", 0)}
    END""",
)

_FOLDER = "coalesce(d.printable, CAST(d.path AS TEXT))"
_NAME = "coalesce(p.printable, CAST(p.name AS TEXT))"
_PATH = f"rtrim({_FOLDER}, '/') || '/' || {_NAME}"
_SECOND = "%Y-%m-%dT%H:%M:%S"

# For people and their programs, which have no functions but SQLite's own. Every text in them is
# UTF-8: sqlite3 of Python, and so Datasette, refuses a whole page for one that is not.
_VIEWS = {
    # Each half finds the tags of one photo, and the photos of one tag, by an index.
    "tags": f"""
        SELECT {_PATH} AS photo, l.name AS tag, k.confidence AS confidence, p.state AS state,
               'machine' AS given_by, p.id AS photo_id
        FROM keywords k
        JOIN labels l ON l.id = k.label_id
        JOIN photos p ON p.id = k.photo_id
        JOIN directories d ON d.id = p.directory_id
        UNION ALL
        SELECT {_PATH}, l.name, NULL, p.state, 'user', p.id
        FROM user_keywords k
        JOIN labels l ON l.id = k.label_id
        JOIN photos p ON p.id = k.photo_id
        JOIN directories d ON d.id = p.directory_id
        WHERE NOT k.is_above""",  # noqa: S608
    "photo_list": f"""
        SELECT {_PATH} AS path, {_FOLDER} AS folder, {_NAME} AS name, p.state AS state,
               p.reason AS reason, strftime('{_SECOND}', l.taken, 'unixepoch') AS taken,
               l.tz AS tz, c.name AS camera, s.name AS lens, f.name AS format, l.iso AS iso,
               l.f AS f, l.exposure AS exposure, l.mm AS mm, l.width AS width,
               l.height AS height, l.lat AS lat, l.lon AS lon, p.size AS size,
               strftime('{_SECOND}Z', p.found_at, 'unixepoch') AS added,
               coalesce(p.printable_sidecar, CAST(p.sidecar AS TEXT)) AS sidecar,
               p.id AS photo_id
        FROM photos p
        JOIN directories d ON d.id = p.directory_id
        LEFT JOIN looks l ON l.photo_id = p.id
        LEFT JOIN formats f ON f.id = l.format_id
        LEFT JOIN cameras c ON c.id = l.camera_id
        LEFT JOIN lenses s ON s.id = l.lens_id""",  # noqa: S608
}
