"""A pretended GPU: a replica that takes the time of one, and uses no processor."""

from __future__ import annotations

import time

import numpy as np

from photoramd.models.features import Vectors
from photoramd.models.tagger import Scores
from photoramd.worker.replica import Replica
from photoramd.worker.scorer import Stack

PHOTOS_A_SECOND = 45.0


class SlowReplica(Replica):
    """Takes 1/45 s for each picture, and scores nothing."""

    def _run(self, pictures: Stack) -> tuple[Scores, Vectors | None]:
        time.sleep(len(pictures) / PHOTOS_A_SECOND)
        return np.zeros((len(pictures), 4585), np.float32), None
