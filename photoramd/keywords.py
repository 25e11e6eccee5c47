"""Scores to keywords: thresholds, lists, overrides, hierarchy.

Works on stored scores as well as on fresh ones, so that another threshold or list costs
no inference. Imports neither numpy nor a model, so that every command can afford it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from photoramd.errors import ConfigError
from photoramd.photo import Tag

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_KEYWORD_BYTES = 64
"""IPTC's limit for one keyword (IIM 4.2, dataset 2:25); longer ones are cut by some programs."""

_SEPARATORS = frozenset("/|,;")
"""Between levels or between keywords in the fields of other programs, so never within one."""

_STORED_DECIMALS = 4
"""Decimals of a stored score: finer than any threshold, and a third of the bytes."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is known of a model's labels.

    Attributes:
        labels: Readable keywords, unique, in the order of the scores.
        thresholds: One calibrated threshold for each label, 0 to 1; 1.0 or more disables it.
        parents: For each label the labels above it, the most general first.
        floor: Scores below it are not kept in the database, so a user's threshold
            below it has no effect.
        index: The position of each label; derived.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    parents: tuple[tuple[str, ...], ...]
    floor: float
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {label: position for position, label in enumerate(self.labels)}
        if not len(index) == len(self.labels) == len(self.thresholds) == len(self.parents):
            raise ValueError("labels must be unique, with one threshold and one path each")
        object.__setattr__(self, "index", MappingProxyType(index))

    def __reduce__(self) -> tuple[object, ...]:
        # What is derived cannot be pickled.
        return Vocabulary, (self.labels, self.thresholds, self.parents, self.floor)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a user wants of the scores.

    Attributes:
        threshold: Replaces every calibrated threshold, 0 to 1; None keeps them. Labels
            that the vocabulary disables stay disabled.
        top_n: At most so many keywords for one photo, the most confident.
        overrides: Label to replacement, looked up exactly, else without regard to case.
            An empty replacement drops the label.
        allow: If not empty, only these words, whether as label or as replacement.
        deny: Never these words, whether as label or as replacement.
        parent: Put above all parents of every keyword; empty for none.

    Raises:
        ConfigError: ``threshold``, ``top_n`` or ``parent`` is out of range.
    """

    threshold: float | None = None
    top_n: int = 15
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    parent: str = ""
    _folded_overrides: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _folded_allow: frozenset[str] = field(init=False, repr=False, compare=False)
    _folded_deny: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold {self.threshold} is not between 0 and 1")
        if self.top_n < 1:
            raise ConfigError(f"top_n {self.top_n} is not at least 1")
        if self.parent and not is_keyword(self.parent):
            raise ConfigError(f"parent {self.parent!r} is no keyword", remedy=KEYWORD_RULES)
        folded: dict[str, str] = {}
        for label, replacement in self.overrides.items():
            folded.setdefault(fold(label), replacement)
        object.__setattr__(self, "_folded_overrides", MappingProxyType(folded))
        object.__setattr__(self, "_folded_allow", frozenset(map(fold, self.allow)))
        object.__setattr__(self, "_folded_deny", frozenset(map(fold, self.deny)))

    def __reduce__(self) -> tuple[object, ...]:
        lists = (self.allow, self.deny, self.parent)
        return Rules, (self.threshold, self.top_n, dict(self.overrides), *lists)

    def wants(self, label: str) -> bool:
        """Whether a label can become a keyword."""
        return self.word(label) is not None

    def word(self, label: str) -> str | None:
        """The keyword for a label: replaced, checked against the lists; None to drop it."""
        replacement = self.overrides.get(label)
        if replacement is None:
            replacement = self._folded_overrides.get(fold(label), label)
        word = normalise(replacement)
        names = {fold(label), fold(word)}
        if self._folded_allow and not names & self._folded_allow:
            return None
        if names & self._folded_deny or not is_keyword(word):
            return None
        return word


@dataclass(frozen=True, slots=True)
class _Candidate:
    tag: Tag
    is_own_label: bool


def select(vocabulary: Vocabulary, scores: Mapping[str, float], rules: Rules) -> list[Tag]:
    """The keywords of one photo.

    Two labels that became the same word (without regard to case) are one tag with the
    higher confidence; it takes the parents of the label that bears the word itself, if
    one does. Parents obey the same overrides and lists as keywords.

    Args:
        vocabulary: The labels of the model that gave the scores.
        scores: Label to probability, fresh or stored (see `kept`); labels that the
            vocabulary lacks are passed over.
        rules: What the user wants.

    Returns:
        Tags by falling confidence, equal ones by name.
    """
    merged: dict[str, _Candidate] = {}
    for label, score in scores.items():
        position = vocabulary.index.get(label)
        if position is None or not _is_above(score, vocabulary.thresholds[position], rules):
            continue
        word = rules.word(label)
        if word is None:
            continue
        tag = Tag(word, score, _path(vocabulary.parents[position], word, rules))
        candidate = _Candidate(tag, fold(label) == fold(word))
        key = fold(word)
        merged[key] = _merge(merged[key], candidate) if key in merged else candidate
    tags = sorted((c.tag for c in merged.values()), key=lambda tag: (-tag.confidence, tag.name))
    return tags[: rules.top_n]


def kept(vocabulary: Vocabulary, row: npt.NDArray[np.float32]) -> dict[str, float]:
    """The part of a photo's scores that is worth storing: label to probability.

    Args:
        vocabulary: The labels of the columns.
        row: One row of a tagger's scores, float32, shape (labels,).

    Returns:
        Scores of at least the vocabulary's floor, rounded to four decimals, in the
        order of the labels.
    """
    if row.shape != (len(vocabulary.labels),):
        raise ValueError(f"scores of shape {row.shape} for {len(vocabulary.labels)} labels")
    positions = (row >= vocabulary.floor).nonzero()[0].tolist()
    return {vocabulary.labels[i]: round(float(row[i]), _STORED_DECIMALS) for i in positions}


KEYWORD_RULES = (
    f"a keyword is 1 to {MAX_KEYWORD_BYTES} bytes of UTF-8 without / | , ; control characters"
    " or blanks at its ends"
)


def is_keyword(text: str) -> bool:
    """Whether a text can be a keyword in every field and program: see `KEYWORD_RULES`."""
    return is_word(text) and len(text.encode()) <= MAX_KEYWORD_BYTES


def is_word(text: str) -> bool:
    """Whether a text can be a keyword but for its length: some programs cut long ones."""
    if not text or text != normalise(text) or not _SEPARATORS.isdisjoint(text):
        return False
    return not any(_is_forbidden(character) for character in text)


def normalise(text: str) -> str:
    """A text as it is written: NFC, without blanks at its ends."""
    return unicodedata.normalize("NFC", text).strip()


def fold(text: str) -> str:
    """A text as it is compared: NFC, trimmed, without regard to case."""
    return unicodedata.normalize("NFC", normalise(text).casefold())


def load_overrides(path: Path) -> dict[str, str]:
    """Read a JSON object that maps labels to replacements.

    Raises:
        ConfigError: The file cannot be read or is not such an object.
    """
    allowed = 'a JSON object of texts, such as {"tabby": "our cat", "lens cap": ""}'
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the overrides: {error.strerror}",
            path=path,
            remedy=f"create the file or correct its name; it holds {allowed}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the overrides are not JSON: {error}", path=path, remedy=f"make it {allowed}"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"the overrides are a JSON {_json_name(content)}, not an object",
            path=path,
            remedy=f"make it {allowed}",
        )
    for label, replacement in content.items():
        if not isinstance(replacement, str):
            raise ConfigError(
                f"the override of {label!r} is a {_json_name(replacement)}, not a text",
                path=path,
                remedy=f"make it {allowed}; an empty text drops the label",
            )
        if normalise(replacement) and not is_keyword(normalise(replacement)):
            raise ConfigError(
                f"the override of {label!r} is no keyword: {replacement!r}",
                path=path,
                remedy=KEYWORD_RULES,
            )
    return content


def _is_above(score: float, calibrated: float, rules: Rules) -> bool:
    if calibrated >= 1:
        return False
    return score >= (calibrated if rules.threshold is None else rules.threshold)


def _path(parents: Iterable[str], word: str, rules: Rules) -> tuple[str, ...]:
    """The parents as words, each once and none equal to the keyword itself."""
    seen = {fold(word)}
    path: list[str] = []
    for name in (rules.parent, *map(rules.word, parents)):
        if name and fold(name) not in seen:
            seen.add(fold(name))
            path.append(name)
    return tuple(path)


def _merge(first: _Candidate, second: _Candidate) -> _Candidate:
    """One tag of two for the same word."""
    # The order of the scores must not matter, hence names and parents as tie-breakers.
    best = max(
        (first, second),
        key=lambda c: (c.is_own_label, c.tag.confidence, c.tag.name, c.tag.parents),
    )
    confidence = max(first.tag.confidence, second.tag.confidence)
    return _Candidate(Tag(best.tag.name, confidence, best.tag.parents), best.is_own_label)


def _is_forbidden(character: str) -> bool:
    """Control characters, line separators, lone surrogates and what XML 1.0 cannot hold."""
    category = unicodedata.category(character)
    return category in {"Cc", "Cs", "Zl", "Zp"} or character in "\ufffe\uffff"


def _json_name(value: object) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
