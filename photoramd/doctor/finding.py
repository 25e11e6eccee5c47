"""What one check found."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from typing import Literal

from photoramd.errors import PhotoramdError

Grade = Literal["ok", "warning", "error"]

ERROR = PhotoramdError.exit_code
"""What an error ends the command with that is neither the configuration's nor the model's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        subject: What was looked at, in a word or by its path.
        grade: Whether it is well.
        text: What was found.
        remedy: What the user can do about it.
        exit_code: What an error ends the command with.
    """

    subject: str
    grade: Grade
    text: str
    remedy: str | None = None
    exit_code: int = 0


def failure(subject: str, error: PhotoramdError) -> Finding:
    """Return an error of ours as a finding."""
    return Finding(subject, "error", str(error), error.remedy, error.exit_code)


def user_name(uid: int) -> str:
    """Return a user's name, or the number of one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
