"""What the tables, views and columns of the database mean, for people.

docs/database.md and the metadata in contrib/datasette are made of it by `make docs`; a test
compares it with the schema of a new database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SECONDS = "Unix time, in seconds"
_ID = "number of the row"
_PHOTO = "the photo: `photos.id`"
_LABEL = "the tag: `labels.id`"
_STATE = "`pending`, `tagged` (waits to be written), `written`, `failed` or `missing`"


@dataclass(frozen=True, slots=True)
class Description:
    """A table or view.

    Attributes:
        purpose: What one row is.
        columns: The meaning of each column, with its unit.
        is_stable: Whether people and their programs may rely on it.
        internal: Columns of a stable one that may change without notice all the same.
    """

    purpose: str
    columns: Mapping[str, str]
    is_stable: bool = False
    internal: frozenset[str] = frozenset()


def _names(purpose: str, of: str) -> Description:
    return Description(purpose, {"id": _ID, "name": of}, is_stable=True)


VIEWS: Mapping[str, Description] = {
    "photo_list": Description(
        "A photo, and what its file says of it.",
        {
            "path": "absolute path; bytes that are no UTF-8 are written as `\\xe9`",
            "folder": "absolute path of its directory",
            "name": "name of the file",
            "state": _STATE,
            "reason": "why it failed or waits; NULL: neither",
            "taken": "when it was taken, by the camera's clock: `2024-07-31T18:30:00`; NULL: not "
            "known, as all that follows up to `lon`, and all of it before the photo was read",
            "tz": "how far that clock was ahead of UTC, in minutes; east is positive",
            "camera": "make and model",
            "lens": "make and model",
            "format": "format by content: `JPEG`, `PNG`, `WEBP`, `TIFF`, `BMP`, `GIF`, `AVIF`, "
            "`HEIF`, `RAW`; others may come",
            "iso": "sensitivity",
            "f": "f-number",
            "exposure": "exposure time in seconds",
            "mm": "focal length in millimetres",
            "width": "width of the upright photo, in pixels",
            "height": "height of the upright photo, in pixels",
            "lat": "latitude in degrees, north is positive (WGS84)",
            "lon": "longitude in degrees, east is positive (WGS84)",
            "size": "size of the file in bytes",
            "added": "when photoramd found it, in UTC: `2024-08-02T07:15:30Z`",
            "sidecar": "absolute path of the XMP file with its keywords; NULL: there is none",
            "photo_id": _PHOTO,
        },
        is_stable=True,
    ),
    "tags": Description(
        "A tag of a photo. A tag that both gave, the model and the user, has two rows.",
        {
            "photo": "absolute path; bytes that are no UTF-8 are written as `\\xe9`",
            "tag": "the tag as it is written",
            "confidence": "how sure the model is, 0 to 1; NULL: the user gave it",
            "state": f"the photo's: {_STATE}",
            "given_by": "`machine` or `user`",
            "photo_id": _PHOTO,
        },
        is_stable=True,
    ),
}
"""The views, which are there for people."""

STABLE_TABLES: Mapping[str, Description] = {
    "photos": Description(
        "A file that photoramd knows, also one that is gone.",
        {
            "id": _ID,
            "directory_id": "where it is: `directories.id`",
            "name": "name of the file, as bytes",
            "size": "size of the file in bytes",
            "mtime_ns": "when the file was last changed: Unix time, in nanoseconds",
            "device": "device of the file system, as stat gives it, signed",
            "inode": "inode, signed",
            "state": _STATE,
            "attempts": "how often it failed",
            "next_attempt": f"when it is tried again: {_SECONDS}; 0: at once; NULL: never",
            "reason": "why it failed or waits; NULL: neither",
            "missed_scans": "how many complete scans in a row did not see it",
            "result_id": "what the model saw in it: `results.id`; NULL: not looked at yet",
            "sidecar": "absolute path of the XMP file with its keywords, as bytes; NULL: none",
            "found_at": f"when it was found, or found changed: {_SECONDS}",
            "tagged_at": f"when it was tagged: {_SECONDS}",
            "written_at": f"when its keywords were written: {_SECONDS}",
            "undone_at": f"when the user took its tags back: {_SECONDS}",
            "settings": "digest of the settings that chose its tags; NULL: they are chosen again",
            "created": "1: photoramd made the sidecar",
            "missing_since": f"since when it is missing: {_SECONDS}",
            "place": "where its keywords are: `sidecar` or `photo`; NULL: nowhere",
            "fallback": "why they are not inside the photo, although they should be",
            "sidecar_mtime_ns": "the sidecar's date when it was last read or written by "
            "photoramd: Unix time, in nanoseconds",
            "begun": "how often work on it was begun and not ended",
            "is_read": "1: `looks` and `user_keywords` are as in its files; 0: they are read "
            "again; 2: they cannot be read",
            "printable": "its name as text, where that is not UTF-8; else NULL",
            "printable_sidecar": "the sidecar's path as text, where that is not UTF-8; else NULL",
        },
        is_stable=True,
        internal=frozenset(
            ("device", "inode", "missed_scans", "result_id", "settings", "created", "begun")
        )
        | {"sidecar_mtime_ns", "is_read"},
    ),
    "directories": Description(
        "A directory that has or had photos.",
        {
            "id": _ID,
            "path": "absolute path, as bytes",
            "printable": "the path as text, where it is not UTF-8; else NULL",
        },
        is_stable=True,
    ),
    "labels": Description(
        "A tag, whoever gave it; some are not in use any more.",
        {
            "id": _ID,
            "name": "the tag as it is written",
            "folded": "the tag as queries compare it: without regard to case",
        },
        is_stable=True,
    ),
    "keywords": Description(
        "A tag that the model gave to a photo.",
        {
            "photo_id": _PHOTO,
            "label_id": _LABEL,
            "confidence": "how sure the model is, 0 to 1",
            "parents": "the tags above it, the most general first, joined by `|`",
        },
        is_stable=True,
    ),
    "user_keywords": Description(
        "A tag of the user's own, in the photo or its sidecar, or added by an edit.",
        {
            "photo_id": _PHOTO,
            "label_id": _LABEL,
            "is_above": "1: the user filed another tag below it, and did not give it by itself",
        },
        is_stable=True,
    ),
    "label_parents": Description(
        "That a tag is right above another in the models' hierarchy.",
        {"label_id": f"the lower one, {_LABEL}", "parent_id": f"the upper one, {_LABEL}"},
        is_stable=True,
    ),
    "looks": Description(
        "What a photo's file says of it; NULL is what it does not say, or says senselessly.",
        {
            "photo_id": _PHOTO,
            "width": "width of the upright photo, in pixels",
            "height": "height of the upright photo, in pixels",
            "format_id": "format by content: `formats.id`",
            "taken": "when it was taken, by the camera's clock: seconds since 1970 as if that "
            "clock showed UTC",
            "tz": "how far that clock was ahead of UTC, in minutes; east is positive",
            "camera_id": "`cameras.id`",
            "lens_id": "`lenses.id`",
            "iso": "sensitivity",
            "f": "f-number",
            "exposure": "exposure time in seconds",
            "mm": "focal length in millimetres",
            "lat": "latitude in degrees, north is positive (WGS84)",
            "lon": "longitude in degrees, east is positive (WGS84)",
        },
        is_stable=True,
    ),
    "cameras": _names("A camera.", "make and model"),
    "lenses": _names("A lens.", "make and model"),
    "formats": _names("A format of files.", "its name, such as `JPEG`"),
    "roots": Description(
        "A watched directory as the daemon last saw it.",
        {
            "path": "absolute path, as bytes",
            "health": "`online`, `degraded` or `offline`",
            "reason": "why it is not online",
            "remedy": "what the user can do about it",
            "since": f"since when: {_SECONDS}",
            "scanned_at": f"when the last scan was complete: {_SECONDS}; NULL: never",
            "raw_left_out": "how many RAW files below it cannot be decoded here",
            "scanning_since": f"when the present scan began: {_SECONDS}; NULL: none runs",
            "scanned_photos": "how many photos the present scan has seen",
        },
        is_stable=True,
    ),
}
"""Tables that people may read directly."""

INTERNAL_TABLES: Mapping[str, Description] = {
    "results": Description(
        "What one model said of one picture, however many files show it.",
        {
            "id": _ID,
            "digest": "BLAKE2b of the pixels given to the model, 16 bytes",
            "model": "the model",
            "revision": "its revision",
            "created_at": f"when it was made: {_SECONDS}",
        },
    ),
    "scores": Description(
        "How sure a model is of a tag for a picture, also far below the thresholds.",
        {"result_id": "`results.id`", "label_id": _LABEL, "score": "0 to 1"},
    ),
    "ledger": Description(
        "A value that photoramd added to the metadata of a photo: what it may take back.",
        {
            "photo_id": _PHOTO,
            "field": "XMP property; with `photo:` before it, one inside the photo",
            "value": "exactly what was added",
            "added_at": f"when: {_SECONDS}",
            "rejected_at": f"when the user rejected it or was found to have removed it: {_SECONDS}",
            "seeded": "1: the user's own, copied from inside the photo",
            "is_leaving": "1: rejected by an edit, and in the file until that is written",
        },
    ),
    "writes": Description(
        "A replacement of a file that is under way.",
        {
            "photo_id": _PHOTO,
            "target": "path of the file, as bytes",
            "temporary": "path of its new content, as bytes",
            "size": "the target's size afterwards, in bytes",
            "mtime_ns": "its date afterwards: Unix time, in nanoseconds",
            "device": "its device",
            "inode": "its inode afterwards",
            "additions": "what changes in the ledger, as JSON",
        },
    ),
    "read_sidecars": Description(
        "The sidecar from which the user's own tags were read.",
        {
            "photo_id": _PHOTO,
            "path": "absolute path, as bytes",
            "mtime_ns": "its date then: Unix time, in nanoseconds",
        },
    ),
    "modes": Description(
        "How keywords of a watched directory were written last.",
        {"root": "absolute path, as bytes", "mode": "`sidecar`, `embed` or `none`"},
    ),
    "requests": Description(
        "What another command asks of the daemon.",
        {
            "id": _ID,
            "kind": "`retag`, `retag-failed` or `undo`",
            "path": "a photo, or a directory and all below it, as bytes",
            "created_at": f"when: {_SECONDS}",
        },
    ),
    "edits": Description(
        "What a user asked to change in the tags of up to 1,000 photos.",
        {
            "id": f"{_ID}, never used twice",
            "asked_by": "`command` or `gallery`",
            "asked_at": f"when: {_SECONDS}",
            "undoes": "the edit that it takes back: `edits.id`; NULL: none",
        },
    ),
    "edit_changes": Description(
        "One change of an edit, to one tag of one photo.",
        {
            "id": _ID,
            "edit_id": "`edits.id`",
            "photo_id": _PHOTO,
            "kind": "`add`, `reject` or `undo`",
            "tag": "the tag as it was asked for",
            "folded": "the tag as it is compared with others",
            "undoes": "the change that it takes back: `edit_changes.id`; NULL: none",
            "state": "`pending`, `done` (the files say so) or `failed`",
            "reason": "why it failed",
            "applied_at": f"since when the database says so: {_SECONDS}; NULL: not yet",
            "done_at": f"when it was done, or failed: {_SECONDS}",
            "before": "what undo restores, as JSON; NULL: there was nothing to change",
            "superseded_by": "the change that took it back, or took the place of a failed one",
        },
    ),
    "given_tags": Description(
        "A tag that the user had photoramd add.",
        {
            "photo_id": _PHOTO,
            "label_id": _LABEL,
            "is_leaving": "1: it was taken back, and may be in the file until that is written",
        },
    ),
    "present_model": Description(
        "The model whose earlier revisions' tags are renewed.",
        {"model": "the model", "revision": "its present revision"},
    ),
    "workers": Description(
        "Other machines on which the model runs, as the daemon last met them.",
        {
            "position": "the place in `cluster.workers`, from 0",
            "url": "the address",
            "is_available": "1: the model can run there",
            "reason": "why it cannot; empty if it can",
            "remedy": "what can be done about it; perhaps empty",
            "since": f"since when that is so: {_SECONDS}",
        },
    ),
    "figures": Description(
        "One row: what the daemon that ran last knew of itself; "
        "`photoramd status --format prometheus` tells it.",
        {
            "id": "always 1",
            "stored_at": f"when this was stored: {_SECONDS}",
            "process": "its process id",
            "started_at": f"since when all is counted: {_SECONDS}",
            "model": "the model",
            "revision": "its revision",
            "is_model_available": "0: the model failed when it was tried last",
            "written": "photos whose tags were written",
            "not_written": "how often tags could not be written, for now",
            "failed": "how often a photo could not be decoded or tagged",
            "undone": "photos whose tags were taken back",
            "inferred": "pictures that the model looked at",
            "inference_seconds": "how long that took, in seconds",
            "workers_started": "processes started to look into files",
            "workers_lost": "those that a file took down, or that took too long for one",
        },
    ),
    "extensions": Description("A suffix of names.", {"id": _ID, "name": "in small letters"}),
    "sets": Description(
        "A set of photos, made from the tables above so that queries are fast.",
        {
            "kind": "what it is about: `photoramd.database.derived.Kind`",
            "key": "number of the tag, directory, camera or the like",
            "chunk": "`photos.id >> 16`",
            "photos": "roaring bitmap of `photos.id`, portable format",
        },
    ),
    "set_changes": Description(
        "What has changed since the sets were made.",
        {
            "id": "later ones count",
            "kind": "as in `sets`",
            "key": "as in `sets`",
            "photo_id": _PHOTO,
            "is_member": "1: it is in the set now; 0: no longer",
        },
    ),
    "folded": Description(
        "One row: how far the changes are in the sets.",
        {"last_change": "`set_changes.id`; NULL: the sets are yet to be made"},
    ),
    "names": Description(
        "FTS5 index of the files' names by three letters: found by, never read.",
        {"name": "name of the file; the rowid is `photos.id`"},
    ),
    "places": Description(
        "R*Tree of where photos were taken, rounded outwards to 32 bits.",
        {
            "photo_id": _PHOTO,
            "south": "latitude in degrees",
            "north": "latitude in degrees",
            "west": "longitude in degrees",
            "east": "longitude in degrees",
        },
    ),
    "_sqlite_migrations": Description(
        "A change of the schema that was made (sqlite-utils).",
        {
            "id": _ID,
            "migration_set": "`photoramd`",
            "name": "the migration",
            "applied_at": "when, in UTC",
        },
    ),
}
"""Tables that change without notice. SQLite's own, and what stands behind indexes, are not told."""

ALL: Mapping[str, Description] = {**VIEWS, **STABLE_TABLES, **INTERNAL_TABLES}
"""Everything, in the order of the documentation."""
