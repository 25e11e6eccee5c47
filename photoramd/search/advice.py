"""Advice for queries that find nothing: similar tags, and forgotten quotes."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterator

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.search.expression import And, Expression, Not, Or, Term, terms
from photoramd.search.sets import Sets


def suggest(connection: sqlite3.Connection, tag: str, limit: int = 5) -> list[str]:
    """Return tags in use that a user who wrote ``tag`` may have meant, the best first."""
    used = _used(connection)
    wanted = comparison_key(tag.replace("*", " "))
    containing = [name for name in used if wanted and wanted in used[name]]
    whole_words = [name for name in containing if set(wanted.split()) <= set(used[name].split())]
    originals = {folded: name for name, folded in used.items()}
    similar = difflib.get_close_matches(wanted, originals, n=limit, cutoff=0.7)
    found = [*whole_words, *(originals[name] for name in similar), *containing]
    return list(dict.fromkeys(found))[:limit]


def advise(connection: sqlite3.Connection, expression: Expression) -> list[str]:
    """Return advice, in sentences, for a query that found nothing or too little.

    It names tags that no photo has, with similar ones in use, and tags of several words that
    were written without quotes.
    """
    used = _used(connection)
    sentences = []
    for term in dict.fromkeys(terms(expression)):
        if any(term.matches(name) for name in used.values()):
            continue
        if term.text.strip("*"):
            close = ", ".join(f'"{name}"' for name in suggest(connection, term.text))
            end = f"; there is {close}" if close else ""
            sentences.append(f'no photo is tagged "{term.text}"{end}')
        else:
            sentences.append("no photo is tagged yet")
    spelling = {folded: name for name, folded in used.items()}
    sentences += [
        f'"{spelling[phrase]}" is a tag: write it in quotes'
        for phrase in dict.fromkeys(map(comparison_key, _phrases(expression)))
        if phrase in spelling
    ]
    return sentences


def _used(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the tags in use, each with its `comparison_key`."""
    sets = Sets(connection)
    numbers = {n for kind in (Kind.MACHINE, Kind.USER, Kind.USER_ABOVE) for n in sets.keys(kind)}
    rows = fetch(connection, "SELECT id, name FROM labels ORDER BY name")
    return {name: comparison_key(name) for number, name in rows if number in numbers}


def _phrases(expression: Expression) -> Iterator[str]:
    """Yield two to four tags side by side as one tag."""
    if isinstance(expression, Not):
        yield from _phrases(expression.operand)
    elif isinstance(expression, And | Or):
        for operand in expression.operands:
            yield from _phrases(operand)
    if isinstance(expression, And):
        for start in range(len(expression.operands)):
            words: list[str] = []
            for operand in expression.operands[start : start + 4]:
                if not isinstance(operand, Term):
                    break
                words.append(operand.text)
                if len(words) > 1:
                    yield " ".join(words)
