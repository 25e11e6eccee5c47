"""What a keyword may contain, and how keywords are written and compared."""

from __future__ import annotations

import unicodedata

MAX_KEYWORD_BYTES = 64
"""IPTC's limit for one keyword (IIM 4.2, dataset 2:25); longer ones are cut by some programs."""

_SEPARATORS = frozenset("/|,;")
"""Between levels or between keywords in the fields of other programs, so never within one."""


KEYWORD_RULES = (
    f"a keyword is 1 to {MAX_KEYWORD_BYTES} bytes of UTF-8 without / | , ; control characters"
    " or blanks at its ends"
)


def is_keyword(text: str) -> bool:
    """Return whether a text can be a keyword in every field and program: see `KEYWORD_RULES`."""
    return is_word(text) and len(text.encode()) <= MAX_KEYWORD_BYTES


def is_word(text: str) -> bool:
    """Return whether a text can be a keyword, whatever its length: some programs cut long ones."""
    if not text or text != normalise(text) or not _SEPARATORS.isdisjoint(text):
        return False
    # Nothing that is printable is forbidden, and almost all words are.
    return text.isprintable() or not any(map(_is_forbidden, text))


def normalise(text: str) -> str:
    """Return a text as it is written: NFC, without blanks at its ends."""
    return unicodedata.normalize("NFC", text).strip()


def fold(text: str) -> str:
    """Return a text as it is compared: NFC, trimmed, case-folded."""
    return unicodedata.normalize("NFC", normalise(text).casefold())


def comparison_key(text: str) -> str:
    """Return the form in which queries compare tags: NFC, case folded, single blanks.

    Unlike `fold`, it takes any run of white space for one blank, as a person who types does.
    """
    words = unicodedata.normalize("NFC", text).casefold().split()
    return unicodedata.normalize("NFC", " ".join(words))


def _is_forbidden(character: str) -> bool:
    """Return whether a character is a control, a line separator, or not allowed in XML 1.0."""
    category = unicodedata.category(character)
    return category in {"Cc", "Cs", "Zl", "Zp"} or character in "\ufffe\uffff"
