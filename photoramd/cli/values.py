"""Offer values to a shell that completes a command line; nothing where that cannot be told."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from photoramd.errors import PhotoramdError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from photoramd.config.schema import Config

# A shell waits for the answer: each function imports what it alone needs.


def complete_query(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return what may stand at the end of a query: fields, their values, searches and tags."""
    from photoramd.search.completion import complete

    def found() -> Iterator[CompletionItem[str]]:
        config = _configured(context)
        with closing(_opened(config)) as connection:
            for each in complete(connection, incomplete, searches=config.searches):
                value = incomplete[: each.start] + each.text
                yield CompletionItem(value, help=each.meaning or None)

    return _as_far_as_possible(found())


def complete_tag(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return tags in use, the most frequent first."""
    from photoramd.search.sets import Sets
    from photoramd.search.tags import count_tags

    def found() -> Iterator[CompletionItem[str]]:
        with closing(_opened(_configured(context))) as connection:
            for tag in count_tags(Sets(connection), prefix=incomplete, limit=_TAGS):
                yield CompletionItem(
                    tag.name, help="1 photo" if tag.photos == 1 else f"{tag.photos:,} photos"
                )

    return _as_far_as_possible(found())


_TAGS = 20
"""More would fill the screen."""


def complete_model(
    _context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the names of the models."""
    from photoramd.models.weights.catalog import MODELS

    return [
        CompletionItem(model.name, help=model.description)
        for model in MODELS.values()
        if model.name.startswith(incomplete)
    ]


def _configured(context: click.Context) -> Config:
    from photoramd.config import loader

    return loader.load(context.find_root().params.get("config_path"), need_file=False)


def _opened(config: Config) -> sqlite3.Connection:
    from photoramd.database.readonly import open_readonly

    return open_readonly(config.state.path)


def _as_far_as_possible(items: Iterator[CompletionItem[str]]) -> list[CompletionItem[str]]:
    try:
        return list(items)
    except PhotoramdError:
        return []
