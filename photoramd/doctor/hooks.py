"""Check whether the configured hook can be started or reached."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from photoramd.config.hooks import Hooks, missing_program
from photoramd.doctor.finding import ERROR, Finding, Grade
from photoramd.doctor.systemd_unit import Unit
from photoramd.errors import printable

_CONNECT_SECONDS = 5.0
_HOMES = ("/home/", "/root/", "/run/user/")
_DROP_IN = "docs/hooks.md shows the drop-in that allows it (systemctl edit photoramd)"


def examine_hooks(hooks: Hooks, path: Path | None, unit: Unit | None) -> Iterator[Finding]:
    """Check the hook, and who may change it.

    Args:
        hooks: What is configured.
        path: The configuration file, if there is one.
        unit: The daemon's systemd unit, if there is one.
    """
    tagged = hooks.tagged
    if not tagged:
        yield Finding("hooks", Grade.OK, "none is configured")
        return
    if isinstance(tagged, str):
        yield _examine_address(tagged, unit)
    else:
        yield _examine_program(hooks, tagged[0], unit)
    if path is not None and path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Finding(
            "hooks",
            Grade.WARNING,
            f"others may write {printable(path)}, and so have this user run anything",
            f"chmod go-w {printable(path)}",
        )


def _examine_address(address: str, unit: Unit | None) -> Finding:
    """Check whether somebody listens; nothing is sent."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if unit is not None and not unit.has_network:
        text = f"the service has no network, so {host} cannot be told"
        return Finding("hooks", Grade.ERROR, text, _DROP_IN, ERROR)
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # some names cannot even be asked for
        reason = getattr(error, "strerror", None) or error
        text = f"{host} does not answer at port {port} now ({reason})"
        return Finding("hooks", Grade.WARNING, text, "start it, or correct hooks.tagged")
    return Finding("hooks", Grade.OK, f"{host} answers at port {port}")


def _examine_program(hooks: Hooks, program: str, unit: Unit | None) -> Finding:
    if missing := missing_program(hooks):
        remedy = "install it, make it executable (chmod +x), or correct hooks.tagged"
        return Finding("hooks", Grade.ERROR, missing, remedy, ERROR)
    place = os.path.realpath(shutil.which(program) or program)
    if unit is not None and unit.hides_homes and place.startswith(_HOMES):
        return Finding(
            "hooks",
            Grade.ERROR,
            f"the service does not see {printable(place)}, as home directories are hidden from it",
            "put it elsewhere, such as into /usr/local/bin",
            ERROR,
        )
    gains = os.stat(place).st_mode & (stat.S_ISUID | stat.S_ISGID)
    if unit is not None and unit.keeps_rights and gains:
        text = f"{printable(place)} wants more rights (setuid), which the service cannot get"
        return Finding("hooks", Grade.ERROR, text, _DROP_IN, ERROR)
    return Finding("hooks", Grade.OK, f"{printable(place)} can be started")
