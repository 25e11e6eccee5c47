"""What the front asks for scores, and how that fails."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from photoramd.models.features import Vectors
from photoramd.models.tagger import Scores

Stack = npt.NDArray[np.uint8]
"""Pictures of one shape, uint8, shape (pictures, ...)."""


class UnavailableError(Exception):
    """No model is loaded now; nobody is to blame."""


class LostError(Exception):
    """The model's process was lost with these pictures."""


class FailedError(Exception):
    """The model refused these pictures."""


class Scorer(Protocol):
    """A model in other processes."""

    @property
    def at_once(self) -> int:
        """How many calls it works on at a time; 0 while no model is loaded."""

    async def scores(self, pictures: Stack) -> tuple[Scores, Vectors | None]:
        """Return the scores of pictures, and their features if the model gives any.

        Raises:
            FailedError: See there, as for the others.
            LostError:
            UnavailableError:
        """
