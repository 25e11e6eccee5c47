"""How a worker can fail, for those who choose another one then."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What is wrong with a worker; the log has a line for each kind, not for each wording."""

    UNREACHABLE = "unreachable"
    NO_MODEL = "no model"
    BUSY = "busy"
    TRUST = "trust"
    REFUSED = "refused"
    OTHER_MODEL = "other model"
    ANSWER = "answer"


class WorkerError(Exception):
    """A worker cannot be used now, whatever the pictures.

    Args:
        kind: What is wrong.
        reason: The same for people, without the worker's address.
        remedy: What the user can do about it.
    """

    def __init__(self, kind: Kind, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.remedy = remedy


class LostPicturesError(WorkerError):
    """The model's process was lost with the pictures, which may have been the cause."""


class FailedPicturesError(Exception):
    """The model refused the pictures; the worker is well."""
