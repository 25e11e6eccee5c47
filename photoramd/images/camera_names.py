"""Name cameras and lenses: make and model in one, as their owners would say it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MOST_CHARACTERS = 100

_OF_COMPANIES = frozenset(
    {
        "ag", "camera", "co", "company", "computer", "corp", "corporation", "electric",
        "electronics", "gmbh", "imaging", "inc", "ltd", "mobile", "optical", "techwin",
    }
)  # fmt: skip
"""With these begins what a maker's name goes on with and a camera does not have on it."""


def text(data: bytes) -> str:
    """Return a text of EXIF: NFC, printable, without runs of blanks, at most 100 characters."""
    data = data.strip(b"\0 \t\r\n").partition(b"\0")[0]
    try:
        found = data.decode("utf-8")
    except UnicodeDecodeError:
        found = data.decode("latin-1")
    found = unicodedata.normalize("NFC", found)
    shown = "".join(character if character.isprintable() else " " for character in found)
    return " ".join(shown.split())[:MOST_CHARACTERS].rstrip()


def named(make: str, model: str) -> str | None:
    """Return make and model in one, without saying the make twice; None if neither says a name.

    Args:
        make: As it is written, such as ``NIKON CORPORATION``.
        model: Likewise, such as ``NIKON D850``.
    """
    make, model = (part if any(map(str.isalnum, part)) else "" for part in (make, model))
    words, first = _words(make), _words(model)[:1]
    if first and first[0] in words:
        return model
    name = _short(make) if model else make
    return f"{name} {model}".strip()[:MOST_CHARACTERS].rstrip() or None


def lens_by_numbers(numbers: Sequence[float | None]) -> str | None:
    """Return a lens by its specification, such as ``24-70mm f/2.8``.

    Args:
        numbers: The shortest and the longest focal length in mm, the smallest f-number at each;
            None for what is not known.
    """
    if len(numbers) < 4:
        return None
    lengths = _span(numbers[:2], 10_000)
    apertures = _span(numbers[2:4], 1000)
    if not lengths:
        return None
    return f"{lengths}mm f/{apertures}" if apertures else f"{lengths}mm"


def _words(name: str) -> list[str]:
    return name.casefold().replace(",", " ").replace(".", " ").split()


def _short(make: str) -> str:
    """Return a maker's name without what kind of company it is."""
    parts = make.split(" ")
    for at, part in enumerate(parts[1:], 1):
        if set(_words(part)[:1]) & _OF_COMPANIES:
            return " ".join(parts[:at]).rstrip(",")
    return make


def _span(numbers: Sequence[float | None], most: float) -> str:
    known = [round(number, 2) for number in numbers if number and 0.01 <= number <= most]
    return "-".join(f"{number:g}" for number in dict.fromkeys(known))
