"""What reference.py writes into docs/schemas: schemas of what commands print and the API gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from photoramd.cli.answers import (
    CheckedWorker,
    CountedTag,
    Edited,
    FoundPhoto,
    Linked,
    ShownPhoto,
    TaggedFile,
)
from photoramd.search.status import Status
from photoramd.web import openapi

VERSION = "v1"
"""Changes only with photoramd's major version, and with what programs can rely on."""

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "schemas" / VERSION

ANSWERS: Mapping[str, tuple[str, object]] = {
    "edit": ("photoramd edit --json", Edited),
    "query": ("photoramd query --json; a line of --format ndjson is an item", list[FoundPhoto]),
    "query-count": ("photoramd query --count --json", int),
    "query-link": ("photoramd query --link DIR --json", Linked),
    "show": ("photoramd show --json", ShownPhoto),
    "status": ("photoramd status --json", Status),
    "tag": ("photoramd tag --format json", list[TaggedFile]),
    "tags": ("photoramd tags --json", list[CountedTag]),
    "worker-check": ("photoramd worker check --json", list[CheckedWorker]),
}
"""What is printed, and its type, by the name of the schema."""


def schemas() -> dict[str, str]:
    """The text of each file, by its name."""
    answers = {f"{name}.json": _schema(name, *answer) for name, answer in ANSWERS.items()}
    return answers | {"openapi.json": openapi.text()}


def _schema(name: str, title: str, type_: object) -> str:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:photoramd:{VERSION}:{name}",
        "title": title,
    }
    return json.dumps(head | msgspec.json.schema(type_), indent=2) + "\n"


def write() -> None:
    """Write all files."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
