"""Containers, where limits, users and mounts are set from outside."""

from __future__ import annotations

import os
from typing import Literal


def is_container() -> bool:
    """Return whether this process runs in a container.

    The image or its runtime says so by the variable ``container``; see
    https://systemd.io/CONTAINER_INTERFACE/. In a whole system in a container services do not have
    it, which is right: they have a systemd of their own.
    """
    return bool(os.environ.get("container"))  # noqa: SIM112  it is written so


def how_to(verb: Literal["start", "restart"], form: str = "{}") -> str:
    """Return the commands of which one starts or restarts the daemon, the likeliest first.

    In a container there is no systemd, and it is from outside that the daemon is started.

    Args:
        verb: What is to be done.
        form: How each command stands in the text.
    """
    compose = {"start": "up -d", "restart": "restart photoramd"}[verb]
    commands = [f"systemctl {verb} photoramd"]
    if is_container():
        commands = [f"docker {verb} photoramd", f"docker compose {compose}"]
    elif verb == "start":
        commands.append("photoramd run")
    return " or ".join(map(form.format, commands))
