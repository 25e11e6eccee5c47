"""Limits of time that hold on slow machines, too, and beside other work."""

from __future__ import annotations

import os


def bound(seconds: float) -> float:
    """What takes so long on a quiet machine, at most, may take more while others compute.

    Programs that want more than the cores can do share them, so all take longer by that ratio. The
    load of the last minute follows what is going on too slowly to be a limit by itself.
    """
    load, _, _ = os.getloadavg()
    return seconds * (1 + load / len(os.sched_getaffinity(0)))
