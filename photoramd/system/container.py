"""Containers, where limits, users and mounts are set from outside."""

from __future__ import annotations

import os


def is_container() -> bool:
    """Return whether this process runs in a container.

    The image or its runtime says so by the variable ``container``; see
    https://systemd.io/CONTAINER_INTERFACE/. In a whole system in a container services do not have
    it, which is right: they have a systemd of their own.
    """
    return bool(os.environ.get("container"))  # noqa: SIM112  it is written so
