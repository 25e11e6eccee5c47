"""Expressions as SQL: which photos match, without a value in the text of a statement."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from photoramd.database.conditions import bounds, within
from photoramd.search.expression import And, Expression, Not, Or, Term, fold


def select_photos(
    expression: Expression, labels: Mapping[int, str], under: Path | None, missing: bool
) -> tuple[str, list[object]]:
    """Return the photos that match, as a WITH clause.

    Args:
        expression: What they must match.
        labels: The name of every label by its id.
        under: Only photos in this directory or below it; None: everywhere.
        missing: Also photos that are no longer there.

    Returns:
        The clause, which defines a table ``hits (id, directory, name, state)``, and the
        values of its question marks.
    """
    compiler = _Compiler(labels)
    sql, values = compiler.compile(expression)
    condition, parameters = f"({sql})", [*compiler.parameters, *values]
    if not missing:
        condition += " AND p.state != 'missing'"
    if under is not None:
        condition += f" AND {within('d.path')}"
        parameters += bounds(os.path.realpath(under))
    hits = f"""hits AS (
        SELECT p.id, d.path AS directory, p.name, p.state
        FROM photos p JOIN directories d ON d.id = p.directory_id WHERE {condition}
    )"""  # noqa: S608  # the condition holds no values, only question marks
    return "WITH " + ", ".join([*compiler.groups, hits]), parameters


class _Compiler:
    """Expressions as SQL conditions on the table p.

    What stands in parentheses becomes a table of its own in the WITH clause: SQLite's parser
    takes at most 100 open symbols, which a person's query could exceed.

    Attributes:
        groups: The definitions of these tables; each uses only those before it.
        parameters: The values of their question marks.
    """

    def __init__(self, labels: Mapping[int, str]) -> None:
        self._folded = {number: fold(name) for number, name in labels.items()}
        self.groups: list[str] = []
        self.parameters: list[object] = []

    def compile(self, expression: Expression) -> tuple[str, list[object]]:
        """Return a condition without parentheses, and the values of its question marks."""
        if isinstance(expression, And):
            return _join(" AND ", [self._operand(each) for each in expression.operands])
        if not isinstance(expression, Or):
            return self._operand(expression)
        alternatives = [
            self.compile(each) if isinstance(each, And) else self._operand(each)
            for each in expression.operands
            if not isinstance(each, Term)
        ]
        words = [each for each in expression.operands if isinstance(each, Term)]
        return _join(" OR ", [self._tagged(words), *alternatives])

    def _operand(self, expression: Expression) -> tuple[str, list[object]]:
        """Return a condition that binds closer than AND."""
        if isinstance(expression, Term):
            return self._tagged([expression])
        if isinstance(expression, Not):
            sql, values = self._operand(expression.operand)
            return f"NOT {sql}", values
        sql, values = self.compile(expression)
        name = f"g{len(self.groups)}"
        self.groups.append(f"{name}(id) AS (SELECT p.id FROM photos p WHERE {sql})")  # noqa: S608
        self.parameters += values
        return f"p.id IN {name}", []

    def _tagged(self, words: list[Term]) -> tuple[str, list[object]]:
        """Return a condition that any of the tags is there."""
        numbers = [
            number
            for number, name in self._folded.items()
            if any(word.matches(name) for word in words)
        ]
        if not numbers:
            return "0", []
        # A list as one JSON value: SQLite limits the number of question marks.
        return (
            "p.id IN (SELECT photo_id FROM keywords"
            " WHERE label_id IN (SELECT value FROM json_each(?)))",
            [json.dumps(numbers)],
        )


def _join(word: str, parts: list[tuple[str, list[object]]]) -> tuple[str, list[object]]:
    return word.join(sql for sql, _ in parts), [value for _, values in parts for value in values]
