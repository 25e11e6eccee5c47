"""From decoded photos to stored keywords: groups of them go to the model, and come back scored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from photoramd.clock import UnixTime
from photoramd.database.features import Features
from photoramd.database.photos import Job
from photoramd.database.results import Results, Tagged
from photoramd.database.thumbnails import Thumbnails
from photoramd.errors import ModelError
from photoramd.models.rules import Rules, select
from photoramd.models.tagger import Tagger, at_once
from photoramd.pipeline.groups import Groups
from photoramd.pipeline.inference import BatchSizer, Decoded
from photoramd.pipeline.scorer import Scored, Scorer


@dataclass(frozen=True, slots=True)
class KeywordSource:
    """A model, how its scores become keywords, and what else is kept of what it sees.

    Attributes:
        tagger: The model.
        rules: How its scores become keywords.
        features: Where its features are kept, if they are.
        thumbnails: Where thumbnails of the photos are kept, if they are made.
    """

    tagger: Tagger
    rules: Rules
    features: Features | None = None
    thumbnails: Thumbnails | None = None


@dataclass(slots=True)
class Finished:
    """Photos that the model is done with.

    Attributes:
        jobs: All of them.
        failed: Those without scores, and why.
        left_out: Those that the model did not look at, because of a stop. The others are stored.
        fresh: The ids of those that the model ran for; equal pictures share one result.
    """

    jobs: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, ModelError]] = field(default_factory=list)
    left_out: list[Job] = field(default_factory=list)
    fresh: set[int] = field(default_factory=set)


class Tagging:
    """Has photos scored, and stores scores and keywords. Belongs to one thread.

    Args:
        source: The model and the rules.
        results: Where scores and keywords are stored.
        most: Photos in a group.
        proceed: Asked while a model that runs in this thread has more to do.

    Attributes:
        scorer: Knows what is stored.
    """

    def __init__(
        self, source: KeywordSource, results: Results, most: int, proceed: Callable[[], bool]
    ) -> None:
        self._tagger = tagger = source.tagger
        self._rules = source.rules
        self._results = results
        self._most = most
        self._is_closed = is_closed = threading.Event()

        # Not of this object: a reference cycle would keep the model that a reload replaces.
        def goes_on() -> bool:
            return not is_closed.is_set() if at_once(tagger) else proceed()

        self.scorer = Scorer(tagger, results, source.features, goes_on)
        self._groups = Groups(self.scorer.infer, lambda: at_once(tagger))
        # Photos that are equal to one that the model is just looking at.
        self._held: list[tuple[Job, Decoded]] = []

    @property
    def pace(self) -> BatchSizer:
        """How many pictures the model was given, and how long it took."""
        return self.scorer.pace

    @property
    def is_waiting(self) -> bool:
        """Whether the model has nothing to do, and nothing is held for it."""
        return not len(self._groups) and not self._held

    def can_begin(self, decoded: int) -> bool:
        """Return whether the model would take that many photos.

        A small group takes long for each of its photos, so it is for a model that is idle only.
        """
        return self._has_room and decoded >= (1 if self._groups.is_idle else self._most)

    def begin(self, photos: Sequence[tuple[Job, Decoded]]) -> None:
        """Have photos scored; those that are equal to one that is under way wait for it.

        What waits is looked at again, so this is to be called without photos, too.
        """
        photos, self._held = [*self._held, *photos], []
        group: list[tuple[Job, Decoded]] = []
        for job, decoded in photos:
            if (same := self._groups.find(decoded.digest)) is None:
                group.append((job, decoded))
            else:  # one picture's pixels are enough
                self._held.append((job, replace(decoded, pixels=same.pixels)))
        if group:
            self._groups.submit(group, self.scorer.recall([decoded for _, decoded in group]))

    def wait(self, seconds: float, decoding: Sequence[Future[Any]]) -> None:
        """Wait for a group, or for more decoded photos if there is room for them.

        Args:
            seconds: At most so long.
            decoding: What is done when another photo is decoded.
        """
        if self.is_waiting or self._groups.is_any_done:
            return
        more = [each for each in decoding if not each.done()] if self._has_room else []
        wait([*self._groups.futures, *more], seconds, FIRST_COMPLETED)

    def finish(self, now: UnixTime) -> Finished:
        """Store scores and keywords of the groups that the model is done with.

        Raises:
            StoreError: The database failed.
        """
        finished = Finished()
        for members, scored in self._groups.take():
            finished.jobs += [job for job, _ in members]
            self._store(members, scored, now, finished)
        return finished

    def close(self) -> None:
        """Give up what was not stored."""
        self._is_closed.set()
        self._groups.close()

    @property
    def _has_room(self) -> bool:
        """Whether another group may begin; not while many photos wait for one that is under way."""
        return self._groups.has_room and len(self._held) < self._most

    def _store(
        self,
        members: Sequence[tuple[Job, Decoded]],
        scored: Scored,
        now: UnixTime,
        finished: Finished,
    ) -> None:
        tagged = []
        for job, decoded in members:
            if decoded.digest in scored.failed:
                finished.failed.append((job, scored.failed[decoded.digest]))
            elif decoded.digest in scored.scores:
                scores = scored.scores[decoded.digest]
                tags = select(self._tagger.vocabulary, scores, self._rules)
                tagged.append(Tagged(job, decoded.digest, scores, tags, decoded.reading))
            else:
                finished.left_out.append(job)
        if tagged:
            self._results.save(tagged, self._tagger.name, self._tagger.revision, now)
            self.scorer.keep_features(scored)
        # One of several equal pictures was inferred.
        inferred = {each.digest: each.job.id for each in tagged if each.digest in scored.fresh}
        finished.fresh.update(inferred.values())
