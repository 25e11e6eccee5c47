"""Which RAM++ this is: its tags and its revision, without torch and without the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from photoramd.errors import ModelError
from photoramd.models.description import Description
from photoramd.models.preprocessing import Resize
from photoramd.models.vocabulary import Vocabulary
from photoramd.models.weights.catalog import RAM_PLUS, RAM_PLUS_TAGS, RAM_PLUS_THRESHOLDS
from photoramd.models.weights.verified import locate, read_verified

SIDE = 384
"""Width and height of the network's input, in pixels."""

DECODE_SIDE = 768
"""Twice the input: a photo that the decoder reduced to it gives nearly the same pixels."""

_FLOOR = 0.2
"""Less than half of the lowest threshold."""

_INFERENCE_VERSION = 1
"""Raise it with any change of the network or of its crop."""


def describe(precision: str, device: str) -> Description:
    """Return what must be known of the model, for all tags, where it does not run.

    Args:
        precision: ``float32`` or ``bfloat16``. That of int8 depends on a calibration.
        device: What it runs on: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        IntegrityError: A list is not what it must be.
        ModelError: One is missing.
    """
    vocabulary = load_vocabulary()
    numbers = numbers_of(precision, device)
    revision = revision_of(RAM_PLUS.weights.sha256, vocabulary.labels, numbers, None)
    return Description(RAM_PLUS.name, revision, vocabulary, Resize(SIDE, DECODE_SIDE))


def numbers_of(precision: str, device: str) -> str:
    """Return what tells apart precisions and devices that give different scores.

    Processors agree closely with each other; a GPU sums in another order and rounds otherwise.
    """
    return f"torch.{precision}" if device == "cpu" else f"torch.{precision} {device}"


def load_vocabulary() -> Vocabulary:
    """Return the tags and their thresholds, from the verified files.

    Raises:
        IntegrityError: A file is not what it must be.
        ModelError: One is missing.
    """
    labels, thresholds = (
        read_verified(locate(pin), pin) for pin in (RAM_PLUS_TAGS, RAM_PLUS_THRESHOLDS)
    )
    return vocabulary_of(labels, thresholds)


def vocabulary_of(labels: bytes, thresholds: bytes) -> Vocabulary:
    """Return the tags and their thresholds, from two files with one on each line.

    Raises:
        ModelError: They are not such files.
    """
    try:
        names = tuple(labels.decode("utf-8").splitlines())
        numbers = tuple(map(float, thresholds.decode("ascii").split()))
        return Vocabulary(names, numbers, ((),) * len(names), _FLOOR)
    except ValueError as error:
        raise ModelError(f"the list of tags is damaged: {error}") from error


def revision_of(
    digest: str, labels: Sequence[str], numbers: str, wanted: Sequence[int] | None
) -> str:
    """Return a digest of weights, labels, code, precision and restriction: 12 hex digits.

    Args:
        digest: SHA-256 of the weights, hexadecimal.
        labels: All tags.
        numbers: See `numbers_of`.
        wanted: The positions of the tags that the work is restricted to; None: all.
    """
    own = hashlib.sha256()
    restriction = "all" if wanted is None else repr(tuple(wanted))
    for part in (digest, "\n".join(labels), f"{_INFERENCE_VERSION} {numbers}", restriction):
        own.update(hashlib.sha256(part.encode()).digest())
    return own.hexdigest()[:12]
