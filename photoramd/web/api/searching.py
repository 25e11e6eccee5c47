"""What there is to search: facets, tags, folders, and completion of what is typed."""

from __future__ import annotations

import msgspec

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.errors import QueryError
from photoramd.keywords import comparison_key
from photoramd.search import facets as common
from photoramd.search.clauses import Clauses
from photoramd.search.completion import complete
from photoramd.search.folders import Tree
from photoramd.search.tags import count_tags
from photoramd.web import problems
from photoramd.web.api.endpoint import Endpoint, reading
from photoramd.web.api.questions import expression_of
from photoramd.web.orders import found
from photoramd.web.readers import Reader
from photoramd.web.search_schemas import (
    Chip,
    CompleteAsked,
    Completion,
    Completions,
    CountedFolder,
    CountedTag,
    Entry,
    Facets,
    FacetsAsked,
    Folders,
    FoldersAsked,
    Group,
    Tags,
    TagsAsked,
)
from photoramd.web.site import Site


def facets(site: Site, reader: Reader, asked: FacetsAsked) -> Facets:
    """Return what the photos of a query have in common."""
    query = Clauses.of(asked.q, site.config.searches)
    expression = expression_of(site, asked.q)
    with reader.situation() as situation:
        hits = found(situation, expression)
        groups = [
            Group(name=name, entries=[_entry(query, each) for each in entries])
            for name, entries in common.facets(situation, hits)
        ]
    chips = [Chip(text=text, without=str(rest)) for text, rest in query.each()]
    return Facets(total=len(hits), chips=chips, groups=groups)


def _entry(query: Clauses, facet: common.Facet) -> Entry:
    is_active = query.has(facet.clause)
    return Entry(
        label=facet.label,
        count=facet.count,
        add=str(query.narrowed(facet.clause)),
        exclude=str(query.excluding(facet.clause)),
        remove=str(query.without(facet.clause)) if is_active else None,
        is_active=is_active,
    )


def tags(site: Site, reader: Reader, asked: TagsAsked) -> Tags:
    """Return tags in use."""
    expression = expression_of(site, asked.q)
    with reader.situation() as situation:
        hits = found(situation, expression)
        counted = count_tags(situation.sets, hits, prefix=asked.prefix)
    if asked.sort == "name":
        counted.sort(key=lambda tag: (comparison_key(tag.name), tag.name))
    begin = 0
    if asked.after is not msgspec.UNSET:
        names = [tag.name for tag in counted]
        begin = names.index(asked.after) + 1 if asked.after in names else len(names)
    page = counted[begin : begin + asked.limit]
    is_last = begin + asked.limit >= len(counted)
    return Tags(
        tags=[CountedTag(name=tag.name, photos=tag.photos, user=tag.user) for tag in page],
        next=None if is_last else page[-1].name,
    )


def folders(_: Site, reader: Reader, asked: FoldersAsked) -> Folders:
    """Return the folders right below one."""
    with reader.situation() as situation:
        sets = situation.sets
        tree = sets.derive(Tree.read)
        if asked.path:
            paths = tree.children(asked.path)
        else:
            rows = fetch(situation.connection, "SELECT path FROM roots")
            paths = {path.decode("utf-8", "backslashreplace") for (path,) in rows}
        counted = tree.counted(paths, sets, sets.one(Kind.PRESENT))
    return Folders(
        path=asked.path,
        folders=[
            CountedFolder(name=f.name, path=f.path, photos=f.photos, query=f.query) for f in counted
        ],
    )


def completions(site: Site, reader: Reader, asked: CompleteAsked) -> Completions:
    """Return what may stand where the cursor is, and what is wrong with the text."""
    searches = site.config.searches
    cursor = None if asked.cursor is msgspec.UNSET else asked.cursor
    offered = complete(reader.connection, asked.text, cursor, searches=searches, sets=reader.sets)
    problem = None
    try:
        expression_of(site, asked.text)
    except QueryError as error:
        problem = problems.problem_of(error)
    return Completions(
        completions=[
            Completion(start=c.start, end=c.end, text=c.text, meaning=c.meaning) for c in offered
        ],
        problem=problem,
    )


ENDPOINTS = (
    Endpoint(
        "GET", "/facets", "What the photos of a query have in common, and how many have it.",
        FacetsAsked, reading(facets, needs_all=True), Facets,
    ),
    Endpoint("GET", "/tags", "Tags in use.", TagsAsked, reading(tags, needs_all=True), Tags),
    Endpoint(
        "GET", "/folders", "Folders with photos, one level.",
        FoldersAsked, reading(folders), Folders,
    ),
    Endpoint(
        "GET", "/complete", "What may stand where the cursor is in a query.",
        CompleteAsked, reading(completions, needs_all=True), Completions,
    ),
)  # fmt: skip
