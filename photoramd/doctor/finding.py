"""The findings of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from photoramd.errors import PhotoramdError


class Grade(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


ERROR = PhotoramdError.exit_code
"""The exit code for errors of neither the configuration nor the model."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one check.

    Attributes:
        subject: What was checked, in a word or by its path.
        grade: How serious it is.
        text: What was found.
        remedy: What the user can do about it.
        exit_code: The exit code of the command for an error.
    """

    subject: str
    grade: Grade
    text: str
    remedy: str | None = None
    exit_code: int = 0


def failure(subject: str, error: PhotoramdError) -> Finding:
    """Return an error of ours as a finding."""
    return Finding(subject, Grade.ERROR, str(error), error.remedy, error.exit_code)
