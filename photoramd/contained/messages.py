"""What workers answer: plain values, which are checked against their types when they arrive.

A worker that a file has taken over could say anything. So nothing of it is unpickled.
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import msgspec

from photoramd import errors
from photoramd.errors import PhotoramdError

T = TypeVar("T")

_ERRORS = {
    kind.__name__: kind
    for kind in (
        errors.PhotoramdError,
        errors.DecodeError,
        errors.ChangedError,
        errors.SidecarError,
        errors.EmbeddingError,
        errors.ToolError,
    )
}
"""What a worker may fail with."""

MOST_WARNINGS, _MOST_CHARACTERS = 20, 2000

_decoders: dict[object, msgspec.msgpack.Decoder[Any]] = {}

_learning = Lock()
"""msgspec 0.22 learns a dataclass when it first meets it, and crashes if two threads do that."""


class Failure(msgspec.Struct, frozen=True):
    """An error that ended a task; see `PhotoramdError`."""

    kind: str
    message: str
    path: bytes | None = None
    remedy: str | None = None
    errno: int | None = None
    warnings: tuple[str, ...] = ()
    is_out_of_memory: bool = False

    @classmethod
    def of(cls, error: PhotoramdError, warnings: tuple[str, ...] = ()) -> Failure:
        """Return the message about an error."""
        return cls(
            type(error).__name__,
            clean(error.message),
            None if error.path is None else os.fsencode(error.path),
            None if error.remedy is None else clean(error.remedy),
            getattr(error, "errno", None),
            warnings,
        )

    def error(self) -> PhotoramdError:
        """Return the error."""
        path = None if self.path is None else os.fsdecode(self.path)
        if self.kind == errors.WriteError.__name__:
            return errors.WriteError(self.message, self.errno or 0, path=path, remedy=self.remedy)
        kind = _ERRORS.get(self.kind, PhotoramdError)
        return kind(self.message, path=path, remedy=self.remedy)


class Question(msgspec.Struct, frozen=True):
    """What a worker needs of its parent: the name of the question, and its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()


def clean(text: str) -> str:
    """Return a text that can be encoded, of limited length."""
    return text.encode("utf-8", "backslashreplace").decode()[:_MOST_CHARACTERS]


def encode(value: object) -> bytes:
    """Return a value in msgpack."""
    return msgspec.msgpack.encode(value, enc_hook=_plain)


def decode(body: bytes | bytearray, kind: type[T]) -> T:
    """Return a value from msgpack.

    Raises:
        ValueError: It is not of that type.
    """
    with _learning:
        decoder = _decoders.get(kind)
        if decoder is None:
            decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind, dec_hook=_special)
    value: T = decoder.decode(body)
    return value


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return os.fsencode(value)
    raise NotImplementedError(type(value).__name__)


def _special(kind: type[Any], value: object) -> object:
    if kind is Path and isinstance(value, bytes):
        return Path(os.fsdecode(value))
    raise NotImplementedError(kind.__name__)
