"""What is said between a daemon and a worker: MessagePack over HTTPS.

    GET  /v1/model    ModelAnswer; 503 while no model is loaded
    POST /v1/scores   ScoresRequest, answered by ScoresAnswer

Each request has ``Authorization: Bearer TOKEN``, and each body the type `MEDIA_TYPE`. Whatever is
not answered by 200 has a `Problem`. Both sides refuse what does not name the same model, revision,
columns and protocol, and the pixels and scores of each picture are bound by its digest.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from photoramd.models.description import Description

PROTOCOL = 1
"""Raise it when one side would misunderstand the other; both refuse another number."""

MODEL_PATH = "/v1/model"
SCORES_PATH = "/v1/scores"
MEDIA_TYPE = "application/msgpack"

MOST_PHOTOS = 64
"""So many pictures may be in one request."""

MOST_MESSAGE_BYTES = 65536
"""No answer but one with scores, and nothing besides pixels and scores, is larger."""

_Digest = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Name = Annotated[str, Meta(max_length=200)]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What both sides must agree about.

    Attributes:
        protocol: See `PROTOCOL`.
        model: The name in the configuration.
        revision: See `photoramd.models.tagger.Tagger`.
        columns: See `photoramd.models.description.Description.columns_digest`.
    """

    protocol: int
    model: _Name
    revision: _Name
    columns: _Name


def identity_of(description: Description) -> Identity:
    """Return what both sides say of a model."""
    return Identity(
        protocol=PROTOCOL,
        model=description.name,
        revision=description.revision,
        columns=description.columns_digest,
    )


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is.

    Attributes:
        identity: Its model.
        version: Its version of photoramd.
        device: What the model runs on, for people, such as ``cuda: NVIDIA GeForce RTX 3090``.
        at_once: How many requests it works on at a time, of all daemons together.
    """

    identity: Identity
    version: _Name
    device: _Name
    at_once: Annotated[int, Meta(ge=1, le=1024)]


class ScoresRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures for a model.

    Attributes:
        identity: The model that is asked for.
        digests: `photoramd.models.preprocessing.digest_of` of each picture's pixels.
        shape: The shape of each picture's pixels, such as (384, 384, 3).
        pixels: uint8, in C order, for each picture.
    """

    identity: Identity
    digests: Annotated[list[_Digest], Meta(min_length=1, max_length=MOST_PHOTOS)]
    shape: Annotated[list[Annotated[int, Meta(ge=1, le=10**6)]], Meta(min_length=1, max_length=3)]
    pixels: Annotated[list[memoryview], Meta(min_length=1, max_length=MOST_PHOTOS)]


class ScoresAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model made of pictures.

    Attributes:
        identity: The model that ran.
        digests: Those that were asked about, in the same order.
        scores: float32, little-endian, shape (pictures, columns), in C order.
        features: int8, shape (pictures, `photoramd.models.features.SIZE`); None of a model without.
    """

    identity: Identity
    digests: list[_Digest]
    scores: memoryview
    features: memoryview | None = None


Code = Literal[
    "unauthorized",  # 401 no token, or another one
    "no_such_thing",  # 404, 405
    "other_model",  # 409 another model, revision, columns or protocol; see identity
    "too_large",  # 413
    "wrong_type",  # 415
    "malformed",  # 400, 408, 422 of what cannot be read
    "wrong_digest",  # 422 pixels that do not match their digests
    "failed",  # 500 the model refused these pictures
    "lost",  # 500 the model's process was lost with these pictures
    "unavailable",  # 503 no model is loaded now
    "busy",  # 503 too much is asked for at once
]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer.

    Attributes:
        code: For programs.
        message: For people, in one sentence.
        identity: With ``other_model``: the worker's.
    """

    code: Code
    message: Annotated[str, Meta(max_length=2000)]
    identity: Identity | None = None
