"""Turn scores into keywords: thresholds, lists, overrides, hierarchy.

Stored scores serve as well as fresh ones, so that another threshold or list costs no
inference. Neither numpy nor a model is imported, so that every command can afford it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from photoramd.errors import ConfigError
from photoramd.keywords import KEYWORD_RULES, fold, is_keyword, normalise
from photoramd.models.vocabulary import Vocabulary
from photoramd.photo import Tag, surest_first

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Rules:
    """Which scores become keywords, as the user configured it.

    Attributes:
        threshold: Replaces every calibrated threshold, 0 to 1; None keeps them. Labels
            that the vocabulary disables stay disabled.
        top_n: The largest number of keywords for one photo; the most confident are kept.
        overrides: Label to replacement, looked up exactly, then ignoring case.
            An empty replacement drops the label.
        allow: If not empty, only these words, whether label or replacement.
        deny: Never these words, whether label or replacement.
        parent: A word put above all parents of every keyword; empty for none.

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
        """Return whether a label can become a keyword."""
        return self.word(label) is not None

    def word(self, label: str) -> str | None:
        """Return the keyword for a label: replaced, checked against the lists; None to drop it."""
        replacement = self.overrides.get(label)
        if replacement is None:
            replacement = self._folded_overrides.get(fold(label), label)
        word = normalise(replacement)
        if not is_keyword(word):
            return None
        if self._folded_allow or self._folded_deny:
            names = {fold(label), fold(word)}
            if names & self._folded_deny or (self._folded_allow and not names & self._folded_allow):
                return None
        return word


@dataclass(frozen=True, slots=True)
class _Candidate:
    tag: Tag
    is_own_label: bool


def select(vocabulary: Vocabulary, scores: Mapping[str, float], rules: Rules) -> list[Tag]:
    """Return the keywords of one photo.

    Two labels that became the same word (ignoring case) are one tag with the higher
    confidence and with the parents of the label that is the word itself, if one is.
    Parents obey the same overrides and lists as keywords.

    Args:
        vocabulary: The labels of the model that gave the scores.
        scores: Probabilities by column, fresh or stored (see `kept`); those that the
            vocabulary lacks are skipped.
        rules: The user's rules.

    Returns:
        Tags by descending confidence, then by name.
    """
    merged: dict[str, _Candidate] = {}
    if vocabulary.combine is not None:
        scores = vocabulary.combine(scores)
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
    return surest_first(c.tag for c in merged.values())[: rules.top_n]


def _is_above(score: float, calibrated: float, rules: Rules) -> bool:
    if calibrated >= 1:
        return False
    return score >= (calibrated if rules.threshold is None else rules.threshold)


def _path(parents: Iterable[str], word: str, rules: Rules) -> tuple[str, ...]:
    """Return the parents as words, each once and none equal to the keyword itself."""
    seen = {fold(word)}
    path: list[str] = []
    for name in (rules.parent, *map(rules.word, parents)):
        if name and fold(name) not in seen:
            seen.add(fold(name))
            path.append(name)
    return tuple(path)


def _merge(first: _Candidate, second: _Candidate) -> _Candidate:
    """Merge two tags for the same word."""
    # The order of the scores must not matter, hence names and parents as tie-breakers.
    best = max(
        (first, second),
        key=lambda c: (c.is_own_label, c.tag.confidence, c.tag.name, c.tag.parents),
    )
    confidence = max(first.tag.confidence, second.tag.confidence)
    return _Candidate(Tag(best.tag.name, confidence, best.tag.parents), best.is_own_label)
