"""Judge keywords by what labelled photos show.

Imports neither torch nor a model.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from photoramd.errors import UsageError
from photoramd.keywords import fold
from photoramd.models.rules import Rules, select
from photoramd.models.vocabulary import Vocabulary
from photoramd.photo import Tag

FORMATS = (
    "the first line must be `file,keywords` (each row the keywords that are right, separated by |) "
    "or `file,WORD,WORD,...` (each row 1, 0 or nothing for every word)"
)

_FILE, _SOURCE, _KEYWORDS = "file", "source", "keywords"
_SEPARATOR = "|"
_VALUES = {"1": True, "0": False, "": None}


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a photo.

    Attributes:
        shown: Words for what it shows, folded (`photoramd.keywords.fold`).
        absent: Words for what it does not show; None if that is everything else.
    """

    shown: frozenset[str]
    absent: frozenset[str] | None


class Verdict(Enum):
    """Whether a keyword is right."""

    RIGHT = auto()
    WRONG = auto()
    UNKNOWN = auto()


@dataclass(slots=True)
class Count:
    """Of some keywords: how many are right, wrong, and missing."""

    right: int = 0
    wrong: int = 0
    missing: int = 0

    @property
    def precision(self) -> float | None:
        """The share of the given ones that are right; None if there are none."""
        given = self.right + self.wrong
        return self.right / given if given else None

    @property
    def recall(self) -> float | None:
        """The share of what is to be seen that was given; None if there is nothing."""
        shown = self.right + self.missing
        return self.right / shown if shown else None


@dataclass(slots=True)
class Evaluation:
    """Keywords of many photos, judged.

    Attributes:
        photos: How many.
        keywords: All keywords; what is unknown is not counted.
        words: For each word of the labels: on which photos it, or a keyword below it, was given.
        unknown: Keywords of which the labels say nothing.
        with_right: Photos with at least one right keyword.
        with_any: Photos with at least one keyword.
        wrong: How often each wrong keyword was given.
    """

    photos: int = 0
    keywords: Count = field(default_factory=Count)
    words: dict[str, Count] = field(default_factory=dict)
    unknown: int = 0
    with_right: int = 0
    with_any: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, float | None]:
        """Return the figures by name."""
        every = Count(
            sum(count.right for count in self.words.values()),
            sum(count.wrong for count in self.words.values()),
            sum(count.missing for count in self.words.values()),
        )
        photos = max(1, self.photos)
        given = self.keywords.right + self.keywords.wrong + self.unknown
        return {
            "precision": self.keywords.precision,
            "recall": every.recall,
            "photos_with_right": self.with_right / photos,
            "photos_with_any": self.with_any / photos,
            "keywords": given / photos,
            "unknown": self.unknown / photos,
        }


class Hierarchy:
    """What stands above each keyword.

    Args:
        vocabulary: The model's.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        pairs = zip(vocabulary.labels, vocabulary.parents, strict=True)
        self._above = {fold(label): frozenset(map(fold, parents)) for label, parents in pairs}

    def above(self, word: str) -> frozenset[str]:
        """Return the words above a word, folded; none above an unknown one."""
        return self._above.get(word, frozenset())

    def judge(self, tag: Tag, truth: Truth) -> Verdict:
        """Return whether a keyword is right: it, or something below or above it, is shown.

        Below, because a model may know more (beagle) than the labels say (dog); above, because a
        dog is an animal.
        """
        word = fold(tag.name)
        wider = self.above(word) | frozenset(map(fold, tag.parents))
        if word in truth.shown or any(word in self.above(each) for each in truth.shown):
            return Verdict.RIGHT
        if wider & truth.shown and (truth.absent is None or word not in truth.absent):
            return Verdict.RIGHT
        if truth.absent is None or not truth.absent.isdisjoint({word, *wider}):
            return Verdict.WRONG
        return Verdict.UNKNOWN


def read_labels(path: Path) -> dict[str, Truth]:
    """Read labels of photos, by file name.

    Args:
        path: CSV, UTF-8, of one of the two `FORMATS`; a column ``source`` is left out.

    Raises:
        UsageError: It has another format, or names a file twice.
        OSError: It cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restval="")
        try:
            columns = list(reader.fieldnames or ())
            if columns[:1] != [_FILE] or len(columns) < 2:
                raise UsageError("no labels", path=path, remedy=FORMATS)
            found: dict[str, Truth] = {}
            for row in reader:
                name = row[_FILE]
                if name in found:
                    raise UsageError(f"{name} twice, line {reader.line_num}", path=path)
                found[name] = _truth(row, columns, path, reader.line_num)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UsageError(f"cannot be read: {error}", path=path, remedy=FORMATS) from error
    return found


def _truth(row: Mapping[str, str], columns: Sequence[str], path: Path, line: int) -> Truth:
    if columns == [_FILE, _KEYWORDS]:
        words = (word.strip() for word in row[_KEYWORDS].split(_SEPARATOR))
        return Truth(frozenset(fold(word) for word in words if word), None)
    values: dict[str, bool | None] = {}
    for word in columns:
        if word in (_FILE, _SOURCE):
            continue
        if (text := row[word].strip()) not in _VALUES:
            raise UsageError(f"{text!r} for {word}, line {line}", path=path, remedy=FORMATS)
        values[fold(word)] = _VALUES[text]
    return Truth(
        frozenset(word for word, value in values.items() if value),
        frozenset(word for word, value in values.items() if value is False),
    )


def evaluate(
    vocabulary: Vocabulary,
    photos: Sequence[tuple[Mapping[str, float], Truth]],
    rules: Rules,
    *,
    among: frozenset[str] | None = None,
) -> Evaluation:
    """Choose keywords by the rules, and judge them.

    Args:
        vocabulary: The model's.
        photos: The stored scores of each photo (`photoramd.models.vocabulary.kept`), and what it
            shows.
        rules: How scores become keywords.
        among: Only these keywords count as wrong where a photo does not show them, folded; the
            others are unknown. None: all.
    """
    hierarchy = Hierarchy(vocabulary)
    result = Evaluation()
    result.words = {word: Count() for _, truth in photos for word in truth.shown}
    for scores, truth in photos:
        tags = select(vocabulary, scores, rules)
        result.photos += 1
        result.with_any += bool(tags)
        is_right = False
        for tag in tags:
            verdict = hierarchy.judge(tag, truth)
            if verdict is Verdict.WRONG and among is not None and fold(tag.name) not in among:
                verdict = Verdict.UNKNOWN
            is_right |= verdict is Verdict.RIGHT
            result.keywords.right += verdict is Verdict.RIGHT
            result.keywords.wrong += verdict is Verdict.WRONG
            result.unknown += verdict is Verdict.UNKNOWN
            if verdict is Verdict.WRONG:
                result.wrong[tag.name] += 1
        result.with_right += is_right
        _count_words(result.words, tags, truth, hierarchy)
    return result


def _count_words(
    counts: dict[str, Count], tags: Iterable[Tag], truth: Truth, hierarchy: Hierarchy
) -> None:
    """Count for each word of the labels whether it was given, by itself or something below it."""
    given = {
        word
        for tag in tags
        for word in (fold(tag.name), *hierarchy.above(fold(tag.name)), *map(fold, tag.parents))
    }
    for word in truth.shown:
        counts[word].right += word in given
        counts[word].missing += word not in given
    absent = counts.keys() - truth.shown if truth.absent is None else truth.absent
    for word in absent:
        counts.setdefault(word, Count()).wrong += word in given


def mentioned(vocabulary: Vocabulary, labels: Iterable[Truth]) -> frozenset[str]:
    """Return the keywords that some labels can judge: their words, and those above and below."""
    hierarchy = Hierarchy(vocabulary)
    words = frozenset(word for truth in labels for word in truth.shown | (truth.absent or set()))
    wider = frozenset(above for word in words for above in hierarchy.above(word))
    narrower = (fold(label) for label in vocabulary.labels)
    return words | wider | frozenset(word for word in narrower if hierarchy.above(word) & words)
