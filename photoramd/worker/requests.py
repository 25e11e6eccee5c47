"""Read and check what a daemon asks, and write the answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np

from photoramd.models.features import Vectors
from photoramd.models.preprocessing import digest_of
from photoramd.models.remote import protocol
from photoramd.models.remote.protocol import Code, Identity, Problem, ScoresAnswer, ScoresRequest
from photoramd.models.tagger import Scores
from photoramd.worker.scorer import Stack


class RefusedError(Exception):
    """A request that is not served.

    Args:
        status: HTTP's.
        problem: Why.
        retry_seconds: When to ask again; None: not by itself.
        closes: Whether the connection is closed, so that nothing more is read of it.
    """

    def __init__(
        self,
        status: int,
        problem: Problem,
        *,
        retry_seconds: int | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem
        self.retry_seconds = retry_seconds
        self.closes = closes


def refusal(status: int, code: Code, message: str, *, closes: bool = False) -> RefusedError:
    """Return a refusal without more than a code and a sentence."""
    return RefusedError(status, Problem(code=code, message=message), closes=closes)


@dataclass(frozen=True, slots=True)
class Expected:
    """What requests must agree with.

    Attributes:
        identity: The worker's model.
        shape: The shape of each picture's pixels.
    """

    identity: Identity
    shape: tuple[int, ...]

    @property
    def most_bytes(self) -> int:
        """No body of a request is larger."""
        return protocol.MOST_PHOTOS * math.prod(self.shape) + protocol.MOST_MESSAGE_BYTES


def read(body: bytes | bytearray, expected: Expected) -> tuple[list[bytes], Stack]:
    """Return the digests of the pictures in a request, and the pictures.

    Raises:
        RefusedError: The request is malformed, for another model, or has other pixels than meant.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise refusal(400, "malformed", f"the request cannot be read: {error}") from error
    if request.identity != expected.identity:
        raise RefusedError(409, _other_model(request.identity, expected.identity))
    if tuple(request.shape) != expected.shape:
        raise refusal(
            400,
            "malformed",
            f"the pictures have the shape {request.shape}, and must have {list(expected.shape)}",
        )
    if len(request.digests) != len(request.pixels):
        raise refusal(400, "malformed", "there are not as many digests as pictures")
    size = math.prod(expected.shape)
    if any(each.nbytes != size for each in request.pixels):
        raise refusal(400, "malformed", f"a picture has not {size} bytes")
    pictures = np.empty((len(request.pixels), *expected.shape), np.uint8)
    for number, (digest, pixels) in enumerate(zip(request.digests, request.pixels, strict=True)):
        pictures[number] = np.frombuffer(pixels, np.uint8).reshape(expected.shape)
        if digest_of(pictures[number]) != digest:
            raise refusal(422, "wrong_digest", f"picture {number + 1} does not match its digest")
    return request.digests, pictures


def _other_model(asked: Identity, own: Identity) -> Problem:
    different = ", ".join(
        f"{name} {getattr(asked, name)}, here it is {getattr(own, name)}"
        for name in Identity.__struct_fields__
        if getattr(asked, name) != getattr(own, name)
    )
    return Problem(code="other_model", message=f"asked for {different}", identity=own)


def write(
    identity: Identity, digests: list[bytes], scores: Scores, features: Vectors | None
) -> bytes:
    """Return the answer about pictures."""
    return encode(
        ScoresAnswer(
            identity=identity,
            digests=digests,
            scores=_bytes_of(scores.astype("<f4", copy=False)),
            features=None if features is None else _bytes_of(features),
        )
    )


def _bytes_of(array: Scores | Vectors) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


encode = msgspec.msgpack.Encoder().encode

_decoder = msgspec.msgpack.Decoder(ScoresRequest)
