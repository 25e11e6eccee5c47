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

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_TEXTS = {"title", "description", "$schema", "$id", "$defs"}
_LIMITS = (
    ("minimum", 1), ("minLength", 1), ("minItems", 1),
    ("maximum", -1), ("exclusiveMaximum", -1), ("maxLength", -1), ("maxItems", -1),
)  # fmt: skip
"""Keywords, and 1 if they may only rise, -1 if they may only fall."""

_KNOWN = _TEXTS | {
    "$ref", "anyOf", "type", "enum", "properties", "required", "items", "additionalProperties",
    "default", *(limit for limit, _ in _LIMITS),
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
    for limit, sign in _LIMITS:
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


def broken_operations(old: Schema, new: Schema) -> list[str]:
    """What a new OpenAPI document breaks for programs that were written for an old one.

    Operations stay, with their parameters, of which none is required newly; bodies may not require
    more; and answers are compared as `broken` does.
    """
    found = []
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            other = new["paths"].get(path, {}).get(method)
            if other is None:
                found.append(f"{name} is gone")
                continue
            found += [f"{name}: {each}" for each in _broken_requests(old, new, operation, other)]
            for status, response in operation["responses"].items():
                for kind, content in response.get("content", {}).items():
                    given = other["responses"].get(status, {}).get("content", {}).get(kind)
                    if given is None:
                        found.append(f"{name}: {status} is no {kind} now")
                    elif "schema" in content:
                        changes = broken(_alone(old, content), _alone(new, given))
                        found += [f"{name}: {each}" for each in changes]
    return found


def _broken_requests(old: Schema, new: Schema, one: Schema, other: Schema) -> Iterator[str]:
    before, now = ({each["name"]: each for each in o["parameters"]} for o in (one, other))
    yield from (f"the parameter {name} is gone" for name in before.keys() - now.keys())
    for name, parameter in now.items():
        if parameter.get("required") and not before.get(name, {}).get("required"):
            yield f"the parameter {name} is required now"
    bodies = [
        _Node(schema, schema)
        for document, operation in ((old, one), (new, other))
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for schema in [_alone(document, content)]
    ]
    if len(bodies) == 2:
        before_body, now_body = (next(body.alternatives()) for body in bodies)
        more = set(now_body.get("required", ())) - set(before_body.get("required", ()))
        yield from (f"the body's {name} is required now" for name in sorted(more))
        gone = before_body.get("properties", {}).keys() - now_body.get("properties", {}).keys()
        yield from (f"the body's {name} is gone" for name in sorted(gone))


def _alone(document: Schema, content: Schema) -> Schema:
    """The schema of a content, with the definitions that it refers to."""
    whole = {"$defs": document["components"]["schemas"], **content["schema"]}
    found: Schema = json.loads(json.dumps(whole).replace("#/components/schemas/", "#/$defs/"))
    return found
