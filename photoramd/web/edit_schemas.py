"""What the API takes and gives about what failed, and about edits; see `schemas`."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from photoramd.web.schemas import Asked, Count, EditId, Given, PhotoId, Printable, Query, Text

MOST_PHOTOS = 1_000
"""Photos of one edit."""


class NothingAsked(Asked):
    """No parameters."""


class FailedReason(Given):
    """Why photos failed or wait, and with how many."""

    reason: str
    photos: Count
    example: Printable
    query: Annotated[str, Meta(description="What finds them.")]


class Failed(Given):
    """Why photos failed or wait, the most frequent first."""

    reasons: list[FailedReason]


PhotoIds = Annotated[list[PhotoId], Meta(min_length=1, max_length=MOST_PHOTOS)]
Keyword = Annotated[str, Meta(min_length=1, max_length=64)]


class Retry(Asked):
    """Which photos that failed are tried again; neither: all."""

    photos: PhotoIds | UnsetType = UNSET
    reason: Text | UnsetType = UNSET


class Retried(Given):
    """What was asked of the daemon."""

    photos: Annotated[int | None, Meta(description="How many photos; null: all that failed.")]
    left: Annotated[int, Meta(ge=0, description="How many are too many for one request.")]


class EditAsked(Asked):
    """Tags to add to photos, and tags that they shall not have."""

    photos: PhotoIds | UnsetType = UNSET
    query: Annotated[Query, Meta(description="Instead of photos.")] | UnsetType = UNSET
    add: Annotated[list[Keyword], Meta(max_length=20)] = field(default_factory=list)
    reject: Annotated[list[Keyword], Meta(max_length=20)] = field(default_factory=list)


class NothingSent(Asked):
    """An empty object."""


class EditGiven(Given):
    """An edit that the daemon carries out."""

    id: EditId
    photos: Annotated[int, Meta(ge=0, description="How many photos it is about.")]


class EditNamed(Asked):
    """Which edit."""

    id: EditId


class FailedEdit(Given):
    """A photo that an edit failed for."""

    photo: PhotoId
    name: Printable
    reason: str


class Progress(Given):
    """How far an edit is, in changes of a tag of a photo."""

    id: EditId
    photos: Annotated[int, Meta(ge=1, description="How many photos it is about.")]
    pending: Count
    done: Count
    failed: Count
    failures: Annotated[list[FailedEdit], Meta(description="The first hundred.")]
    can_undo: bool
