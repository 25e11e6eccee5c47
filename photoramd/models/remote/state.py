"""What is known of a worker, for people. Imports nothing heavy: `photoramd status` shows it."""

from __future__ import annotations

from dataclasses import dataclass

from photoramd.clock import UnixTime


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as a daemon last met it.

    Attributes:
        url: Its address in the configuration.
        is_available: Whether the model can run there.
        reason: Why not; empty if it can.
        remedy: What the user can do about it; perhaps empty.
        since: Since when.
    """

    url: str
    is_available: bool
    reason: str
    remedy: str
    since: UnixTime
