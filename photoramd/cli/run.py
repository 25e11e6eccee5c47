"""``photoramd run``: run the daemon."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from photoramd.config import loader
from photoramd.daemon import sd_notify
from photoramd.errors import printable
from photoramd.system import log
from photoramd.system.signals import Interrupts

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.schema import Config
    from photoramd.pipeline.pipeline import Outcome

logger = logging.getLogger(__name__)


@click.command("run")
@click.pass_obj
def command(settings: Settings) -> None:
    """Watch the configured directories and tag new photos, until stopped.

    SIGTERM and SIGINT (Ctrl-C) finish the present photo and end with 0. SIGHUP reads the
    configuration again and looks at everything; a configuration that is wrong is refused,
    and the old one stays.
    """
    log.configure(verbose=settings.verbose)

    def load() -> Config:
        return loader.load(settings.config_path, need_watch=True)

    with (
        sd_notify.connect() as notifier,
        Interrupts() as interrupts,
        interrupts.on_signals(reloads=True, is_last=True),
    ):
        interrupts.is_loading = True
        configuration = load()
        for warning in loader.warnings(configuration):
            logger.warning("%s", warning)
        # torch takes seconds to import, and an error in the configuration should not wait for it.
        with notifier.busy():
            from photoramd.daemon.session import Session

        Session(load, report, interrupts, notifier).run(configuration)


def report(outcomes: Sequence[Outcome], configuration: Config) -> None:
    """Log the outcomes of photos."""
    for outcome in outcomes:
        tags = ", ".join(f"{tag.name} {tag.confidence:.2f}" for tag in outcome.tags) or "no tags"
        path = printable(outcome.path)
        fields = {
            "PHOTO": os.fsencode(outcome.path),
            "TAGS": ", ".join(tag.name for tag in outcome.tags),
            "ROOT": os.fsencode(root_of(outcome, configuration)),
            "DURATION": f"{outcome.seconds:.3f}",
        }
        if outcome.is_undone and outcome.state == "written":
            logger.info("%s: tags taken back", path, extra=fields)
        elif outcome.state == "written":
            logger.info("%s: %s", path, tags, extra=fields)
        elif outcome.state == "tagged":
            logger.warning("%s: %s; not written: %s", path, tags, outcome.error, extra=fields)
        elif outcome.state == "failed":
            reason = outcome.error.message if outcome.error else "failed"
            logger.warning("%s: %s", path, reason, extra=fields)
        else:
            reason = outcome.error.message if outcome.error else "still changing"
            logger.debug("%s: %s", path, reason, extra=fields)


def root_of(outcome: Outcome, configuration: Config) -> str:
    """Return the watched directory that a photo belongs to."""
    roots = [watch.path for watch in configuration.watch]
    return os.fspath(next((root for root in roots if root in outcome.path.parents), ""))
