"""What a newer JSON Schema of an output breaks for programs that were written for an older one.

Such a program reads. So an output may say more, but every value that it reads must still be one
that the older schema allows:

- a property stays, and stays required; others may be added, as readers ignore what they do not
  know, and an optional one may become required.
- a type may become narrower: a number an integer, what may be null no longer null. The other way
  a reader meets what it cannot hold.
- an enumeration may only lose words. A reader that handles each word has nothing for a further
  one; what is expected to grow, such as formats of files, is a string in the schema from the
  beginning.
- limits of numbers may only become closer.
- texts may change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_TEXTS = {"title", "description", "$schema", "$id", "$defs"}
_KNOWN = _TEXTS | {
    "$ref", "anyOf", "type", "enum", "properties", "required", "items", "additionalProperties",
    "minimum", "maximum",
}  # fmt: skip


@dataclass(frozen=True)
class _Node:
    """A schema, and the document in which its references lead somewhere."""

    schema: Schema
    document: Schema

    def at(self, schema: Schema) -> _Node:
        return _Node(schema, self.document)

    def get(self, key: str, default: Any = None) -> Any:
        return self.schema.get(key, default)

    def alternatives(self) -> Iterator[_Node]:
        """Its parts that are not references or alternatives themselves."""
        unknown = self.schema.keys() - _KNOWN
        assert not unknown, f"say here what a change of {sorted(unknown)} would break"
        if "$ref" in self.schema:
            name = self.schema["$ref"].removeprefix("#/$defs/")
            yield from self.at(self.document["$defs"][name]).alternatives()
        elif "anyOf" in self.schema:
            for each in self.schema["anyOf"]:
                yield from self.at(each).alternatives()
        else:
            yield self

    @property
    def type(self) -> str:
        return str(self.get("type", "string" if "enum" in self.schema else "anything"))


def broken(old: Schema, new: Schema) -> list[str]:
    """What the new schema breaks, each with its place; empty if nothing."""
    return list(_broken(_Node(old, old), _Node(new, new), "$"))


def _broken(old: _Node, new: _Node, place: str) -> Iterator[str]:
    for each in new.alternatives():
        fitting = [known for known in old.alternatives() if _holds(known.type, each.type)]
        if not fitting:
            yield f"{place} may be of type {each.type} now"
            continue
        wrong = [list(_broken_one(known, each, place)) for known in fitting]
        yield from min(wrong, key=len)


def _holds(old: str, new: str) -> bool:
    return old == new or (old, new) == ("number", "integer")


def _broken_one(old: _Node, new: _Node, place: str) -> Iterator[str]:
    """The same for two schemas of types that fit."""
    if "enum" in old.schema:
        words = set(new.get("enum", ["anything"])) - set(old.schema["enum"])
        yield from (f"{place} may be {word} now" for word in sorted(words))
    for limit, sign in (("minimum", 1), ("maximum", -1)):
        if limit in old.schema:
            bound = new.get(limit)
            if bound is None or sign * bound < sign * old.schema[limit]:
                yield f"{place}: its {limit} is {bound} now"
    for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        yield f"{place}.{name} is not required now"
    for name, schema in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _broken(
                old.at(schema), new.at(new.schema["properties"][name]), f"{place}.{name}"
            )
        else:
            yield f"{place}.{name} is gone"
    for key in ("items", "additionalProperties"):
        if key in old.schema:
            if key in new.schema:
                yield from _broken(
                    old.at(old.schema[key]), new.at(new.schema[key]), f"{place}[{key}]"
                )
            else:
                yield f"{place}[{key}] may be anything now"
