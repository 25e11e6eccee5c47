"""Make a commented configuration file from the schema."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import msgspec

from photoramd.config.tables import format_value, tables


def sample(watches: Sequence[Path] = (), *, model: str | None = None) -> str:
    """Return a commented configuration file for these directories; without any, an example.

    Explanations begin with ``# ``, defaults that can be uncommented with ``#`` alone.

    Args:
        watches: The directories.
        model: The name of the model, if another than the default one is chosen.
    """
    first, *others = watches or [Path("/volume1/photos")]
    lines = [
        "# The configuration of photoramd.",
        "#",
        "# Only the directories must be given. The other lines show the defaults: remove the #",
        "# to change one. `photoramd config check` tells what is wrong with this file.",
    ]
    for table in tables():
        lines += ["", *_comment(table.description), table.header]
        if table.example:
            lines.append(f"# {table.example}")
        for key in table.keys:
            lines += ["", *_comment(key.description), *_comment(f"Allowed: {key.allowed}.")]
            if key.default is msgspec.NODEFAULT:
                lines.append(f"{key.name} = {format_value(first)}")
            elif model is not None and key.dotted == "model.name":
                lines.append(f"{key.name} = {format_value(model)}")
            else:
                lines.append(f"#{key.name} = {format_value(key.default)}")
        if table.name == "watch":
            for path in others:
                lines += ["", table.header, f"path = {format_value(path)}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, 90, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
