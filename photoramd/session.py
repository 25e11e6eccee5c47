"""The daemon from start to end: one loop after the other, each with its configuration.

SIGHUP reads the configuration anew. What can be wrong in it is found out while the present
loop still stands, which then goes on; only a configuration that is read and loaded takes its
place. The rows of the database are the queue, so nothing gets lost between two loops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from photoramd import config
from photoramd.assembly import (
    Plan,
    Resources,
    build,
    load_tagger,
    opened,
    prepare,
    unloading_tagger,
)
from photoramd.bulletin import Bulletin
from photoramd.config import Config
from photoramd.errors import ConfigError, PhotoramdError, printable
from photoramd.interrupts import Interrupts
from photoramd.pipeline import Outcome
from photoramd.systemd import Notifier
from photoramd.taggers import Tagger

log = logging.getLogger(__name__)


class Session:
    """Runs loops until it is stopped."""

    def __init__(
        self,
        load: Callable[[], Config],
        on_outcomes: Callable[[Sequence[Outcome], Config], None],
        interrupts: Interrupts,
        notifier: Notifier,
    ) -> None:
        """Make a session.

        Args:
            load: Reads and checks the configuration.
            on_outcomes: Told what became of photos, and under which configuration.
            interrupts: What ends it or has the configuration read anew.
            notifier: Who is told how it is.
        """
        self._load = load
        self._on_outcomes = on_outcomes
        self._interrupts = interrupts
        self._notifier = notifier
        self._bulletin = Bulletin()

    def run(self, first: Config) -> None:
        """Watch and tag until stopped.

        Raises:
            PhotoramdError: It cannot start with the first configuration, or cannot go on.
        """
        self._interrupts.is_loading = True
        self._notifier.describe(lambda: "Opening the database and loading the model")
        with ExitStack() as stack:
            with self._notifier.busy():
                opening = opened(first, self._interrupts, self._notifier)
                resources = stack.enter_context(opening)
                plan = prepare(resources, first, self._load_tagger)
            self._interrupts.is_loading = False
            self._watch_on(resources, plan)
            self._notifier.stopping()
        log.info("Stopped")

    def _watch_on(self, resources: Resources, plan: Plan) -> None:
        """Run loops, and end their models."""
        is_first = True
        try:
            while not self._interrupts.stopped:
                other = self._watch(resources, plan, rescan=not is_first)
                if other is None:
                    break
                if other.tagger is not plan.tagger:
                    plan.close()
                plan = other
                is_first = False
        finally:
            plan.close()

    def _watch(self, resources: Resources, plan: Plan, *, rescan: bool) -> Plan | None:
        """Run one loop; returns what the next one is for, or None."""
        found: list[Plan] = []

        def reload() -> bool:
            other = self._reload(resources, plan)
            found.extend([other] if other else [])
            return other is not None

        with ExitStack() as stack:
            with self._notifier.busy():
                daemon = stack.enter_context(build(resources, plan, self._bulletin))
            if rescan:
                # Who changed the configuration may have mended what was put off.
                daemon.rescan()
            daemon.watch(lambda outcomes: self._on_outcomes(outcomes, plan.config), reload)
        return found[0] if found else None

    def _reload(self, resources: Resources, plan: Plan) -> Plan | None:
        """Read the configuration anew; None if it is the same or cannot be used."""
        log.info("Asked to read the configuration again")
        try:
            with self._notifier.busy():
                changed = self._load()
                _require_same_database(changed, plan.config)
                other = prepare(resources, changed, self._load_tagger, plan)
        except PhotoramdError as error:
            self._refuse(str(error), error.remedy)
            return None
        except Exception as error:
            # A bug; the configuration that works must not be lost by it.
            log.exception("Unexpected error while the configuration was read")
            self._refuse(f"unexpected error: {error!r}")
            return None
        self._bulletin.complaint = ""
        if (other.config, other.rules) == (plan.config, plan.rules):
            log.info("The configuration is the same")
            return None
        for warning in config.warnings(changed):
            log.warning("%s", warning)
        log.info("The configuration has changed")
        return other

    def _load_tagger(self, changed: Config) -> Tagger:
        if changed.model.idle_unload_minutes == 0:
            return load_tagger(changed)
        return unloading_tagger(changed, lambda: self._interrupts.stopped, self._notifier.beat)

    def _refuse(self, reason: str, remedy: str | None = None) -> None:
        log.error(
            "The changed configuration is refused, the old one stays: %s%s",
            reason,
            f"; {remedy}" if remedy else "",
        )
        self._bulletin.complaint = f"the changed configuration is refused: {reason}"


def _require_same_database(changed: Config, present: Config) -> None:
    if changed.state.path != present.state.path:
        raise ConfigError(
            f"state.path is now {printable(changed.state.path)}, which cannot change while"
            " photoramd runs",
            remedy="restart it (systemctl restart photoramd)",
        )
