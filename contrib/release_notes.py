#!/usr/bin/env python3
"""Print what the changelog says of a release, with ``release_notes.py TAG``.

Exits with 1 unless the tag is the version that photoramd/__init__.py has, and the changelog
has a dated section of it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print the notes for the tag that is the argument."""
    found = version((ROOT / "photoramd" / "__init__.py").read_text(encoding="utf-8"))
    if sys.argv[1] != f"v{found}":
        sys.exit(f"the tag is {sys.argv[1]}, but photoramd/__init__.py has {found}")
    notes = section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), found)
    if notes is None:
        sys.exit(f"CHANGELOG.md has no section '## [{found}] - YYYY-MM-DD'")
    print(notes)


def version(source: str) -> str:
    """The version in the package's source: the only place where it stands."""
    [found] = re.findall(r'(?m)^__version__ = "([^"]+)"$', source)
    return str(found)


def section(changelog: str, wanted: str) -> str | None:
    """The entries of a release, without their heading; None if it has no dated section."""
    heading = rf"(?m)^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d\n"
    _, *rest = re.split(heading, changelog)
    return re.split(r"(?m)^## ", rest[0])[0].strip() if rest else None


if __name__ == "__main__":
    main()
