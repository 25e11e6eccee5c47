"""docs/monitoring.md names metrics that there are, and its configurations make sense."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.sandbox import SandboxedEnvironment

from contrib import reference
from photoramd.search.metrics import METRICS
from tests.support.daemons import Photoramd
from tests.support.documents import ROOT, blocks

DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
NAMES = {metric.name for metric in METRICS}
LABELS = {label for metric in METRICS for label in metric.labels}


class Loader(yaml.SafeLoader):
    """Reads Home Assistant's YAML, too."""


Loader.add_constructor("!secret", lambda loader, node: loader.construct_scalar(node))


def configurations() -> dict[str, Any]:
    """All of the document, by their one key."""
    found: dict[str, Any] = {}
    for language, block in blocks(DOCUMENT):
        if language == "yaml":
            found |= yaml.load(block, Loader)  # noqa: S506  a SafeLoader
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in configurations()["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    table = DOCUMENT.partition("| Question | PromQL |")[2].partition("\n\n")[0]
    return [*re.findall(r"`([^`]+)`", table), *(rule["expr"] for rule in rules())]


def templates(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for key, text in value.items() if key == "value_template")
        for each in value.values():
            yield from templates(each)
    elif isinstance(value, list):
        for each in value:
            yield from templates(each)


def test_the_table_is_made_of_the_metrics() -> None:
    assert reference.monitoring(DOCUMENT) == DOCUMENT, "make docs"
    assert re.findall(r"(?m)^\| `(photoramd_\w+)` \|", DOCUMENT) == [m.name for m in METRICS]


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_what_there_is(query: str) -> None:
    asked = set(re.findall(r"\b(?:photoramd|node)_\w+", query))
    assert asked
    assert asked <= NAMES | {"node_textfile_mtime_seconds"}
    assert set(re.findall(r"(\w+)=~?\"", query)) <= LABELS | {"file"}


def test_alerts_speak_of_labels_that_there_are() -> None:
    assert len(rules()) == 4
    for rule in rules():
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            metric = next(each for each in METRICS if each.name in rule["expr"])
            assert label in metric.labels


def test_home_assistant_reads_what_status_prints(tmp_path: Path, album: Path) -> None:
    photoramd = Photoramd(tmp_path, album)
    (album / "bad.jpg").write_text("no photo")
    photoramd.run("scan")
    status = json.loads(photoramd.run("status", "--json").stdout)
    found = configurations()
    given = {
        text: SandboxedEnvironment().from_string(text).render(value_json=status)
        for part in ("rest", "command_line")
        for text in templates(found[part])
    }
    assert given == {
        "{{ value_json.photos.pending }}": "0",
        "{{ value_json.photos.failed }}": "1",
        "{{ value_json.running }}": "False",
        **{text: "False" for text in given if "roots" in text},
    }
    assert len(given) == 4
    (sensor,) = [each["sensor"] for each in found["command_line"]]
    assert set(sensor["json_attributes"]) <= status.keys()
    assert sensor["command"].endswith("status --json")
