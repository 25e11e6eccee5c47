"""Combine what the parts of the embedded model see into one score for each keyword.

A classifier that must name one of 1,000 things errs where there is none of them, and a detector
of 80 things takes others for them. Here they correct each other, from stored scores alone, so
that other thresholds need no inference. The rules and their numbers were settled on labelled
photos: see docs/models.md.

Labels of the parts have thresholds of their own; `calibrated` puts their scores on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

THRESHOLD = 0.5
"""The threshold of every keyword, on the common scale."""

OBJECT, SCENE, PEOPLE = "object: ", "scene: ", "people: "
"""What the labels of the parts begin with; the classifier's begin with none of them."""

PERSON = "person"
_PERSON_OBJECT, _PERSON_SCENE = OBJECT + PERSON, SCENE + PERSON
_INDOORS, _OUTDOORS = "indoors", "outdoors"
_ANIMAL, _BUILDING = "animal", "building"

_KIND_MARGIN = 0.15
"""How much surer than of an object one must be to name the kind it belongs to, because a wrong
object makes several wrong words."""


_SUPPORT = 0.1
"""Below this score the classifier sees no trace of an object."""


def calibrated(score: float, threshold: float) -> float:
    """Return a label's score on the common scale, where its threshold lies at `THRESHOLD`."""
    if score < threshold:
        return THRESHOLD * score / threshold
    return THRESHOLD + (1 - THRESHOLD) * (score - threshold) / (1 - threshold)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a label of a part means.

    Attributes:
        keyword: The keyword.
        threshold: From which score on the label counts.
        above: The keywords above it.
        same: Of an object, the classifier's labels for it and for kinds of it.
        related: Of an object, those, and the classifier's labels for what it is a kind of; of
            the classifier's label, the objects that it is related to.
    """

    keyword: str
    threshold: float
    above: tuple[str, ...]
    same: frozenset[str] = frozenset()
    related: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Combination:
    """Combines the scores of the parts.

    Attributes:
        meanings: By label.
        classes: The classifier's labels that are not kinds of others.
    """

    meanings: Mapping[str, Meaning]
    classes: frozenset[str]

    def __call__(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return scores by keyword: the highest of those of its labels.

        Args:
            scores: By label; one that is missing counts as 0, an unknown one not at all.
        """
        known = {label: score for label, score in scores.items() if label in self.meanings}
        found: dict[str, float] = {}
        for keyword, score in self._words(known):
            found[keyword] = max(score, found.get(keyword, 0.0))
        return found

    def _words(self, scores: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        person = self._person(scores)
        yield PERSON, person
        objects = self._objects(scores)
        for label, sure in objects.items():
            meaning = self.meanings[label]
            yield meaning.keyword, sure
            yield from ((kind, max(0.0, sure - _KIND_MARGIN)) for kind in meaning.above)
        for label, score in scores.items():
            meaning = self.meanings[label]
            if label.startswith(OBJECT):
                continue
            if label.startswith(SCENE):
                if label != _PERSON_SCENE:
                    yield meaning.keyword, self._scene(label, scores)
            elif label.startswith(PEOPLE):
                yield meaning.keyword, min(person, calibrated(score, meaning.threshold))
            elif label != PERSON:
                yield meaning.keyword, self._class(label, scores, objects)

    def _objects(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the scores of what the detector sees, but for persons; 0 if it is denied."""
        best = _best(scores.keys() & self.classes, scores)
        return {
            label: self._object(label, scores, best)
            for label in scores
            if label.startswith(OBJECT) and label != _PERSON_OBJECT
        }

    def _object(self, label: str, scores: Mapping[str, float], best: float) -> float:
        """Return the score of what the detector sees; 0 if the classifier denies it.

        It sees horses in other animals, and teddy bears in dogs. Where the classifier is sure of
        something and sees no trace of the object, the object is wrong three times of four.
        """
        meaning, score = self.meanings[label], scores[label]
        support = _best(meaning.same or meaning.related, scores)
        if support >= _SUPPORT:
            return calibrated(score, meaning.threshold)
        is_other_animal = (
            meaning.same and _ANIMAL in meaning.above and scores.get(_ANIMAL, 0.0) > 0.5
        )
        if is_other_animal or best >= 0.7:
            return 0.0
        return calibrated(score, 0.8 if best > 0.3 else 0.6)

    def _class(
        self, label: str, scores: Mapping[str, float], objects: Mapping[str, float]
    ) -> float:
        """Return the score of what the classifier sees; 0 if the detector denies it.

        In a photo of people, or of other things than the label says, the classifier errs more.
        """
        meaning, score = self.meanings[label], scores[label]
        own = [each for each in meaning.related if label in self.meanings[each].same]
        if own and _best(own, scores) < 0.15:
            return 0.0
        if label == _BUILDING and scores.get(SCENE + _INDOORS, 0.0) >= 0.5:
            return 0.0
        if _best(meaning.related, scores) < 0.3:
            if scores.get(_PERSON_OBJECT, 0.0) >= 0.4:
                score -= 0.1
            if any(
                sure > 0 and scores[each] >= 0.4 and each not in meaning.related
                for each, sure in objects.items()
            ):
                score -= 0.2
        found = calibrated(max(score, 0.0), meaning.threshold)
        if SCENE + label in self.meanings:  # the head knows better what is a place
            found = min(found, calibrated(scores.get(SCENE + label, 0.0), 0.5))
        return found

    def _scene(self, label: str, scores: Mapping[str, float]) -> float:
        """Return the score of a scene: a room is one only indoors, a beach only outdoors."""
        meaning = self.meanings[label]
        found = calibrated(scores[label], meaning.threshold)
        inside, outside = (scores.get(SCENE + place, 0.0) for place in (_INDOORS, _OUTDOORS))
        if _INDOORS in meaning.above:
            found = min(found, calibrated(inside, 0.5))
        if _OUTDOORS in meaning.above:
            found = min(found, calibrated(outside, self.meanings[SCENE + _OUTDOORS].threshold))
        if label == SCENE + _BUILDING and inside >= 0.5:
            return 0.0
        return found

    def _person(self, scores: Mapping[str, float]) -> float:
        """Return the probability of a person: detector and head alike; animals look like some."""
        seen, head = scores.get(_PERSON_OBJECT, 0.0), scores.get(_PERSON_SCENE, 0.0)
        evidence = 0.2 + _logit(seen) + _logit(head)
        animals = (o for o in scores if o.startswith(OBJECT) and _ANIMAL in self.meanings[o].above)
        if _best((_ANIMAL, *animals), scores) > 0.5:
            evidence -= 2.2
        return 1 / (1 + math.exp(-evidence))


def _best(labels: Iterable[str], scores: Mapping[str, float]) -> float:
    return max((scores.get(label, 0.0) for label in labels), default=0.0)


def _logit(probability: float) -> float:
    bounded = min(max(probability, 0.01), 0.995)
    return math.log(bounded / (1 - bounded))
