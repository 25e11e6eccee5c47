"""``photoramd worker check``: look at workers as a daemon does."""

from __future__ import annotations

import click


@click.command("check")
def command() -> None:
    """Look at workers as a daemon does."""
