"""Check what workers answer: nothing is believed that does not fit what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import msgspec
import numpy as np

from photoramd.errors import printable
from photoramd.models.description import Description
from photoramd.models.features import SIZE, Vectors
from photoramd.models.remote import protocol
from photoramd.models.remote.failures import (
    FailedPicturesError,
    Kind,
    LostPicturesError,
    WorkerError,
)
from photoramd.models.remote.protocol import Identity, ModelAnswer, Problem, ScoresAnswer
from photoramd.models.tagger import Scores

_TOLERANCE = 1e-4
"""By so much a probability may be beyond 0 or 1: it was rounded."""

_SAME_VERSION = "install the same version of photoramd on both machines"

_REMEDIES = {
    "protocol": _SAME_VERSION,
    "model": "set the same model.name in both configurations",
    "revision": f"set the same model.precision and model.device in both, and {_SAME_VERSION}",
    "columns": _SAME_VERSION,
}

_MOST_TEXT = 300

T = TypeVar("T", bound=msgspec.Struct)

# Made here: msgspec 0.22 crashes if two threads make it learn a type at once.
_problem = msgspec.msgpack.Decoder(Problem)
_model = msgspec.msgpack.Decoder(ModelAnswer)
_scores = msgspec.msgpack.Decoder(ScoresAnswer)


@dataclass(frozen=True, slots=True)
class Expected:
    """What answers must fit.

    Attributes:
        identity: The model.
        columns: How many scores a picture has.
    """

    identity: Identity
    columns: int

    @classmethod
    def of(cls, description: Description) -> Self:
        """Return what a worker with a model must answer."""
        return cls(protocol.identity_of(description), len(description.vocabulary.columns))

    def most_bytes(self, pictures: int) -> int:
        """Return how large an answer about so many pictures may be."""
        return pictures * (4 * self.columns + SIZE) + protocol.MOST_MESSAGE_BYTES


def read_model(body: bytes, expected: Expected) -> ModelAnswer:
    """Return what a worker says of itself, which is the expected model.

    Raises:
        WorkerError: It is another one, or cannot be read.
    """
    answer = _decoded(body, _model)
    _require_same(answer.identity, expected.identity)
    return msgspec.structs.replace(
        answer, version=text_of(answer.version), device=text_of(answer.device)
    )


def read_scores(
    body: bytes, expected: Expected, digests: Sequence[bytes]
) -> tuple[Scores, Vectors | None]:
    """Return the scores, and the features if there are some, of the pictures that were asked about.

    Raises:
        WorkerError: The answer is of another model or of other pictures, or is no scores.
    """
    answer = _decoded(body, _scores)
    _require_same(answer.identity, expected.identity)
    if answer.digests != list(digests):
        raise _wrong("its answer is about other pictures, or in another order")
    rows = len(digests)
    needed = 4 * rows * expected.columns
    if answer.scores.nbytes != needed:
        raise _wrong(f"its answer has {answer.scores.nbytes} bytes of scores instead of {needed}")
    scores = np.frombuffer(answer.scores, "<f4").reshape(rows, expected.columns)
    # Not a number is neither.
    if not bool(((scores >= -_TOLERANCE) & (scores <= 1 + _TOLERANCE)).all()):
        raise _wrong("its answer has scores that are no probabilities")
    if answer.features is None:
        return scores, None
    if answer.features.nbytes != rows * SIZE:
        raise _wrong(
            f"its answer has {answer.features.nbytes} bytes of features instead of {rows * SIZE}"
        )
    return scores, np.frombuffer(answer.features, np.int8).reshape(rows, SIZE)


def refusal(status: int, body: bytes, expected: Expected) -> WorkerError | FailedPicturesError:
    """Return the error that an answer with another status than 200 means."""
    try:
        problem = _problem.decode(body)
    except msgspec.MsgspecError:
        return _wrong(f"it answers with the status {status}, and no reason that can be read")
    said = text_of(problem.message)
    match problem.code:
        case "failed":
            return FailedPicturesError(said)
        case "lost":
            return LostPicturesError(Kind.NO_MODEL, said)
        case "unavailable":
            remedy = "it becomes available by itself, or see its log"
            return WorkerError(Kind.NO_MODEL, said, remedy)
        case "busy":
            return WorkerError(Kind.BUSY, said, "it has other work; add a worker if that goes on")
        case "unauthorized":
            return WorkerError(
                Kind.REFUSED,
                f"it refuses the token: {said}",
                "copy its worker.token_file to this machine's cluster.token_file",
            )
        case "other_model":
            if problem.identity is not None and problem.identity != expected.identity:
                return _other_model(problem.identity, expected.identity)
            return _wrong(f"it refuses its own model: {said}")
        case _:
            return _wrong(f"it refuses what it was sent ({problem.code}): {said}")


def text_of(given: str) -> str:
    """Return what a worker says, as text that any log can take, and not too long."""
    return printable(given[:_MOST_TEXT])


def _decoded(body: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise _wrong(f"its answer cannot be read: {text_of(str(error))}") from error


def _require_same(given: Identity, needed: Identity) -> None:
    if given != needed:
        raise _other_model(given, needed)


def _other_model(given: Identity, needed: Identity) -> WorkerError:
    """Return an error that names the first difference: the others follow from it."""
    names = Identity.__struct_fields__
    name = next(each for each in names if getattr(given, each) != getattr(needed, each))
    theirs, ours = text_of(str(getattr(given, name))), getattr(needed, name)
    what = "list of labels" if name == "columns" else name
    reason = f"the worker has the {what} {theirs}, and this configuration needs {ours}"
    return WorkerError(Kind.OTHER_MODEL, reason, _REMEDIES[name])


def _wrong(reason: str) -> WorkerError:
    return WorkerError(Kind.ANSWER, reason, f"is it photoramd worker run? {_SAME_VERSION}")
