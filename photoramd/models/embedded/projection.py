"""From the classifier's 1,280 pooled features to the short vectors of `models.features`.

Of each feature the root is taken, so that a few strong ones do not decide alone; the mean of many
photos is taken off, because what all share tells none apart; the rest is projected on the
directions in which photos differ most, turned at random so that all numbers matter alike and
their signs alone say much. contrib/embedded_features.py makes the file and says what that gains.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from photoramd.models.features import Vectors, quantised
from photoramd.models.weights.catalog import EMBEDDED

_FILE = "features.npz"

_VERSION = 1
"""Raise it with any change of how vectors are made."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What vectors are made with.

    Attributes:
        mean: Of the roots of pooled features, float32, shape (1280,).
        basis: The directions, float32, shape (1280, SIZE); equally long.
    """

    mean: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]

    @classmethod
    def read(cls) -> Projection:
        """Read the package's own."""
        with (files(__package__) / _FILE).open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            return cls(arrays["mean"], arrays["basis"].astype(np.float32))

    def vectors(self, pooled: npt.NDArray[np.float32]) -> Vectors:
        """Return the vectors of pooled features, shape (photos, 1280)."""
        values = (roots(pooled) - self.mean) @ self.basis
        return quantised(np.asarray(values, np.float32))


def roots(pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the square roots of pooled features, which ReLU has made 0 or more."""
    positive: npt.NDArray[np.float32] = np.sqrt(np.maximum(pooled, np.float32(0)))
    return positive


def features_version() -> str:
    """Return a digest of weights, projection and code: 12 hexadecimal digits.

    Vectors of different versions cannot be compared.
    """
    digest = hashlib.sha256()
    table = (files(__package__) / _FILE).read_bytes()
    for part in (EMBEDDED.weights.sha256.encode(), table, f"{_VERSION}".encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]
