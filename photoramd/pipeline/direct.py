"""Tag and score photos directly, without a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from photoramd.contained.client import Contained
from photoramd.errors import NoImagesError, PhotoramdError
from photoramd.models.comparison import Comparison, Row, compare
from photoramd.models.rules import Rules, select
from photoramd.photo import Tag
from photoramd.pipeline.inference import Decoded, decode_input, infer
from photoramd.pipeline.lookahead import LookAhead
from photoramd.system.beneath import named
from photoramd.system.cpu import available_cores

if TYPE_CHECKING:
    from photoramd.models.tagger import Tagger


_AHEAD = 16
"""How many photos `decodable` holds decoded, at most."""


@dataclass(frozen=True, slots=True)
class TaggedPhoto:
    """The tags of one photo, or why there are none."""

    path: Path
    tags: Sequence[Tag] = ()
    error: PhotoramdError | None = None


def tag_photos(
    tagger: Tagger, rules: Rules, photos: Iterable[Path], *, batch_size: int, max_pixels: int
) -> Iterator[TaggedPhoto]:
    """Yield results in the order of the photos, which are decoded ahead and inferred in batches."""
    rest = _prepared(tagger, photos, max_pixels, depth=2 * batch_size)
    while batch := list(islice(rest, batch_size)):
        good = {d.digest: d.pixels for _, d in batch if not isinstance(d, PhotoramdError)}
        inferred = infer(tagger, good)
        for path, item in batch:
            if isinstance(item, PhotoramdError):
                yield TaggedPhoto(path, error=item)
            elif item.digest in inferred.failed:
                yield TaggedPhoto(path, error=inferred.failed[item.digest])
            else:
                tags = select(tagger.vocabulary, inferred.scores[item.digest], rules)
                yield TaggedPhoto(path, tags)


def decodable(
    tagger: Tagger,
    photos: Iterable[Path],
    max_pixels: int,
    on_error: Callable[[Path, PhotoramdError], None],
) -> Iterator[tuple[Path, Decoded]]:
    """Yield what the model sees of the photos that can be decoded.

    Args:
        tagger: The model.
        photos: The photos.
        max_pixels: Larger photos are refused.
        on_error: Called for each photo that is left out.

    Raises:
        NoImagesError: None can be decoded.
    """
    good = 0
    for path, decoded in _prepared(tagger, photos, max_pixels, depth=_AHEAD):
        if isinstance(decoded, PhotoramdError):
            on_error(path, decoded)
        else:
            good += 1
            yield path, decoded
    if not good:
        raise NoImagesError("none of the photos can be decoded")


@dataclass(frozen=True, slots=True)
class ScoredPhoto:
    """The scores of one photo.

    Attributes:
        path: The photo.
        digest: Of the pixels that the model saw.
        row: Probabilities, float32, shape (labels,).
        seconds: The inference time.
    """

    path: Path
    digest: bytes
    row: Row
    seconds: float


def score_photos(
    tagger: Tagger,
    batches: Iterable[Sequence[tuple[Path, Decoded]]],
    leave_out: Collection[bytes] = (),
) -> Iterator[ScoredPhoto]:
    """Score photos a batch at a time; equal pictures only once.

    Args:
        tagger: The model.
        batches: What it sees: see `decodable`.
        leave_out: Digests of pixels to skip.
    """
    known = set(leave_out)
    for batch in batches:
        fresh = {each.digest: (path, each.pixels) for path, each in batch}
        fresh = {digest: fresh[digest] for digest in fresh if digest not in known}
        if not fresh:
            continue
        known |= fresh.keys()
        started = time.perf_counter()
        rows = tagger.scores([pixels for _, pixels in fresh.values()])
        seconds = (time.perf_counter() - started) / len(fresh)
        for (digest, (path, _)), row in zip(fresh.items(), rows, strict=True):
            yield ScoredPhoto(path, digest, row, seconds)


def compare_scores(
    tagger: Tagger,
    truth: Mapping[bytes, ScoredPhoto],
    others: Iterable[ScoredPhoto],
    rules: Rules,
) -> tuple[Comparison, float]:
    """Compare scores with the truth; return also the inference seconds a photo.

    Only scores are kept meanwhile, 18 KB a photo for RAM++, never the photos themselves.

    Args:
        tagger: The model that gave the scores.
        truth: The scores to compare with, by digest.
        others: Scores of the same photos; what the truth lacks is left out.
        rules: How scores become keywords.

    Raises:
        NoImagesError: No photo is on both sides.
    """
    seconds = 0.0

    def pairs() -> Iterator[tuple[Row, Row]]:
        nonlocal seconds
        for each in others:
            if each.digest in truth:
                seconds += each.seconds
                yield truth[each.digest].row, each.row

    found = compare(tagger.vocabulary, pairs(), rules)
    return found, seconds / found.photos


def _prepared(
    tagger: Tagger, photos: Iterable[Path], max_pixels: int, *, depth: int
) -> Iterator[tuple[Path, Decoded | PhotoramdError]]:
    """Yield photos as the model's input, decoded ahead on all cores."""
    contained = Contained()

    def work(path: Path) -> Decoded:
        return decode_input(tagger, named(path), max_pixels, contained)

    with contained, LookAhead(work, threads=available_cores(), depth=depth) as ahead:
        yield from ahead.results(photos)
