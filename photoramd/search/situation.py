"""What a query is asked with, and what finds photos by a field."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from photoramd.database.readonly import fetch
from photoramd.search.expression import Field, Range
from photoramd.search.sets import Sets

FEW = 20_000
"""So many photos are asked about one by one rather than all."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a query is asked with.

    Attributes:
        connection: From `open_readonly`.
        sets: Of that.
        scores: How well photos fit, by id, as far as the query asks for likeness.
    """

    connection: sqlite3.Connection
    sets: Sets
    scores: dict[int, float] = field(default_factory=dict)

    def select(
        self,
        source: str,
        condition: str,
        parameters: Sequence[object] = (),
        among: BitMap | None = None,
        column: str = "photo_id",
    ) -> BitMap:
        """Return the ids in some rows.

        Args:
            source: The tables.
            condition: Which rows.
            parameters: The values of its question marks.
            among: Only these are wanted; None: all.
            column: The column with the id.
        """
        if among is not None and len(among) <= FEW:
            condition += f" AND {column} IN (SELECT value FROM json_each(?))"  # noqa: S608
            parameters = [*parameters, json.dumps(among.to_array().tolist())]
        # One text of all ids takes a third of the time of a row for each.
        sql = f"SELECT json_group_array({column}) FROM {source} WHERE {condition}"  # noqa: S608
        ((ids,),) = fetch(self.connection, sql, parameters)
        found = BitMap(json.loads(ids))
        return found if among is None else found & among


Find = Callable[[Situation, Field, BitMap | None], BitMap]
"""Returns the photos that a field finds, among some or all."""


def comparison(column: str, found: Range) -> tuple[str, list[object]]:
    """Return the SQL condition that a column is in a range, and its values."""
    parts: list[str] = []
    values: list[object] = []
    if found.low is not None:
        parts.append(f"{column} {'>=' if found.has_low else '>'} ?")
        values.append(found.low)
    if found.high is not None:
        parts.append(f"{column} {'<=' if found.has_high else '<'} ?")
        values.append(found.high)
    return " AND ".join(parts) or f"{column} IS NOT NULL", values
