"""``photoramd run``: the daemon."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from photoramd import config, log
from photoramd.errors import printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.pipeline import Outcome

logger = logging.getLogger(__name__)


@click.command("run")
@click.pass_obj
def command(settings: Settings) -> None:
    """Watch the configured directories and tag new photos, until stopped.

    SIGTERM and SIGINT (Ctrl-C) finish the present batch and end with 0.
    """
    log.configure(verbose=settings.verbose)
    configuration = config.load(settings.config_path, need_watch=True)
    for warning in config.warnings(configuration):
        logger.warning("%s", warning)
    # While the model loads nothing is under way that a stop could tear.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # torch takes seconds to import, and a wrong configuration should not wait for it.
    from photoramd.assembly import assemble

    with assemble(configuration, may_unload=True) as daemon:
        daemon.watch(report)


def report(outcomes: Sequence[Outcome]) -> None:
    """Log what became of photos."""
    for outcome in outcomes:
        tags = ", ".join(f"{tag.name} {tag.confidence:.2f}" for tag in outcome.tags) or "no tags"
        path = printable(outcome.path)
        if outcome.state == "written":
            logger.info("%s: %s", path, tags)
        elif outcome.state == "tagged":
            logger.warning("%s: %s; not written: %s", path, tags, outcome.error)
        elif outcome.state == "failed":
            logger.warning("%s: %s", path, outcome.error.message if outcome.error else "failed")
        else:
            reason = outcome.error.message if outcome.error else "still changing"
            logger.debug("%s: %s", path, reason)
