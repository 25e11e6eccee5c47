#!/usr/bin/env python3
"""Write the parts of docs/ that are made from the code.

docs/commands.md is made from the commands, all of it; in docs/configuration.md the introduction
and the table of each section are made from the schema, in docs/queries.md the table of fields, in
docs/monitoring.md that of metrics; the tables of docs/database.md and parts of
contrib/datasette/metadata.yaml from the description of the database; docs/schemas/v1 from the types
of what commands print. `make docs` runs this, and tests compare.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, os.fspath(ROOT))

from contrib import reference_database, reference_schemas  # noqa: E402
from photoramd.cli import cli  # noqa: E402
from photoramd.config.tables import Key, Table, format_value, tables  # noqa: E402
from photoramd.search.fields import FIELDS  # noqa: E402
from photoramd.search.metrics import METRICS  # noqa: E402

COMMANDS = ROOT / "docs" / "commands.md"
MONITORING = ROOT / "docs" / "monitoring.md"
QUERIES = ROOT / "docs" / "queries.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
DATABASE = ROOT / "docs" / "database.md"
METADATA = ROOT / "contrib" / "datasette" / "metadata.yaml"

HEAD = """\
# Commands

<!-- Made by `make docs` from the commands themselves: change them, not this. -->
"""


def main() -> None:
    """Write all of them."""
    COMMANDS.write_text(commands(), encoding="utf-8")
    for path, made in (
        (CONFIGURATION, configuration),
        (QUERIES, queries),
        (MONITORING, monitoring),
        (DATABASE, reference_database.document),
        (METADATA, reference_database.metadata),
    ):
        path.write_text(made(path.read_text(encoding="utf-8")), encoding="utf-8")
    reference_schemas.write()


def commands() -> str:
    """The text of docs/commands.md."""
    return HEAD + "\n" + "\n".join(_command(click.Context(cli, info_name="photoramd"), level=2))


def walk(context: click.Context) -> Iterator[click.Context]:
    """A command and all those below it, each as the context that it would run in."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            below = context.command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from walk(click.Context(below, info_name=name, parent=context))


def _command(top: click.Context, level: int) -> Iterator[str]:
    for context in walk(top):
        pieces = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
        yield f"{'#' * min(level + context.command_path.count(' '), 4)} `{context.command_path}`\n"
        yield f"```\n{pieces}\n```\n"
        yield from _paragraphs(context.command.help or "")
        rows = [
            record
            for parameter in context.command.get_params(context)
            if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(context))
            and "--help" not in record[0]
        ]
        if rows:
            yield "| Option | Meaning |\n|---|---|"
            yield "".join(f"| `{_cell(name)}` | {_cell(text)} |\n" for name, text in rows)


def _paragraphs(text: str) -> Iterator[str]:
    """Help as Markdown: what click must not wrap, after a line with \\b, becomes a block."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            lines = paragraph.splitlines()[1:]
            if not lines[0].startswith(" ") and lines[0].endswith(":"):
                yield f"{lines.pop(0)}\n"
            block = textwrap.dedent("\n".join(lines))
            yield f"```\n{block}\n```\n"
        else:
            yield f"{paragraph}\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def configuration(text: str) -> str:
    """The text of docs/configuration.md with what is made from the schema made anew.

    Raises:
        SystemExit: A section of the schema has no heading there.
    """
    for table in tables():
        heading = f"## `{table.header}`\n\n"
        before, found, rest = text.partition(heading)
        if not found:
            sys.exit(f"docs/configuration.md needs a heading: {heading.strip()}")
        # Up to the first line after the table.
        rest = re.sub(r"\A(?:(?!## |\|).*\n)*(?:\|.*\n)*", "", rest)
        text = before + heading + "\n".join(_table(table)) + "\n" + rest
    return text


def queries(text: str) -> str:
    """The text of docs/queries.md with the table of fields made anew."""
    head = "| Field | Meaning | Example |\n|---|---|---|\n"
    rows = (f"| `{f.name}:` | {_cell(f.meaning)} | `{f.example}` |\n" for f in FIELDS.values())
    return _with_rows(text, head, rows)


def monitoring(text: str) -> str:
    """The text of docs/monitoring.md with the table of metrics made anew."""
    head = "| Metric | Labels | Meaning |\n|---|---|---|\n"
    rows = (
        f"| `{metric.name}` | {', '.join(metric.labels)} | {_cell(metric.meaning)} |\n"
        for metric in METRICS
    )
    return _with_rows(text, head, rows)


def _with_rows(text: str, head: str, rows: Iterable[str]) -> str:
    """A text with other rows below the head of a table."""
    before, _, rest = text.partition(head)
    return before + head + "".join(rows) + re.sub(r"\A(?:\|.*\n)*", "", rest)


def _table(table: Table) -> Iterator[str]:
    yield f"{table.description}\n"
    if table.example:
        yield f"For example `{table.example}`."
        return
    yield "| Key | Default | Allowed | Meaning |\n|---|---|---|---|"
    for key in table.keys:
        cells = (f"`{key.name}`", _default(key), _cell(key.allowed), _cell(key.description))
        yield f"| {' | '.join(cells)} |"


def _default(key: Key) -> str:
    return "" if key.default is msgspec.NODEFAULT else f"`{format_value(key.default)}`"


if __name__ == "__main__":
    main()
