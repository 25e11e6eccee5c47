"""From the boxes of persons in a photo to whether they are a group, or one a portrait."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_LEAST = 0.20
"""Boxes with less are not looked at."""

_SURE = 0.35
"""From this score on a box surely has a person in it."""

_OVERLAP = 0.5
"""Two boxes that share more of their union show the same person."""

_GROUP = 5
_GROUP_HEIGHT = 0.08
"""A group has so many persons, each at least so tall, as a share of the photo's height."""

_PORTRAIT_HEIGHT, _PORTRAIT_AREA = 0.8, 0.4
"""A portrait shows one person, who is taller and fills more of the photo."""


def group_and_portrait(scores: Array, boxes: Array) -> tuple[float, float]:
    """Return the scores of a group and of a portrait.

    Args:
        scores: Of a person, at each anchor, shape (A,).
        boxes: Top, left, bottom and right as shares of the photo, shape (A, 4).

    Returns:
        The score of the person that makes them a group, the fifth, and of the only one, if that
        one fills the photo; 0 if there is none.
    """
    likely = np.flatnonzero(scores >= _LEAST)
    likely = likely[np.argsort(-scores[likely], kind="stable")]
    chosen = _distinct(np.clip(boxes[likely], 0, 1))
    scores, boxes = scores[likely][chosen], np.clip(boxes[likely][chosen], 0, 1)
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    tall = scores[height > _GROUP_HEIGHT]
    group = float(tall[_GROUP - 1]) if len(tall) >= _GROUP else 0.0
    fills = height > _PORTRAIT_HEIGHT, height * width > _PORTRAIT_AREA
    is_alone = (scores >= _SURE).sum() == 1 and all(fill[0] for fill in fills)
    return group, float(scores[0]) if is_alone else 0.0


def _distinct(boxes: Array) -> list[int]:
    """Return which boxes, the surest first, overlap no surer one: non-maximum suppression."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    chosen: list[int] = []
    for index, box in enumerate(boxes):
        others = boxes[chosen]
        corners = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
        shared = np.clip(corners[1] - corners[0], 0, None).prod(1)
        if (shared <= _OVERLAP * (areas[index] + areas[chosen] - shared)).all():
            chosen.append(index)
    return chosen
