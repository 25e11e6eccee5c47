"""What must be known of a model where it does not run: for decoding, and for its scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoramd.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from photoramd.models.preprocessing import Crop


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a tagger elsewhere; see `photoramd.models.tagger.Tagger`."""

    name: str
    revision: str
    vocabulary: Vocabulary
    crop: Crop

    @property
    def columns_digest(self) -> str:
        """SHA-256, hexadecimal, of what the scores are of, in their order."""
        return hashlib.sha256("\n".join(self.vocabulary.columns).encode()).hexdigest()
