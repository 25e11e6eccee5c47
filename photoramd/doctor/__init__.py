"""Find what would keep photos from being tagged, before it does.

Shows `examine`, which yields a `finding.Finding` for each check: a line for people with a remedy.
The checks see the machine as this user does, so they mean most when run as the daemon's user.

Must not know how to repair anything, and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from photoramd import __version__
from photoramd.config import loader
from photoramd.config.schema import Config, Model
from photoramd.database.health import RootState
from photoramd.database.lock import holder
from photoramd.doctor import packages
from photoramd.doctor.directories import Checkup, limits
from photoramd.doctor.finding import ERROR, Finding, Grade, failure, user_name
from photoramd.doctor.unit import Unit
from photoramd.doctor.weights import examine_weights
from photoramd.errors import PIP, ConfigError, ModelError, PhotoramdError, printable
from photoramd.images.formats import RAW_REMEDY, reads_raw
from photoramd.metadata.exiftool import ExifTool
from photoramd.models.weights.catalog import known_model
from photoramd.search import queries
from photoramd.search.queries import RootStatus
from photoramd.system import paths

SCARCE_BYTES, FULL_BYTES = 1 << 30, 64 << 20
"""Less free space than this is worth a warning, and an error."""

_REINSTALL = "install photoramd into its environment anew, with -c constraints.txt"

Notice = Callable[[str], object]
"""Called with a few words when something begins that may take more than a second."""


def examine(path: Path | None, unit: Unit | None, notice: Notice) -> Iterator[Finding]:
    """Check everything; each finding comes as soon as it is made.

    Args:
        path: The configuration file; None looks in the usual places.
        unit: The daemon's systemd unit, if there is one.
        notice: Told of what takes long.
    """
    yield from _versions()
    try:
        report = loader.examine(path)
    except ConfigError as error:
        yield failure("configuration", error)
    else:
        name = printable(report.path or "")
        for problem in report.problems:
            yield Finding(
                "configuration",
                Grade.ERROR,
                f"{name}: {problem}",
                "correct the file; photoramd config check looks at it again",
                ConfigError.exit_code,
            )
        if report.config is not None:
            yield Finding("configuration", Grade.OK, f"{name} is valid")
            yield from _configured(report.config, notice)
    yield from service(unit, has_systemd_python=find_spec("systemd") is not None)


def _configured(settings: Config, notice: Notice) -> Iterator[Finding]:
    yield from _model(settings.model, notice)
    yield _exiftool([watch.path for watch in settings.watch if watch.write == "embed"])
    roots = _roots(settings.state.path)
    yield _raw(roots)
    daemon = holder(settings.state.path)
    watches = 0
    for watch in settings.watch:
        root = Checkup(watch, daemon)
        notice(f"looking through {printable(watch.path)}")
        yield from root.findings()
        watches += root.watches
    yield from limits(watches)
    yield from _database(settings.state.path, daemon)
    if daemon is not None:
        yield from _health(roots)
    written = [watch.path for watch in settings.watch if watch.write != "none"]
    yield from _space([_existing(settings.state.path.parent), *written])


# Programs and packages


def _versions() -> Iterator[Finding]:
    try:
        python = packages.python()
        installed = list(packages.packages())
    except PackageNotFoundError:
        yield Finding(
            "packages",
            Grade.WARNING,
            f"photoramd {__version__} is not installed; versions cannot be compared",
            f"{PIP} -c constraints.txt .",
        )
        return
    grade: Grade = Grade.OK if python.is_good else Grade.ERROR
    yield Finding(
        "python",
        grade,
        f"{python.installed}; {python.wanted} is needed",
        None if python.is_good else "make the environment with another Python",
        0 if python.is_good else ERROR,
    )
    for package in installed:
        if not package.is_good:
            found = package.installed or "missing"
            yield Finding(
                "packages",
                Grade.ERROR,
                f"{package.name} is {found}; {package.wanted_by} needs {package.wanted or 'it'}",
                _REINSTALL,
                ERROR,
            )
    if all(package.is_good for package in installed):
        named = {package.name: package.installed for package in installed}
        shown = ", ".join(f"{name} {named[name]}" for name in ("torch", "torchvision"))
        yield Finding(
            "packages", Grade.OK, f"photoramd {__version__}, {shown}, {len(named)} in all"
        )


def _model(chosen: Model, notice: Notice) -> Iterator[Finding]:
    try:
        model = known_model(chosen.name)
        model.require(device=chosen.device, precision=chosen.precision)
    except ModelError as error:
        yield failure("model", error)
    else:
        yield from examine_weights(model, chosen.precision, notice)


def _exiftool(embedding: list[Path]) -> Finding:
    with ExifTool() as tool:
        try:
            return Finding("exiftool", Grade.OK, tool.version())
        except PhotoramdError as error:
            if embedding:
                return failure("exiftool", error)
            return Finding(
                "exiftool", Grade.OK, f'{error}; not needed, as no directory has write = "embed"'
            )


def _raw(roots: list[RootStatus]) -> Finding:
    if reads_raw():
        return Finding(
            "raw", Grade.OK, f"camera RAW files are tagged, with rawpy {version('rawpy')}"
        )
    if left_out := sum(root.raw_left_out for root in roots):
        text = f"{left_out} camera RAW files are not tagged"
        return Finding("raw", Grade.WARNING, text, RAW_REMEDY)
    return Finding("raw", Grade.OK, 'the extra "raw" is missing, but no camera RAW file is known')


# What photoramd remembers


def _roots(database: Path) -> list[RootStatus]:
    """Return the watched directories as a daemon last saw them; none if that is not known."""
    try:
        with closing(queries.open_readonly(database)) as connection:
            return queries.roots(connection)
    except PhotoramdError:
        return []  # if there is one, `_database` says why


def _database(path: Path, daemon: int | None) -> Iterator[Finding]:
    where = f"{printable(path)} on {paths.filesystem_type(path.parent) or 'unknown type'}"
    held = "" if daemon is None else f", held by process {daemon}"
    if paths.kind_of(path) == "missing":
        above = _existing(path.parent)
        if os.access(above, os.W_OK | os.X_OK):
            yield Finding("database", Grade.OK, f"{where} is made at the first start")
        else:
            yield Finding(
                "database",
                Grade.ERROR,
                f"{where} cannot be made by user {user_name(os.geteuid())}",
                f"let that user write to {printable(above)}, or set [state] path",
                ERROR,
            )
        return
    try:
        with closing(queries.open_readonly(path)) as connection:
            known = sum(queries.counts(connection).values())
    except PhotoramdError as error:
        yield failure("database", error)
        return
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK):
        yield Finding("database", Grade.OK, f"{where}{held}, {known} photos")
    else:
        yield Finding(
            "database",
            Grade.ERROR,
            f"{where} cannot be written by user {user_name(os.geteuid())}",
            "run this as the daemon's user, or give it to that user (chown)",
            ERROR,
        )


def _health(roots: list[RootStatus]) -> Iterator[Finding]:
    """Yield what the running daemon has to say of its directories."""
    for root in roots:
        if root.health != RootState.ONLINE:
            yield Finding(
                printable(root.path),
                Grade.WARNING,
                f"the daemon finds it {root.health}: {root.reason or 'no reason given'}",
                root.remedy,
            )


def _existing(path: Path) -> Path:
    """Return a path, or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if paths.kind_of(each) != "missing")


def _space(paths: list[Path]) -> Iterator[Finding]:
    seen: set[int] = set()
    for path in paths:
        try:
            device = path.stat().st_dev
            status = os.statvfs(path)
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        free = status.f_bavail * status.f_frsize
        text = f"{free / 1e9:.1f} GB free for {printable(path)}"
        remedy = "make room: results wait in the database while a disk is full"
        if free < FULL_BYTES:
            yield Finding("space", Grade.ERROR, text, remedy, ERROR)
        elif free < SCARCE_BYTES:
            yield Finding("space", Grade.WARNING, text, remedy)
        else:
            yield Finding("space", Grade.OK, text)
        # Some file systems (btrfs) have no fixed number, and say 0 of 0.
        if status.f_files and not status.f_favail:
            text = f"no further file can be made on the disk of {printable(path)}: no inode is free"
            yield Finding(
                "space", Grade.ERROR, text, "delete files there; df -i counts them", ERROR
            )


# The service


def service(unit: Unit | None, *, has_systemd_python: bool) -> Iterator[Finding]:
    """Yield how the service is."""
    if unit is None:
        yield Finding(
            "service", Grade.OK, "not installed as a systemd service; photoramd run starts it"
        )
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
