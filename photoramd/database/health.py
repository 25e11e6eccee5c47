"""The health of a watched directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RootState(StrEnum):
    """The state of a watched directory; the values are stored."""

    ONLINE = "online"
    """Present and watched."""
    DEGRADED = "degraded"
    """Present, but some changes are found late, or some photos not at all."""
    OFFLINE = "offline"
    """Absent, unreadable, or another directory than before."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a root, the reason, and what the user can do about it."""

    state: RootState = RootState.ONLINE
    reason: str | None = None
    remedy: str | None = None


ONLINE = Health()
