"""Find photos that look like another, or show the same picture."""

from __future__ import annotations

from collections.abc import Mapping

from pyroaring import BitMap

from photoramd.database.readonly import fetch
from photoramd.search.evaluation import Find, Situation
from photoramd.search.expression import Field, Text
from photoramd.search.known_photo import find_photo


def by_same(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos of the same picture, whatever their metadata and names."""
    found = BitMap()
    for text in field.values:
        if isinstance(text, Text):
            photo = find_photo(situation.connection, text.text, field)
            rows = fetch(
                situation.connection,
                """SELECT other.id FROM photos p JOIN results r ON r.id = p.result_id
                   JOIN results same ON same.digest = r.digest
                   JOIN photos other ON other.result_id = same.id WHERE p.id = ?""",
                (photo,),
            )
            found |= BitMap([photo, *(number for (number,) in rows)])
    return found if among is None else found & among


FINDERS: Mapping[str, Find] = {"same": by_same}
