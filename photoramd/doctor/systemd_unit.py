"""Check the systemd unit that runs the daemon, as systemctl shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from photoramd.doctor.finding import ERROR, Finding, Grade
from photoramd.errors import PIP
from photoramd.system import child
from photoramd.system.container import is_container

NAME = "photoramd.service"

_RUNNING = Path("/run/systemd/system")
"""Exists where systemd is the init system; see sd_booted(3)."""

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "Result",
    "User",
    "SupplementaryGroups",
    "StatusText",
    "PrivateNetwork",
    "RestrictAddressFamilies",
    "ProtectHome",
    "NoNewPrivileges",
)
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Unit:
    """An installed unit.

    Attributes:
        state: Such as ``active``, ``failed`` or ``inactive``.
        is_enabled: Whether it starts with the machine.
        result: Why it failed, such as ``exit-code``; ``success`` if it did not.
        user: The user it runs as; empty means root.
        groups: That user's supplementary groups in the service.
        status: The daemon's own status text.
        has_network: Whether it may open connections to other machines.
        hides_homes: Whether it does not see home directories.
        keeps_rights: Whether programs that it starts can get no further rights, as by setuid.
    """

    state: str
    is_enabled: bool
    result: str
    user: str
    groups: tuple[str, ...]
    status: str
    has_network: bool
    hides_homes: bool
    keeps_rights: bool


def is_booted() -> bool:
    """Return whether systemd runs this machine."""
    return _RUNNING.is_dir()


def show(name: str = NAME) -> Unit | None:
    """Return a unit; None where it is not installed, or where there is no systemd to ask."""
    if not is_booted():
        return None
    command = ["systemctl", "show", name, *(f"--property={each}" for each in _PROPERTIES)]
    try:
        done = child.run(command, _TIMEOUT_SECONDS, environment={"LC_ALL": "C"})
    except OSError:  # it is missing, or took too long
        return None
    if done.returncode:
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
        has_network=properties.get("PrivateNetwork") != "yes"
        and _allows_internet(properties.get("RestrictAddressFamilies", "~")),
        hides_homes=properties.get("ProtectHome") in ("yes", "tmpfs"),
        keeps_rights=properties.get("NoNewPrivileges") == "yes",
    )


def _allows_internet(families: str) -> bool:
    """Return whether IPv4 or IPv6 is among address families; after ~ are those that are not."""
    named = families.removeprefix("~").split()
    internet = [each in named for each in ("AF_INET", "AF_INET6")]
    return not all(internet) if families.startswith("~") else any(internet)


def examine_service(unit: Unit | None, *, has_systemd_python: bool) -> Iterator[Finding]:
    """Check that the service runs and starts with the machine."""
    if unit is None:
        text = "not installed as a systemd service; photoramd run starts it"
        if is_container():
            text = "in a container, which starts it"
        yield Finding("service", Grade.OK, text)
        return
    if not has_systemd_python:
        yield Finding(
            "service",
            Grade.ERROR,
            "systemd-python is missing, without which systemd cannot tell that it runs",
            f"{PIP} systemd-python",
            ERROR,
        )
    if unit.state == "failed":
        yield Finding(
            "service",
            Grade.ERROR,
            f"has failed ({unit.result})",
            "journalctl -u photoramd says why; then systemctl restart photoramd",
            ERROR,
        )
    elif unit.state == "activating":
        text = "is starting, or is about to be started again"
        yield Finding("service", Grade.WARNING, text, "systemctl status photoramd tells more")
    elif unit.state not in ("active", "reloading"):
        yield Finding("service", Grade.WARNING, f"is {unit.state}", "systemctl start photoramd")
    elif not unit.is_enabled:
        text = "runs, but does not start with the machine"
        yield Finding("service", Grade.WARNING, text, "systemctl enable photoramd")
    else:
        details = f": {unit.status}" if unit.status else ""
        yield Finding("service", Grade.OK, f"runs as {unit.user or 'root'}{details}")
