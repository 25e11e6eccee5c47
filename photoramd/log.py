"""Logging: one line for an event, on standard error or in systemd's journal."""

from __future__ import annotations

import logging
import sys

from photoramd.systemd import journal_handler

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def configure(*, verbose: bool = False) -> None:
    """Send photoramd's log to standard error, or to the journal if that leads there.

    Args:
        verbose: Include details that help to find faults.
    """
    handler = journal_handler()
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("photoramd").setLevel(logging.DEBUG if verbose else logging.INFO)
