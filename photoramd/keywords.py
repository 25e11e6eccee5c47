"""Scores to keywords: thresholds, lists, overrides, hierarchy.

Works on stored scores as well as on fresh ones, so that another threshold or list costs
no inference. Imports neither torch nor a model.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is known of a model's labels.

    Attributes:
        labels: Readable keywords, unique, in the order of the scores.
        thresholds: One calibrated threshold for each label, 0 to 1; 1.0 or more disables it.
        parents: For each label the labels above it, the most general first.
        floor: Scores below it are not kept in the database, so a user's threshold
            below it has no effect.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    parents: tuple[tuple[str, ...], ...]
    floor: float
