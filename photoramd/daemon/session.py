"""Run the daemon from start to end: one loop after another, each with its configuration.

SIGHUP reloads the configuration. Problems are found while the present loop still exists, which
then goes on; only a configuration that was read and loaded replaces it. The rows of the database
are the queue, so nothing is lost between two loops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from photoramd.config import loader
from photoramd.config.schema import Config
from photoramd.daemon.assembly import build, lasting_tagger, opened, set_up
from photoramd.daemon.sd_notify import Notifier
from photoramd.daemon.setup import Resources, Setup
from photoramd.daemon.status_line import StatusLine
from photoramd.errors import ConfigError, PhotoramdError, printable
from photoramd.models.tagger import Tagger
from photoramd.pipeline.pipeline import Outcome
from photoramd.system.container import how_to
from photoramd.system.signals import Interrupts

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
            on_outcomes: Called with the outcomes of photos and their configuration.
            interrupts: Ends the session or asks for a reload.
            notifier: Tells systemd how it is.
        """
        self._load = load
        self._on_outcomes = on_outcomes
        self._interrupts = interrupts
        self._notifier = notifier
        self._status_line = StatusLine()

    def run(self, first: Config) -> None:
        """Watch and tag until stopped.

        Raises:
            PhotoramdError: It cannot start with the first configuration, or cannot go on.
        """
        self._notifier.describe(lambda: "Opening the database and loading the model")
        with ExitStack() as stack:
            with self._loading():
                resources = stack.enter_context(opened(first))
                setup: Setup | None = self._set_up(resources, first)
            is_first = True
            while setup is not None and not self._interrupts.stopped:
                # In two steps, or the old model would stay for as long as the next loop runs.
                before = setup
                setup = self._watch(resources, before, rescan=not is_first)
                if setup is not None and setup.tagger is not before.tagger:
                    before.close_model()
                is_first = False
            self._notifier.stopping()
        log.info("Stopped")

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Wrap what may take minutes, so that a stop does not wait for it."""
        self._interrupts.is_loading = True
        try:
            with self._notifier.busy():
                yield
        except SystemExit:
            self._notifier.stopping()
            raise
        finally:
            self._interrupts.is_loading = False

    def _set_up(self, resources: Resources, chosen: Config, before: Setup | None = None) -> Setup:
        def load(config: Config) -> Tagger:
            return lasting_tagger(config, resources, self._interrupts, self._notifier)

        return set_up(resources, chosen, before, load=load)

    def _watch(self, resources: Resources, setup: Setup, *, rescan: bool) -> Setup | None:
        """Run one loop; return the setup of the next one, or None."""
        found: list[Setup] = []

        def reload() -> bool:
            other = self._reload(resources, setup)
            found.extend([other] if other else [])
            return other is not None

        with ExitStack() as stack:
            with self._notifier.busy():
                loop = build(resources, setup, self._interrupts, self._notifier, self._status_line)
                daemon = stack.enter_context(loop)
            if rescan:
                # The change may have repaired what was put off.
                daemon.rescan()
            daemon.watch(lambda outcomes: self._on_outcomes(outcomes, setup.config), reload)
        return found[0] if found else None

    def _reload(self, resources: Resources, setup: Setup) -> Setup | None:
        """Reload the configuration; return None if it is the same or cannot be used."""
        log.info("Asked to read the configuration again")
        try:
            with self._loading():
                changed = self._load()
                _require_same_database(changed, setup.config)
                other = self._set_up(resources, changed, setup)
        except PhotoramdError as error:
            self._refuse(str(error), error.remedy)
            return None
        except Exception as error:
            # A bug must not cost the configuration that works.
            log.exception("Unexpected error while the configuration was read")
            self._refuse(f"unexpected error: {error!r}")
            return None
        self._status_line.complaint = ""
        is_model_same = other.tagger is setup.tagger
        if is_model_same and (other.config, other.rules) == (setup.config, setup.rules):
            log.info("The configuration is the same")
            return None
        for warning in loader.warnings(changed):
            log.warning("%s", warning)
        log.info("The configuration has changed")
        return other

    def _refuse(self, reason: str, remedy: str | None = None) -> None:
        log.error(
            "The changed configuration is refused, the old one stays: %s%s",
            reason,
            f"; {remedy}" if remedy else "",
        )
        self._status_line.complaint = f"the changed configuration is refused: {reason}"


def _require_same_database(changed: Config, present: Config) -> None:
    if changed.state.path != present.state.path:
        raise ConfigError(
            f"state.path is now {printable(changed.state.path)}, which cannot change while"
            " photoramd runs",
            remedy=f"restart it ({how_to('restart')})",
        )
