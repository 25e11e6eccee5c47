"""What reference.py writes of the database: tables of docs/database.md, metadata for Datasette."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from photoramd.database.description import (
    ALL,
    INTERNAL_TABLES,
    STABLE_TABLES,
    VIEWS,
    Description,
)

_MARK = "<!-- From here on made by `make docs` from photoramd/database/description.py. -->\n"
_PARTS: tuple[tuple[str, str, Mapping[str, Description]], ...] = (
    ("Views", "Stable: they are there for you.", VIEWS),
    ("Tables", "Stable, but for the columns that are called internal.", STABLE_TABLES),
    ("Internal tables", "They change without notice.", INTERNAL_TABLES),
)


def document(text: str) -> str:
    """The text of docs/database.md with its tables made anew.

    Raises:
        SystemExit: It has no mark at which they begin.
    """
    before, mark, _ = text.partition(_MARK)
    if not mark:
        sys.exit(f"docs/database.md needs a line: {_MARK.strip()}")
    return before + mark + "\n" + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    for number, (title, promise, described) in enumerate(_PARTS):
        yield from ([""] if number else [])
        yield f"## {title}\n\n{promise}"
        for name, each in described.items():
            yield f"\n### `{name}`\n\n{each.purpose}\n\n| Column | Meaning |\n|---|---|"
            for column, meaning in each.columns.items():
                note = "internal: " if column in each.internal else ""
                cell = meaning.replace("|", "\\|")
                yield f"| `{column}` | {note}{cell} |"


_SEQUENCE = "sqlite_sequence"
"""SQLite's own, but Datasette does not hide it by itself."""

_COLUMNS = re.compile(
    r"(?m)^      (?P<name>\w+):\n(?P<own>(?:       .*\n)*?)        columns:.*\n(?:          .*\n)*"
)
_HIDDEN = re.compile(r"(?m)(^      # hidden: .*\n)(?:      \w+:\n        hidden: true\n)*")


def metadata(text: str) -> str:
    """The text of contrib/datasette/metadata.yaml: meanings of columns, and what is hidden."""
    text = _COLUMNS.sub(_columns, text)
    shown = {match["name"] for match in _COLUMNS.finditer(text)}
    hidden = "".join(
        f"      {name}:\n        hidden: true\n" for name in sorted({*ALL, _SEQUENCE} - shown)
    )
    return _HIDDEN.sub(lambda match: match[1] + hidden, text)


def _columns(match: re.Match[str]) -> str:
    name = match["name"]
    lines = [
        f"          {column}: '{_plain(meaning)}'\n"
        for column, meaning in ALL[name].columns.items()
    ]
    return "".join(
        [f"      {name}:\n", match["own"], "        columns:  # made by `make docs`\n", *lines]
    )


def _plain(text: str) -> str:
    return text.replace("`", "").replace("'", "''")
