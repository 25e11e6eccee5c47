"""What the API takes and gives, as types.

Requests are checked against them, and the OpenAPI document is made of them. Programs rely on it:
keys may be added; none may go, become optional, or hold what it could not hold before.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from photoramd.database.edited import EditState, Kind
from photoramd.metadata.changes import Place
from photoramd.photo import PhotoState
from photoramd.search.parser import MAX_CHARACTERS

Sort = Literal["taken", "added", "score", "path"]

PhotoId = Annotated[int, Meta(ge=0, lt=2**32, description="The number of a photo.")]
EditId = Annotated[int, Meta(ge=0, lt=2**53, description="The number of an edit.")]
Count = Annotated[int, Meta(ge=0)]
Confidence = Annotated[float, Meta(ge=0, le=1)]
Query = Annotated[
    str,
    Meta(max_length=MAX_CHARACTERS, description="As for `photoramd query`; empty: all photos."),
]
Version = Annotated[str, Meta(description="Stands for an order of photos.", max_length=64)]
Taken = Annotated[
    str | None,
    Meta(description="By the camera's clock, such as 2024-05-01T12:00:00; null: not known."),
]
Printable = Annotated[
    str, Meta(description="For people: bytes that are not UTF-8 are written as \\xe9.")
]
Text = Annotated[str, Meta(max_length=MAX_CHARACTERS)]


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a request."""


class Given(msgspec.Struct, kw_only=True):
    """A part of an answer."""


# Photos


class GivenTag(Given):
    """A tag by the model."""

    name: str
    confidence: Confidence


class Photo(Given):
    """A photo as a grid shows it."""

    id: PhotoId
    name: Printable
    folder: Printable
    width: Annotated[int | None, Meta(description="Of the upright photo, in pixels.")]
    height: Annotated[int | None, Meta(description="Of the upright photo, in pixels.")]
    taken: Taken
    state: Annotated[PhotoState, Meta(description="What it waits for.")]
    tags: Annotated[list[GivenTag], Meta(description="By the model, the most confident first.")]
    user_tags: Annotated[list[str], Meta(description="The user's own, by name.")]
    pending: Annotated[int, Meta(ge=0, description="Edits that wait for the daemon.")]
    thumbnail: Annotated[
        str, Meta(description="Where its thumbnail is, relative to the root of the site.")
    ]


class SimilarPhoto(Photo):
    """A photo that looks like another."""

    likeness: Annotated[float, Meta(ge=-1, le=1.01, description="1: the same picture.")]


class Edit(Given):
    """A change of a tag of a photo that was asked for."""

    id: EditId
    kind: Kind
    tag: str
    state: EditState
    reason: Annotated[str | None, Meta(description="Why it failed, or is not done yet.")]
    undoes: Annotated[Kind | None, Meta(description="What an undo takes back.")]


class PhotoDetails(Photo):
    """Everything that is known of a photo; null is what is not known."""

    path: Printable
    size: Annotated[int, Meta(ge=0, description="Of the file, in bytes.")]
    format: Annotated[str | None, Meta(description="By content: JPEG, HEIF, RAW ...")]
    camera: Annotated[str | None, Meta(description="Make and model.")]
    lens: Annotated[str | None, Meta(description="Make and model.")]
    iso: int | None
    f: Annotated[float | None, Meta(description="The f-number.")]
    exposure: Annotated[float | None, Meta(description="In seconds.")]
    mm: Annotated[float | None, Meta(description="The focal length in millimetres.")]
    tz: Annotated[int | None, Meta(description="How far the clock was ahead of UTC, in minutes.")]
    lat: Annotated[float | None, Meta(description="Degrees, north is positive.")]
    lon: Annotated[float | None, Meta(description="Degrees, east is positive.")]
    sidecar: Annotated[str | None, Meta(description="The file with its keywords; printable.")]
    place: Annotated[Place | None, Meta(description="Where its keywords are; null: nowhere.")]
    model: Annotated[str | None, Meta(description="The model that tagged it.")]
    revision: Annotated[str | None, Meta(description="The model's revision.")]
    reason: Annotated[str | None, Meta(description="Why it failed or waits.")]
    rejected: Annotated[list[str], Meta(description="Tags that the user took out.")]
    copies: Annotated[int, Meta(ge=0, description="Other photos of the same picture.")]
    links: Annotated[
        dict[str, str], Meta(description="Queries that find photos like it, by what they share.")
    ]
    edits: Annotated[list[Edit], Meta(description="That wait or failed.")]


class LayoutAsked(Asked):
    """Which photos, and in which order."""

    q: Query = ""
    sort: Sort = "taken"
    anchor: Annotated[PhotoId, Meta(description="A photo whose place is wanted.")] | UnsetType = (
        UNSET
    )


class Layout(Given):
    """The shapes and days of all photos that a query finds."""

    version: Version
    total: Count
    aspects: Annotated[
        str,
        Meta(
            description="A character for each photo, in order: its width is 0.25 * 16 ** ((c - 35)"
            " / 91) of its height, c being its code in ASCII, from 35 to 126."
        ),
    ]
    # Lists, as older programs know no tuples in schemas.
    days: Annotated[
        list[Annotated[list[str | int | None], Meta(min_length=2, max_length=2)]],
        Meta(
            description="Days, such as 2024-05-01, and how many photos have each, in order; null:"
            " not known, the last. In another order than by taken all are in one run of null."
        ),
    ]
    anchor: Annotated[int | None, Meta(description="The place of the photo asked for, from 0.")]


class PhotosAsked(Asked):
    """Which photos: by place in an order, or behind a cursor."""

    q: Query = ""
    sort: Sort = "taken"
    at: (
        Annotated[int, Meta(ge=0, lt=2**32, description="The place of the first, from 0.")]
        | UnsetType
    ) = UNSET
    limit: Annotated[int, Meta(ge=1, le=500, description="How many, at most.")] = 100
    version: Annotated[Version, Meta(description="Of a layout.")] | UnsetType = UNSET
    after: (
        Annotated[str, Meta(description="The cursor of the page before.", max_length=8192)]
        | UnsetType
    ) = UNSET


class Photos(Given):
    """Photos: a window of an order, or a page of them."""

    total: Annotated[int, Meta(ge=0, description="How many the query finds.")]
    photos: list[Photo]
    version: Annotated[
        str | None, Meta(description="Of the order; null for a page behind a cursor.")
    ] = None
    at: Annotated[
        int | None, Meta(description="The place of the first; null for a page behind a cursor.")
    ] = None
    next: Annotated[
        str | None, Meta(description="The cursor for the next page; null: there is none.")
    ] = None


class PhotoAsked(Asked):
    """Which photo."""

    id: PhotoId


class NeighboursAsked(PhotoAsked):
    """Which photo, in which order."""

    q: Query = ""
    sort: Sort = "taken"


class Neighbours(Given):
    """The photos beside one; all null if the query does not find it."""

    previous: PhotoId | None
    next: PhotoId | None
    rank: Annotated[int | None, Meta(description="Its place, from 0.")]
    total: Count


class SimilarAsked(PhotoAsked):
    """To which photo, and how many."""

    limit: Annotated[int, Meta(ge=1, le=200, description="How many, at most.")] = 50


class SimilarPhotos(Given):
    """Photos that look like one, the most similar first; without that one."""

    photos: list[SimilarPhoto]
