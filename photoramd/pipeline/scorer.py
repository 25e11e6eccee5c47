"""Give pictures their scores: stored ones where there are some, else the model's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from photoramd.database.features import Features
from photoramd.database.results import Results
from photoramd.errors import ModelError
from photoramd.models.features import gives_features
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Tagger
from photoramd.pipeline.inference import BatchSizer, Decoded, Inferred, infer_in_turns


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is known of a batch before the model runs.

    Attributes:
        stored: Scores by label, by the pictures' digests.
        unseen: The pixels of the pictures that the model is to look at, by their digests.
    """

    stored: Mapping[bytes, Mapping[str, float]]
    unseen: Mapping[bytes, Pixels]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of a batch, by the digests of its pictures.

    Attributes:
        scores: By label, stored or fresh.
        fresh: The pictures that the model ran for because nothing was stored.
        features: Of those that the model ran for, as bytes.
        failed: Why there are no scores.
    """

    scores: Mapping[bytes, Mapping[str, float]]
    fresh: set[bytes]
    features: Mapping[bytes, bytes]
    failed: Mapping[bytes, ModelError]


class Scorer:
    """Asks the database, then the model.

    Args:
        tagger: The model.
        results: Stored scores.
        features: Where the features of pictures are kept, if they are.
        proceed: Asked while the model has more to do; False leaves out the rest. Called from the
            threads that `infer` is called from.

    Attributes:
        pace: How many pictures the model was given, and how long it took.
    """

    def __init__(
        self,
        tagger: Tagger,
        results: Results,
        features: Features | None,
        proceed: Callable[[], bool],
    ) -> None:
        self._tagger = tagger
        self._results = results
        self._features = features if gives_features(tagger) else None
        self._proceed = proceed
        self.pace = BatchSizer()

    @property
    def keeps_features(self) -> bool:
        """Whether the features of pictures are kept."""
        return self._features is not None

    def lacking(self, digests: Collection[bytes]) -> set[bytes]:
        """Return the pictures without features."""
        return self._features.lacking(digests) if self._features else set()

    def recall(self, batch: Sequence[Decoded]) -> Recalled:
        """Return what is stored of a batch, and what the model is to see of it, once each."""
        pixels: dict[bytes, Pixels] = {each.digest: each.pixels for each in batch}
        stored = {}
        for digest in pixels:
            scores = self._results.recall(digest, self._tagger.name, self._tagger.revision)
            if scores is not None:
                stored[digest] = scores
        # Pictures that were tagged before features were kept get them when they are met again.
        lacking = self.lacking(stored)
        unseen = {d: p for d, p in pixels.items() if d not in stored or d in lacking}
        return Recalled(stored, unseen)

    def infer(self, recalled: Recalled) -> Scored:
        """Run the model on what it has not seen; touches no database."""
        stored = recalled.stored
        done: Inferred = infer_in_turns(self._tagger, recalled.unseen, self.pace, self._proceed)
        return Scored(
            done.scores | dict(stored),
            done.scores.keys() - stored.keys(),
            done.features,
            {digest: error for digest, error in done.failed.items() if digest not in stored},
        )

    def keep_features(self, scored: Scored) -> None:
        """Keep the features of a batch, after its scores."""
        if self._features:
            self._features.save(scored.features)
