"""Find what would keep photos from being tagged, before it does.

Shows `examine`, which yields a `finding.Finding` for each check: a line for people with a remedy.
The checks see the machine as this user does, so they mean most when run as the daemon's user.

Must not know how to repair anything, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from photoramd.config import loader
from photoramd.config.schema import Config
from photoramd.database.lock import holder
from photoramd.doctor.cluster import examine_cluster
from photoramd.doctor.directories import Checkup, limits
from photoramd.doctor.embedding import examine_embedding
from photoramd.doctor.finding import Finding, Grade, failure
from photoramd.doctor.hooks import examine_hooks
from photoramd.doctor.packages import examine_packages
from photoramd.doctor.programs import examine_exiftool, examine_raw, examine_workers
from photoramd.doctor.state import (
    examine_database,
    examine_health,
    examine_space,
    known_roots,
    nearest_existing,
)
from photoramd.doctor.systemd_unit import Unit, examine_service
from photoramd.doctor.weights import examine_model
from photoramd.errors import ConfigError, printable
from photoramd.metadata.exiftool import ExifTool

Notice = Callable[[str], object]
"""Called with a few words when something begins that may take more than a second."""


def examine(path: Path | None, unit: Unit | None, notice: Notice) -> Iterator[Finding]:
    """Check everything; each finding comes as soon as it is made.

    Args:
        path: The configuration file; None looks in the usual places.
        unit: The daemon's systemd unit, if there is one.
        notice: Called before a check that may take long.
    """
    yield from examine_packages()
    yield examine_workers()
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
            yield from _configured(report.config, unit, notice)
            yield from examine_hooks(report.config.hooks, report.path, unit)
    yield from examine_service(unit, has_systemd_python=find_spec("systemd") is not None)


def _configured(settings: Config, unit: Unit | None, notice: Notice) -> Iterator[Finding]:
    if settings.cluster.workers:
        yield from examine_cluster(settings, unit, notice)
    if not settings.cluster.workers or settings.cluster.fallback == "local":
        yield from examine_model(settings.model, notice)
    yield examine_exiftool([watch.path for watch in settings.watch if watch.write == "embed"])
    roots = known_roots(settings.state.path)
    yield examine_raw(roots)
    daemon = holder(settings.state.path)
    watches = 0
    for watch in settings.watch:
        root = Checkup(watch, daemon)
        notice(f"looking through {printable(watch.path)}")
        yield from root.findings()
        watches += root.watches
        if watch.write == "embed" and watch.path.is_dir():
            notice(f"trying to embed a keyword in {printable(watch.path)}")
            with ExifTool() as exiftool:
                yield examine_embedding(watch, exiftool)
    yield from limits(watches)
    yield from examine_database(settings.state.path, daemon)
    if daemon is not None:
        yield from examine_health(roots)
    written = [watch.path for watch in settings.watch if watch.write != "none"]
    yield from examine_space([nearest_existing(settings.state.path.parent), *written])
