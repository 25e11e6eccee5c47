"""From a file to the model's scores: decode, crop, identify, infer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock

from photoramd.clock import unix_time
from photoramd.contained.client import Contained, shared
from photoramd.database.picture_keys import key_of_picture
from photoramd.database.thumbnails import Thumbnails
from photoramd.errors import ModelError, ModelUnavailableError
from photoramd.images.budget import MemoryRoom
from photoramd.images.renditions import THUMBNAIL
from photoramd.metadata.reading import Reading
from photoramd.models.features import scores_of
from photoramd.models.preprocessing import Pixels, digest_of
from photoramd.models.tagger import Tagger
from photoramd.models.vocabulary import kept
from photoramd.photo import Fingerprint

log = logging.getLogger(__name__)

LONGEST_SECONDS = 15.0
"""The model is given no more photos at once than it takes this long for, but one."""


# Memory is the machine's, so this is the process's.
_room = MemoryRoom()

_BYTES_FOR_PIXEL = 8
"""All photos together may take as much memory as one of the largest ones that are allowed."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model needs of one photo, and what identifies the picture."""

    pixels: Pixels
    digest: bytes
    fingerprint: Fingerprint
    reading: Reading


def decode_input(
    tagger: Tagger,
    path: Path,
    max_pixels: int,
    contained: Contained | None = None,
    thumbnails: Thumbnails | None = None,
) -> Decoded:
    """Decode a photo to the model's input; runs in the threads of a look-ahead pool.

    Args:
        tagger: The model.
        path: The photo.
        max_pixels: Photos with more are refused.
        contained: The workers that do it; None takes those that all commands share.
        thumbnails: Where a thumbnail is kept, if one is to be made. That happens here, and not
            where the results are stored, so that the loop does not wait for it.

    Raises:
        DecodeError: The photo cannot be decoded.
        ChangedError: It changed while it was read.
        LostError: It took the worker that decoded it down.
        StoppedError: It was given up.
    """
    contained = contained or shared()
    with _room.share(_BYTES_FOR_PIXEL * max_pixels, contained.is_running) as reserve:
        made: list[bytes] = []
        keep = None if thumbnails is None else made.append
        pixels, reading = contained.see(path, tagger.crop, max_pixels, reserve, keep)
    assert reading.fingerprint is not None  # noqa: S101  it was read
    digest = digest_of(pixels)
    if thumbnails is not None and made and reading.look is not None:
        key = key_of_picture(digest, reading.look.width, reading.look.height)
        thumbnails.put(key, THUMBNAIL, made[0], unix_time())
    return Decoded(pixels, digest, reading.fingerprint, reading)


@dataclass(slots=True)
class Inferred:
    """What the model made of pictures, by their digests.

    Attributes:
        scores: Those worth keeping, by label.
        features: Vectors as bytes; none of a model that has no features.
        failed: Why there are no scores.
    """

    scores: dict[bytes, Mapping[str, float]] = field(default_factory=dict)
    features: dict[bytes, bytes] = field(default_factory=dict)
    failed: dict[bytes, ModelError] = field(default_factory=dict)

    def add(self, other: Inferred) -> None:
        """Add those of other pictures."""
        self.scores |= other.scores
        self.features |= other.features
        self.failed |= other.failed


@dataclass(slots=True)
class BatchSizer:
    """How many pictures the model is given at once: as many as it looks at in a few seconds.

    A large model takes seconds for one, and a daemon that is to stop must not wait for many.

    Attributes:
        size: So many.
        pictures: How many it was given in all.
        seconds: How long these took; several at once count each.
    """

    size: int = 1
    pictures: int = 0
    seconds: float = 0.0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def learn(self, pictures: int, seconds: float) -> None:
        """Learn how long a number of pictures took; called from any thread."""
        with self._lock:
            self.pictures += pictures
            self.seconds += seconds
            if seconds > LONGEST_SECONDS:
                self.size = max(1, pictures // 2)
            elif pictures == self.size and seconds < LONGEST_SECONDS / 2:
                self.size *= 2


def infer_in_turns(
    tagger: Tagger, unseen: Mapping[bytes, Pixels], pace: BatchSizer, proceed: Callable[[], bool]
) -> Inferred:
    """Run the model on a batch, a few pictures at a time.

    Args:
        tagger: The model.
        unseen: Its input by digest.
        pace: How many at a time.
        proceed: Asked before each turn but the first; False leaves out the rest.

    Returns:
        As `infer`, perhaps of fewer pictures.
    """
    done = Inferred()
    rest = iter(unseen.items())
    while turn := dict(islice(rest, pace.size)):
        if (done.scores or done.failed) and not proceed():
            break
        began = time.monotonic()
        inferred = infer(tagger, turn)
        pace.learn(len(turn), time.monotonic() - began)
        done.add(inferred)
    return done


def infer(tagger: Tagger, unseen: Mapping[bytes, Pixels]) -> Inferred:
    """Run the model on pictures at once; if it refuses, on each picture alone.

    Args:
        tagger: The model.
        unseen: Its input by digest.
    """
    if not unseen:
        return Inferred()
    try:
        rows, vectors = scores_of(tagger, unseen)
        done = Inferred({d: kept(tagger.vocabulary, r) for d, r in zip(unseen, rows, strict=True)})
        if vectors is not None:
            done.features = {d: v.tobytes() for d, v in zip(unseen, vectors, strict=True)}
        return done
    except ModelUnavailableError as caught:
        return Inferred(failed=dict.fromkeys(unseen, caught))
    except ModelError as caught:
        error = caught
    except Exception as caught:
        # A bug costs one picture; ended by it, the daemon would meet it again at each start.
        log.exception("Unexpected error in the model")
        error = ModelError(f"unexpected error in the model: {caught!r}")
    if len(unseen) == 1:
        return Inferred(failed=dict.fromkeys(unseen, error))
    log.warning("The model failed on a batch of %d: %s; one by one", len(unseen), error)
    done = Inferred()
    for digest, pixels in unseen.items():
        done.add(infer(tagger, {digest: pixels}))
    return done
