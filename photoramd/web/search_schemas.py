"""What the API takes and gives about searching; see `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from photoramd.search.facets import GroupName
from photoramd.web.problems import Problem
from photoramd.web.schemas import Asked, Count, Given, Printable, Query, Text


class FacetsAsked(Asked):
    """Of which photos."""

    q: Query = ""


class Chip(Given):
    """A part of a query."""

    text: str
    without: Annotated[str, Meta(description="The query without it.")]


class Entry(Given):
    """A part of the photos."""

    label: str
    count: Annotated[int, Meta(ge=1, description="How many of the photos are in it.")]
    add: Annotated[str, Meta(description="The query for only these.")]
    exclude: Annotated[str, Meta(description="The query for all but these.")]
    remove: Annotated[
        str | None, Meta(description="The query without this part; null: it has no such part.")
    ]
    is_active: Annotated[bool, Meta(description="Whether the query asks for it already.")]


class Group(Given):
    """Parts of one kind."""

    name: GroupName
    entries: Annotated[list[Entry], Meta(max_length=12)]


class Facets(Given):
    """What the photos of a query have in common."""

    total: Count
    chips: list[Chip]
    groups: list[Group]


class TagsAsked(Asked):
    """Which tags."""

    prefix: Annotated[
        str, Meta(max_length=200, description="How the tag, or one of its words, begins.")
    ] = ""
    q: Query = ""
    sort: Literal["count", "name"] = "count"
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many, at most.")] = 100
    after: (
        Annotated[Text, Meta(description="The tag that was the last of the page before.")]
        | UnsetType
    ) = UNSET


class CountedTag(Given):
    """A tag in use."""

    name: str
    photos: Annotated[int, Meta(ge=1, description="How many photos have it.")]
    user: Annotated[int, Meta(ge=0, description="How many of these have it from the user.")]


class Tags(Given):
    """Tags in use."""

    tags: list[CountedTag]
    next: Annotated[str | None, Meta(description="For `after`; null: these are the last.")]


class FoldersAsked(Asked):
    """Which folder."""

    path: Annotated[Text, Meta(description="Printable; empty: the watched directories.")] = ""


class CountedFolder(Given):
    """A folder with photos in it or below."""

    name: Printable
    path: Printable
    photos: Count
    query: Annotated[str, Meta(description="What finds these photos.")]


class Folders(Given):
    """Folders right below one."""

    path: Printable
    folders: list[CountedFolder]


class CompleteAsked(Asked):
    """What is typed."""

    text: Query = ""
    cursor: (
        Annotated[
            int,
            Meta(ge=0, lt=2**31, description="Characters of Unicode before the cursor; else all."),
        ]
        | UnsetType
    ) = UNSET


class Completion(Given):
    """A text that may replace a part of the query."""

    start: Annotated[int, Meta(ge=0, description="Where the part begins, in characters from 0.")]
    end: Annotated[int, Meta(ge=0, description="Where it ends.")]
    text: str
    meaning: str


class Completions(Given):
    """What may stand where the cursor is."""

    completions: list[Completion]
    problem: Annotated[
        Problem | None, Meta(description="What is wrong with the text as it is; null: nothing.")
    ]
