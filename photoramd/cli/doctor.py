"""``photoramd doctor``: check everything that the daemon needs."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from photoramd import doctor
from photoramd.cli.output import Color, print_json, styled
from photoramd.doctor import Notice, systemd_unit
from photoramd.doctor.finding import ERROR, Finding, Grade
from photoramd.system import paths
from photoramd.system.users import user_name

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.doctor.systemd_unit import Unit

_COLORS = {Grade.OK: Color.GOOD, Grade.WARNING: Color.WARNING, Grade.ERROR: Color.BAD}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check everything that the daemon needs, while it runs or before.

    Run it as the daemon's user. Where the service is installed it checks that one, unless
    --config names another configuration; for root it turns into the user of the service, so
    that it sees what the service may do.

    Exits with 0 if there are no errors, though perhaps warnings; else with the code of the
    first error: 78 for the configuration, 3 for the model, 4 for anything else.
    """
    settings: Settings = context.obj
    unit = systemd_unit.show()
    findings = []
    for finding in _findings(settings, unit, _notice):
        findings.append(finding)
        _notice("")
        if not as_json:
            _echo(finding)
    code = next((each.exit_code for each in findings if each.grade == Grade.ERROR), 0)
    if as_json:
        print_json({"good": code == 0, "findings": [asdict(each) for each in findings]})
    else:
        grades = [finding.grade for finding in findings]
        click.echo(f"errors: {grades.count(Grade.ERROR)}, warnings: {grades.count(Grade.WARNING)}")
    context.exit(code)


def _findings(settings: Settings, unit: Unit | None, notice: Notice) -> Iterator[Finding]:
    path = settings.config_path
    # Another configuration does not belong to the service, and neither does its user.
    if path not in (None, paths.SYSTEM_CONFIG):
        unit = None
    if unit is not None:
        yield _become(unit)
        # Its user may have a configuration of their own, which the service does not read.
        path = paths.SYSTEM_CONFIG
    yield from doctor.examine(path, unit, notice)


def _become(unit: Unit) -> Finding:
    """Become the service's user, permanently, if we may."""
    user = unit.user or "root"
    own = user_name(os.geteuid())
    if own == user:
        return Finding("user", Grade.OK, f"checked as {user}, the service's user")
    if os.geteuid() != 0:
        return Finding(
            "user",
            Grade.WARNING,
            f"checked as {own}, but the service runs as {user}",
            "run it as root: sudo photoramd doctor",
        )
    try:
        entry = pwd.getpwnam(user)
        groups = [grp.getgrnam(name).gr_gid for name in unit.groups]
    except KeyError as error:
        return Finding(
            "user",
            Grade.ERROR,
            f"the service cannot have its user or group: {error.args[0]}",
            "make it (systemd-sysusers), or run contrib/install.sh again",
            ERROR,
        )
    os.setgroups(sorted({*os.getgrouplist(user, entry.pw_gid), *groups}))
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    # The places of configuration and models follow from the environment.
    os.environ["HOME"] = entry.pw_dir
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ.pop(name, None)
    return Finding("user", Grade.OK, f"checked as {user}, the service's user")


def _echo(finding: Finding) -> None:
    grade = styled(f"{finding.grade:<8}", _COLORS[finding.grade])
    click.echo(f"{grade} {finding.subject}: {finding.text}")
    if finding.remedy:
        click.echo(f"{'':<8} -> {finding.remedy}")


def _notice(text: str) -> None:
    """Show on a terminal what is being checked, in a line that the next one replaces."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        click.echo(f"\r{text[:width]}\x1b[K", nl=False, err=True)
