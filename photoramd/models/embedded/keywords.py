"""The keywords of the embedded model: what its parts see, and the words for it.

The classifier's keywords are those of ImageNet's classes (`photoramd.models.imagenet`); those of
the detector and of the heads stand in ``keywords.tsv``. A score of a part is stored under a label
that names the part, such as ``object: dog`` or ``scene: beach``; a label without a part is
the classifier's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from photoramd.models.embedded.combination import THRESHOLD, Combination, Meaning
from photoramd.models.imagenet import KeywordEntry, read_table
from photoramd.models.vocabulary import Vocabulary

_TABLE = "keywords.tsv"

_FLOOR = 0.03
"""Below it scores say little (a photo has about ten labels above it), while keeping all would
cost a hundred times the space."""

_KIND_SHIFT = 0.03
"""How much lower the thresholds of the classifier's kinds are where the detector corrects it."""

_ABOVE = {
    "landscape": ("outdoors",),
    "bathroom": ("indoors",),
    # Of these, photos show the inside; what shows a building is another question.
    "shop": (),
    "restaurant": (),
    "library": (),
    "cinema": (),
    "home theater": ("indoors",),
    "altar": (),
    "vaulted ceiling": (),
}
"""Where trees of ImageNet's keywords stand among the others."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A row of the table: what a part can see, and the keyword for it.

    Attributes:
        label: The label that its score is stored under: the part, and the part's word.
        keyword: The keyword.
        threshold: From which score on it is one.
        same: The classifier's keywords for the same thing.
        above: The keywords above it, the most general first.
    """

    label: str
    keyword: str
    threshold: float
    same: tuple[str, ...]
    above: tuple[str, ...]


def read_evidence() -> list[Evidence]:
    """Return the rows of the table, in the order of the parts' outputs."""
    rows = []
    for line in table_bytes().decode("utf-8").splitlines()[1:]:
        label, keyword, threshold, same, above = line.split("\t")
        rows.append(Evidence(label, keyword, float(threshold), _split(same), _split(above)))
    return rows


def table_bytes() -> bytes:
    """Return the table, as the file has it."""
    return files("photoramd.models.embedded").joinpath(_TABLE).read_bytes()


@cache
def embedded_vocabulary() -> Vocabulary:
    """Return the vocabulary of the embedded model."""
    table, evidence = read_table(), read_evidence()
    above = {entry.keyword: _above(entry) for entry in table}
    above |= {row.keyword: row.above for row in evidence}
    meanings = {
        e.keyword: Meaning(e.keyword, e.threshold - _KIND_SHIFT * e.is_kind, above[e.keyword])
        for e in table
    }
    members = {e.keyword: frozenset(e.classes) for e in table}
    related_objects: dict[str, set[str]] = {}
    for row in evidence:
        same, related = _labels_for(row, members)
        meanings[row.label] = Meaning(row.keyword, row.threshold, row.above, same, related)
        for label in related:
            related_objects.setdefault(label, set()).add(row.label)
    for label, objects in related_objects.items():
        meanings[label] = replace(meanings[label], related=frozenset(objects))
    keywords = tuple(above)
    return Vocabulary(
        labels=keywords,
        thresholds=(THRESHOLD,) * len(keywords),
        parents=tuple(above.values()),
        floor=_FLOOR,
        columns=tuple(meanings),
        combine=Combination(meanings, frozenset(e.keyword for e in table if not e.is_kind)),
    )


def _labels_for(
    row: Evidence, members: Mapping[str, frozenset[int]]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the classifier's labels for a thing, and with them those for what it is a kind of."""
    own = [members[name] for name in row.same]
    same = frozenset(name for each in own for name, its in members.items() if its <= each)
    wider = frozenset(name for each in own for name, its in members.items() if its >= each)
    return same, same | wider | (frozenset(row.above[-1:]) & members.keys())


def _above(entry: KeywordEntry) -> tuple[str, ...]:
    path = (*entry.parents, entry.keyword)
    for index, keyword in enumerate(path):
        if keyword in _ABOVE:
            return (*_ABOVE[keyword], *path[index:-1])
    return entry.parents


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split("|")) if text else ()
