"""Logging: one line for an event, on standard error or in systemd's journal."""

from __future__ import annotations

import logging
import os
import sys

pass

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


FIELDS = ("PHOTO", "TAGS", "ROOT", "DURATION")
"""What a log record may carry (``extra``) for the journal besides its message."""


def journal_handler() -> logging.Handler | None:
    """Return a handler for the journal with `FIELDS`; None if standard error leads elsewhere.

    How to know is in systemd.exec(5), JOURNAL_STREAM.
    """
    try:
        status = os.fstat(sys.stderr.fileno())
        if os.environ.get("JOURNAL_STREAM") != f"{status.st_dev}:{status.st_ino}":
            return None
        return _JournalHandler()
    except (OSError, ValueError, ImportError):
        return None


class _JournalHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        from systemd import journal

        self._send = journal.send
        self._priority = journal.JournalHandler.map_priority

    def emit(self, record: logging.LogRecord) -> None:
        try:
            given = {name: vars(record)[name] for name in FIELDS if name in vars(record)}
            self._send(
                # The journal takes only valid UTF-8 as text.
                self.format(record).encode("utf-8", "backslashreplace").decode(),
                PRIORITY=str(self._priority(record.levelno)),
                LOGGER=record.name,
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName,
                SYSLOG_IDENTIFIER="photoramd",
                **given,
            )
        except Exception:
            self.handleError(record)
