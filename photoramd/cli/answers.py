"""What commands print as JSON, as types: docs/schemas is made of them by `make docs`.

Programs rely on it. Keys may be added; none may go, become optional, or hold what it could not
hold before: tests/integration/test_schemas.py compares with the last release.
"""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from photoramd.database.edited import EditState, Kind
from photoramd.metadata.changes import Place
from photoramd.photo import PhotoState
from photoramd.search.status import Printable

_FILE = "absolute path; bytes that are not UTF-8 are lone surrogates, as Python's os.fsdecode makes"
_TAKEN = "by the camera's clock, to the second: 2024-07-31T18:30:00; null: not known"

_Confidence = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=0)]
_File = Annotated[str, Meta(description=f"The photo: {_FILE}.")]
_Names = Annotated[list[str], Meta(description="The tags by the model, the most confident first.")]
_Confidences = Annotated[list[_Confidence], Meta(description="Of the tags, in their order.")]
_UserTags = Annotated[list[str], Meta(description="The user's own tags, by name.")]
_Taken = Annotated[str | None, Meta(description=f"When it was taken, {_TAKEN}.")]
_State = Annotated[PhotoState, Meta(description="What the photo waits for.")]
_Moment = Annotated[float, Meta(description="Unix time in seconds.")]
_MomentOrNever = Annotated[float | None, Meta(description="Unix time in seconds; null: never.")]


class FoundPhoto(TypedDict):
    """A photo that a query found."""

    file: _File
    state: _State
    tags: _Names
    confidences: _Confidences
    user_tags: _UserTags
    taken: _Taken
    cursor: Annotated[
        str, Meta(description="For --after: its place in the order; empty for --sort random.")
    ]


class Linked(TypedDict):
    """What became of an album of links."""

    added: _Count
    removed: _Count
    kept: _Count
    in_the_way: Annotated[
        list[str], Meta(description="Names that other files have; these were not linked.")
    ]


class CountedTag(TypedDict):
    """A tag in use."""

    tag: str
    photos: Annotated[int, Meta(ge=1, description="How many photos have it.")]
    user: Annotated[int, Meta(ge=0, description="How many of these have it from the user.")]


class TaggedFile(TypedDict):
    """A photo that was tagged on the spot."""

    file: Annotated[str, Meta(description="The photo, as it was named or found.")]
    tags: _Names
    confidences: NotRequired[
        Annotated[list[_Confidence], Meta(description="Of the tags, if --confidence was given.")]
    ]
    error: NotRequired[
        Annotated[str, Meta(description="Why it could not be tagged, if it could not.")]
    ]


class ShownLook(TypedDict):
    """What a photo's file says of it; null is what it does not say."""

    width: Annotated[int, Meta(description="Of the upright photo, in pixels.")]
    height: Annotated[int, Meta(description="Of the upright photo, in pixels.")]
    format: Annotated[str, Meta(description="By content: JPEG, HEIF, RAW ...; others may come.")]
    taken: _Taken
    tz: Annotated[int | None, Meta(description="How far that clock was ahead of UTC, in minutes.")]
    camera: Annotated[str | None, Meta(description="Make and model.")]
    lens: Annotated[str | None, Meta(description="Make and model.")]
    iso: Annotated[int | None, Meta(description="The sensitivity.")]
    f: Annotated[float | None, Meta(description="The f-number.")]
    exposure: Annotated[float | None, Meta(description="In seconds.")]
    mm: Annotated[float | None, Meta(description="The focal length in millimetres.")]
    lat: Annotated[float | None, Meta(description="Degrees, north is positive.")]
    lon: Annotated[float | None, Meta(description="Degrees, east is positive.")]


class ShownEdit(TypedDict):
    """A change of a tag that is not in the photo's files yet, or failed."""

    edit: Annotated[int, Meta(ge=1, description="The edit that it belongs to, for --undo-edit.")]
    kind: Annotated[Kind, Meta(description="What it does.")]
    tag: str
    undoes: Annotated[Kind | None, Meta(description="What an undo takes back; null: no undo.")]
    state: Annotated[EditState, Meta(description="How far it is.")]
    reason: Annotated[str | None, Meta(description="Why it failed, or could not be written yet.")]
    asked_at: _Moment


class ShownPhoto(TypedDict):
    """Everything that is known of a photo."""

    file: _File
    state: _State
    tags: _Names
    confidences: _Confidences
    scores: NotRequired[
        Annotated[
            dict[str, _Confidence],
            Meta(description="Every stored score by tag, highest first, if --scores was given."),
        ]
    ]
    user_tags: _UserTags
    rejected: Annotated[
        list[str], Meta(description="Tags that the user rejected, or took out of the file.")
    ]
    edits: Annotated[list[ShownEdit], Meta(description="What is pending or failed, by time.")]
    model: Annotated[str | None, Meta(description="The model that tagged it.")]
    revision: Annotated[str | None, Meta(description="The model's revision.")]
    sidecar: Annotated[str | None, Meta(description=f"The file with its keywords: {_FILE}.")]
    place: Annotated[Place | None, Meta(description="Where its keywords are; null: nowhere.")]
    fallback: Annotated[
        str | None,
        Meta(description="Why they are not inside the photo, although they should be."),
    ]
    reason: Annotated[str | None, Meta(description="Why it failed or waits.")]
    attempts: Annotated[int, Meta(ge=0, description="How often it failed.")]
    next_attempt: Annotated[
        float | None,
        Meta(description="When it is tried again, Unix time in seconds; 0: at once; null: never."),
    ]
    size: Annotated[int, Meta(ge=0, description="Of the file, in bytes.")]
    found_at: _Moment
    tagged_at: _MomentOrNever
    written_at: _MomentOrNever
    undone_at: _MomentOrNever
    look: Annotated[ShownLook | None, Meta(description="null: the file was not read.")]


class EditedReason(TypedDict):
    """Why changes failed or wait."""

    reason: str
    changes: Annotated[int, Meta(ge=1, description="How many.")]
    example: Printable
    final: Annotated[bool, Meta(description="They failed; if not, they are tried again.")]


class Edited(TypedDict):
    """How far an edit is, in changes: photos times tags."""

    edit: Annotated[int, Meta(ge=1, description="Its number, for --undo-edit.")]
    daemon: Annotated[bool, Meta(description="Whether a running daemon does it.")]
    photos: _Count
    pending: Annotated[int, Meta(ge=0, description="Not in the files yet.")]
    done: _Count
    failed: _Count
    reasons: list[EditedReason]


class CheckedWorker(TypedDict):
    """A worker as it was just met; null is what was not found out."""

    url: str
    good: Annotated[bool, Meta(description="Whether a daemon could use it.")]
    problem: Annotated[str | None, Meta(description="Why not.")]
    remedy: Annotated[str | None, Meta(description="What can be done about it.")]
    device: Annotated[str | None, Meta(description="What the model runs on there.")]
    version: Annotated[str | None, Meta(description="Its version of photoramd.")]
    at_once: Annotated[int | None, Meta(description="How many requests it works on at a time.")]
    certificate_until: Annotated[
        float | None,
        Meta(description="Until when its certificate is valid, Unix time in seconds."),
    ]
    seconds_a_picture: Annotated[
        float | None, Meta(description="How long a picture of a small group took.")
    ]
