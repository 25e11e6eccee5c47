"""The schema of the configuration as tables of keys, for the sample, checks and documentation."""

from __future__ import annotations

import json
import os
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from photoramd.config.schema import Config


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the schema.

    Attributes:
        section: The name of its table.
        name: Its name in the table.
        type: The type that `msgspec.convert` converts to.
        default: Its default, or `msgspec.NODEFAULT` if it must be given.
        description: What it means, in sentences.
        allowed: Its allowed values, in words.
    """

    section: str
    name: str
    type: Any
    default: Any
    description: str
    allowed: str

    @property
    def dotted(self) -> str:
        """Its section and name, such as ``debounce.quiet_seconds``."""
        return f"{self.section}.{self.name}"


@dataclass(frozen=True, slots=True)
class Table:
    """One section of the schema; ``repeated`` ones are written ``[[name]]``.

    One with an example holds texts under names that the user chooses.
    """

    name: str
    repeated: bool
    description: str
    keys: tuple[Key, ...]
    example: str = ""

    @property
    def header(self) -> str:
        """The line that begins it in a file."""
        return f"[[{self.name}]]" if self.repeated else f"[{self.name}]"


def tables() -> tuple[Table, ...]:
    """Return all sections, in the order in which they are shown."""
    return tuple(_tables())


def _tables() -> Iterator[Table]:
    for field in msgspec.structs.fields(Config):
        if typing.get_origin(field.type) is Annotated:
            _, meta = typing.get_args(field.type)
            yield Table(field.name, False, meta.description, (), meta.extra["example"])
            continue
        repeated = typing.get_origin(field.type) is tuple
        struct = typing.get_args(field.type)[0] if repeated else field.type
        keys = tuple(_key(field.name, info) for info in msgspec.structs.fields(struct))
        yield Table(field.name, repeated, (struct.__doc__ or "").strip(), keys)


def _key(section: str, info: msgspec.structs.FieldInfo) -> Key:
    plain, meta = typing.get_args(info.type)
    extra = meta.extra or {}
    allowed = extra.get("allowed") or _describe(plain, meta)
    return Key(section, info.name, info.type, info.default, meta.description, allowed)


def _describe(plain: Any, meta: Meta) -> str:
    """Return the values that a type allows, in words."""
    if typing.get_origin(plain) is Annotated:
        return _describe(*typing.get_args(plain))
    if typing.get_origin(plain) is Literal:
        return _either([format_value(value) for value in typing.get_args(plain)])
    if typing.get_origin(plain) is tuple:
        return "a list of texts in quotes"
    if plain is bool:
        return "true or false"
    if plain in (int, float):
        noun = "a whole number" if plain is int else "a number"
        start = f"above {meta.gt}" if meta.gt is not None else f"from {meta.ge}"
        return f"{noun} {start} to {format_value(meta.le)}"
    return _either([_describe(part, meta) for part in typing.get_args(plain)])


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def format_value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 100_000 else str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(format_value(each) for each in value) + "]"
    if isinstance(value, Path):
        value = os.fsencode(value).decode("utf-8", "backslashreplace")
    # JSON's escapes are TOML's, but TOML wants DEL escaped too.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
