"""Have known photos looked at by the model once more, a few at a time, when nothing else waits."""

from __future__ import annotations

from photoramd.database.results import Results
from photoramd.models.tagger import Tagger
from photoramd.pipeline.scorer import Scorer

_PICTURES = 500
"""Pictures whose features are looked for at once: some milliseconds."""


class Renewal:
    """Queues photos whose tags or features are not those of the present model.

    They come after all new ones, and are so few that new ones do not wait for them.

    Args:
        results: Which model tagged them.
        scorer: Which features are kept.
        tagger: The present model.
        together: How many are queued at once.
        renews: Whether photos that an earlier revision of the model tagged are tagged again.
    """

    def __init__(
        self, results: Results, scorer: Scorer, tagger: Tagger, together: int, *, renews: bool
    ) -> None:
        self._results = results
        self._scorer = scorer
        self._tagger = tagger
        self._together = together
        self._renews = renews
        # Photos with lower ids were not looked at yet; None: none was.
        self._renewed_below: int | None = None
        # The same for features; 0: all were.
        self._compared_below: int | None = None if scorer.keeps_features else 0

    def step(self) -> None:
        """Queue some photos, if there are any.

        Raises:
            StoreError: The database failed.
        """
        if self._renews:
            self._renew()
        elif self._compared_below != 0:
            self._find_without_features()

    def _renew(self) -> None:
        """Queue photos that an earlier revision of the model tagged."""
        tagger = self._tagger
        if self._renewed_below is None:
            self._results.note_model(tagger.name, tagger.revision)
        _, self._renewed_below = self._results.renew(
            tagger.name, tagger.revision, self._renewed_below, self._together
        )
        self._renews = self._renewed_below is not None

    def _find_without_features(self) -> None:
        """Queue photos that were tagged when no features were kept, for similar photos."""
        pictures = self._results.pictures(
            self._tagger.name, self._tagger.revision, self._compared_below, _PICTURES
        )
        lacking = self._scorer.lacking([digest for _, digest in pictures])
        chosen = [number for number, digest in pictures if digest in lacking][: self._together]
        if chosen:
            self._results.choose_again([(number, None) for number in chosen])
        last = chosen if len(chosen) == self._together else [number for number, _ in pictures]
        self._compared_below = last[-1] if last else 0
