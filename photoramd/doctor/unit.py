"""The systemd unit that runs the daemon, as systemd sees it; asked through systemctl."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAME = "photoramd.service"

_RUNNING = Path("/run/systemd/system")
"""There where systemd is the init system; see sd_booted(3)."""

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "Result",
    "User",
    "SupplementaryGroups",
    "StatusText",
)
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Unit:
    """An installed unit.

    Attributes:
        state: Such as ``active``, ``failed`` or ``inactive``.
        is_enabled: Whether it starts with the machine.
        result: Why it failed, such as ``exit-code``; ``success`` if it did not.
        user: Whom it runs as; empty means root.
        groups: Further groups of that user while it runs.
        status: What the daemon says of itself.
    """

    state: str
    is_enabled: bool
    result: str
    user: str
    groups: tuple[str, ...]
    status: str


def is_booted() -> bool:
    """Return whether systemd runs this machine."""
    return _RUNNING.is_dir()


def show(name: str = NAME) -> Unit | None:
    """Return a unit; None where it is not installed, or where there is no systemd to ask."""
    if not is_booted():
        return None
    command = ["systemctl", "show", name, *(f"--property={each}" for each in _PROPERTIES)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=True,
            timeout=_TIMEOUT_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return parse(dict(line.split("=", 1) for line in lines if "=" in line))


def parse(properties: dict[str, str]) -> Unit | None:
    """Return a unit from the properties that systemctl shows; None if it is not installed."""
    if properties.get("LoadState") != "loaded":
        return None
    return Unit(
        state=properties.get("ActiveState", ""),
        is_enabled=properties.get("UnitFileState", "").startswith("enabled"),
        result=properties.get("Result", ""),
        user=properties.get("User", ""),
        groups=tuple(properties.get("SupplementaryGroups", "").split()),
        status=properties.get("StatusText", ""),
    )
