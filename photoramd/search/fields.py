"""The fields of the query language: a closed list, each with what may stand behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from photoramd.photo import PhotoState
from photoramd.search.expression import Range, Text, Value
from photoramd.search.values import (
    BadValueError,
    RawValue,
    date_value,
    exposure,
    near_value,
    number,
    number_value,
    range_value,
    size,
    text_value,
)


@dataclass(frozen=True, slots=True)
class FieldKind:
    """A field.

    Attributes:
        name: Its name.
        meaning: What it finds, for the help.
        example: How it is used.
        unit: Reads a number behind it; None: it takes no numbers.
        room: How far a number may be from one that is given alone.
        part: The same, as a part of the number.
        is_date: Whether dates stand behind it.
        words: The words that may stand behind it; empty: any text, or what the above says.
    """

    name: str
    meaning: str
    example: str
    unit: Callable[[str], float] | None = None
    room: float = 0.0
    part: float = 0.0
    is_date: bool = False
    words: tuple[str, ...] = ()

    @property
    def is_range(self) -> bool:
        """Whether it can be compared with ``<`` and ``>``."""
        return self.is_date or self.unit is not None


_IS = ("portrait", "landscape", "square", "panorama", "raw", "failed", "missing", "untagged")
FORMATS = ("avif", "bmp", "gif", "heif", "jpeg", "png", "raw", "tiff", "webp")

FIELDS = {
    field.name: field
    for field in (
        FieldKind("tag", "a tag, by whoever gave it; with = without those below it", "tag:=dog"),
        FieldKind("user", "a tag of the user's own", 'user:"Aunt Mary"'),
        FieldKind("auto", "a tag by the model", "auto:dog"),
        FieldKind("rejected", "a tag that the user rejected, or removed", "rejected:dog"),
        FieldKind("by", "any tag, by whom", "by:user", words=("machine", "user")),
        FieldKind("scored", "what the model saw, however unsure", "scored:dog@0.1"),
        FieldKind("score", "how sure the model was of any tag", "score>0.8", number),
        FieldKind("path", "part of the path, from a folder's name on", "path:2024/italy"),
        FieldKind("folder", "part of the name of a folder above the photo", "folder:italy"),
        FieldKind("name", "part of the name of the file", "name:IMG_12*"),
        FieldKind("ext", "the suffix of the file", "ext:arw,nef"),
        FieldKind("type", "the format, by content", "type:raw", words=FORMATS),
        FieldKind("root", "a watched directory, or its last name", "root:/photos"),
        FieldKind("taken", "when it was taken, by the camera's clock", "taken:2024", is_date=True),
        FieldKind("added", "when photoramd found it", "added:<7d", is_date=True),
        FieldKind("tagged", "when it was tagged", "tagged:today", is_date=True),
        FieldKind("changed", "when the file was last changed", "changed:>1y", is_date=True),
        FieldKind("camera", "part of make and model of the camera", "camera:canon"),
        FieldKind("lens", "part of the name of the lens", "lens:70-200"),
        FieldKind("iso", "the sensitivity", "iso:>=1600", number),
        FieldKind("f", "the f-number", "f:..2.8", number, part=0.01),
        FieldKind("mm", "the focal length in millimetres", "mm:24..70", number, 0.5),
        FieldKind("exposure", "the exposure in seconds", "exposure:>1/30", exposure, part=0.03),
        FieldKind("mp", "megapixels", "mp:>20", number, 0.5),
        FieldKind("width", "the width in pixels", "width:>=3840", number),
        FieldKind("height", "the height in pixels", "height:<1080", number),
        FieldKind("size", "the size of the file", "size:>10MB", size, part=0.05),
        FieldKind("is", "a kind of photo", "is:portrait", words=(*_IS, "undone")),
        FieldKind(
            "has", "what is known of it", "has:gps",
            words=("camera", "gps", "sidecar", "tag", "taken"),
        ),
        FieldKind(
            "no", "what is not known of it", "no:taken",
            words=("camera", "gps", "sidecar", "tag", "taken"),
        ),
        FieldKind("state", "the state", "state:failed", words=tuple(PhotoState)),
        FieldKind("reason", "part of why it failed or waits", "reason:truncated"),
        FieldKind("model", "the model that tagged it", "model:ram++"),
        FieldKind("revision", "the revision of that model", "revision:3f2a*"),
        FieldKind("near", "where it was taken", "near:48.85,2.35~5km"),
        FieldKind("like", "photos that look similar", "like:/photos/a.jpg"),
        FieldKind("same", "photos of the same picture", "same:/photos/a.jpg"),
    )
}  # fmt: skip
"""All fields, by name."""


def nearest(name: str) -> str | None:
    """Return the name of the field that somebody may have meant."""
    return _closest(name.lower(), FIELDS)


def _closest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # only a mistake need wait for it

    return next(iter(get_close_matches(word, known, n=1)), None)


def values_of(
    kind: FieldKind, raws: Sequence[RawValue], is_exact: bool, now: float
) -> tuple[Value, ...]:
    """Return what stands behind a field.

    Args:
        kind: The field.
        raws: How its values are written; one or more.
        is_exact: Whether they were given with ``=``.
        now: The present time of the wall clock.

    Raises:
        BadValueError: It cannot stand there.
    """
    if kind.name == "near":
        return (near_value(raws),)
    values = []
    for raw in raws:
        try:
            values.append(_value(kind, raw, is_exact, now))
        except BadValueError as error:
            raise BadValueError(str(error), raw.position) from error
    return tuple(values)


def _value(kind: FieldKind, raw: RawValue, is_exact: bool, now: float) -> Value:
    if kind.is_date:
        return date_value(raw.text.strip(), now)
    if kind.unit is not None:
        return number_value(raw.text.strip(), kind.unit, kind.room, kind.part)
    if kind.words:
        word = raw.text.lower()
        if word not in kind.words:
            close = _closest(word, kind.words)
            meant = f"; did you mean {close}?" if close else ""
            raise BadValueError(
                f"{raw.text}, where {kind.name}: takes {_either(kind.words)}{meant}"
            )
        return text_value(RawValue(word, True, raw.position), is_exact)
    if kind.name in ("like", "same"):
        return Text((raw.text,), is_exact)  # a path on the disk, whatever its bytes
    return text_value(raw, is_exact)


def confidence_of(text: str) -> Range:
    """Return how sure the model must be: a number, which means at least, or a range.

    Raises:
        BadValueError: It is something else.
    """
    found = range_value(text, lambda end: (number(end), number(end)))
    if ".." not in text and text[:1] not in "<>":
        found = Range(low=found.low)
    if not all(end is None or 0 <= end <= 1 for end in (found.low, found.high)):
        raise BadValueError(f"{text}, where a confidence from 0 to 1 is expected")
    return found


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
