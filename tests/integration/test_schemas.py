"""The JSON that commands print is as docs/schemas says, and as it was in the last release."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from contrib import reference_schemas
from photoramd.cli import cli
from photoramd.daemon import assembly
from photoramd.database.connection import Database
from photoramd.models.tagger import Tagger
from tests.support.documents import ROOT
from tests.support.known_photos import BAD, CAFE, CAT, DOG, GONE, NEW, fill
from tests.support.schema_changes import broken, broken_operations

VERSION = ROOT / "docs" / "schemas" / "v1"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted(VERSION.glob("*.json"))}

# A copy of what the last release promised: to be replaced at each release, by what it promises.
RELEASED = ROOT / "tests" / "support" / "data" / "schemas" / "v1"

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, database: Database) -> Run:
    """Run a command on photos of all kinds; its standard output."""
    fill(database)
    config = tmp_path / "config.toml"
    config.write_text(f'[[watch]]\npath = "/photos"\n[state]\npath = "{database.path}"\n')

    def invoke(*words: object) -> str:
        result = CliRunner().invoke(cli, ["--config", str(config), *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.stdout

    return invoke


def closed(schema: Any) -> Any:
    """A schema that allows no other properties than it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in schema else inner


def check(name: str, value: object) -> None:
    """Fail if an output is not as its schema says, or has keys that it does not name."""
    errors = list(Draft202012Validator(closed(SCHEMAS[name])).iter_errors(value))
    assert not errors, "\n".join(f"{error.json_path}: {error.message}" for error in errors)


# The schemas are those of the types


def test_the_schemas_are_made_from_the_types() -> None:
    made = {path.name: path.read_text(encoding="utf-8") for path in VERSION.iterdir()}
    assert made == reference_schemas.schemas(), "make docs"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_schema_is_named_in_the_readme_which_is_short() -> None:
    text = (VERSION.parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in SCHEMAS if f"(v1/{name}.json)" not in text] == []
    assert len(text.splitlines()) <= 25


# What is printed is as they say


def test_photos_that_a_query_finds(run: Run) -> None:
    found = json.loads(run("query", "*", "--json"))
    check("query", found)
    assert {CAFE, CAT, DOG} == {Path(each["file"]) for each in found}
    assert {each["taken"] for each in found} == {"2024-07-31T18:30:00", None}
    (failed,) = json.loads(run("query", "state:failed", "--format", "json"))
    check("query", [failed])
    assert failed["tags"] == []


def test_each_line_is_an_item(run: Run) -> None:
    lines = run("query", "*", "--format", "ndjson").splitlines()
    found = [json.loads(line) for line in lines]
    check("query", found)
    assert found == json.loads(run("query", "*", "--json"))
    item = {**SCHEMAS["query"]["items"], "$defs": SCHEMAS["query"]["$defs"]}
    assert [each for each in found if not Draft202012Validator(item).is_valid(each)] == []


def test_a_name_that_is_not_utf8_can_be_had_back(run: Run) -> None:
    text = run("query", "Italy OR user:dog", "--json")
    assert "caf\\udce9.jpg" in text
    assert os.fsencode(CAFE) in {os.fsencode(each["file"]) for each in json.loads(text)}
    shown = json.loads(run("show", CAFE, "--json"))
    assert os.fsencode(shown["sidecar"]) == os.fsencode(CAFE) + b".xmp"


def test_a_query_that_counts_or_links(run: Run, tmp_path: Path) -> None:
    count = json.loads(run("query", "dog", "--count", "--json"))
    check("query-count", count)
    assert count == 2
    for _ in range(2):
        check("query-link", json.loads(run("query", "*", "--link", tmp_path / "links", "--json")))


@pytest.mark.parametrize("scores", [[], ["--scores"]])
@pytest.mark.parametrize("photo", [DOG, CAFE, CAT, BAD, NEW, GONE], ids=lambda path: path.stem)
def test_a_photo_that_is_shown(run: Run, photo: Path, scores: list[str]) -> None:
    shown = json.loads(run("show", photo, "--json", *scores))
    check("show", shown)
    assert shown["file"] == str(photo)
    assert ("scores" in shown) == bool(scores)
    if photo == DOG:
        assert shown["look"]["taken"] == "2024-07-31T18:30:00"
        assert None not in shown["look"].values()


def test_all_values_that_may_be_null_are_null_for_some_photo_but_those_of_no_use(run: Run) -> None:
    shown = [json.loads(run("show", photo, "--json")) for photo in (DOG, CAFE, BAD, NEW)]
    may_be_null = {
        name
        for name, each in SCHEMAS["show"]["$defs"]["ShownPhoto"]["properties"].items()
        if {"type": "null"} in each.get("anyOf", [])
    }
    null = {name for each in shown for name, value in each.items() if value is None}
    given = {name for each in shown for name, value in each.items() if value is not None}
    assert may_be_null - null == {"next_attempt"}  # null after the last attempt only
    assert may_be_null - given == {"undone_at"}


def test_the_status(run: Run) -> None:
    status = json.loads(run("status", "--json"))
    check("status", status)
    assert status["photos"] == {"pending": 1, "tagged": 1, "written": 2, "failed": 1, "missing": 1}
    assert status["problems"][0]["example"] == str(BAD)
    assert status["places"]["fallbacks"][0]["example"] == "/photos/2024/caf\\xe9.jpg"
    assert [root["health"] for root in status["roots"]] == ["degraded"]


def test_tags(run: Run) -> None:
    tags = json.loads(run("tags", "--json"))
    check("tags", tags)
    assert {"tag": "dog", "photos": 2, "user": 1} in tags


@pytest.mark.parametrize("confidence", [[], ["--confidence"]])
def test_photos_that_are_tagged_on_the_spot(
    put: Callable[[str, str], Path],
    album: Path,
    embedded_tagger: Tagger,
    monkeypatch: pytest.MonkeyPatch,
    confidence: list[str],
) -> None:
    monkeypatch.setattr(assembly, "load_tagger", lambda _: embedded_tagger)
    put("cat", os.fsdecode(b"k\xe4tzchen.png"))
    (album / "bad.jpg").write_text("no photo")
    words = ["--config", os.devnull, "tag", str(album), *confidence]
    results = json.loads(CliRunner().invoke(cli, words).stdout)
    check("tag", results)
    bad, cat = sorted(results, key=lambda each: "cat" in each["tags"])
    assert "error" in bad
    assert "error" not in cat
    assert os.fsencode(cat["file"]).endswith(b"k\xe4tzchen.png")
    assert ("confidences" in cat) == bool(confidence)


# And as it was


def test_what_was_released_is_still_promised() -> None:
    for path in sorted(RELEASED.iterdir()):
        assert path.stem in SCHEMAS, f"{path.stem} is gone"
        compare = broken_operations if path.stem == "openapi" else broken
        assert compare(json.loads(path.read_text()), SCHEMAS[path.stem]) == [], path.stem


def photo(schema: Any) -> Any:
    return schema["$defs"]["ShownPhoto"]


def words(schema: Any) -> list[str]:
    found: list[str] = schema["$defs"]["PhotoState"]["enum"]
    return found


def rename(schema: Any, old: str, new: str) -> None:
    properties = photo(schema)["properties"]
    properties[new] = properties.pop(old)
    photo(schema)["required"] = [new if n == old else n for n in photo(schema)["required"]]


def set_property(name: str, value: object) -> Callable[[Any], None]:
    return lambda schema: photo(schema)["properties"].update({name: value})


NULLABLE = {"anyOf": [{"type": "string"}, {"type": "null"}]}

BREAKING: dict[str, tuple[Callable[[Any], object], str]] = {
    "removed": (lambda s: photo(s)["properties"].pop("size"), "size is gone"),
    "removed inside": (
        lambda s: s["$defs"]["ShownLook"]["properties"].pop("lens"),
        "look.lens is gone",
    ),
    "renamed": (lambda s: rename(s, "file", "path"), "file is gone"),
    "optional": (lambda s: photo(s)["required"].remove("model"), "model is not required"),
    "nullable": (set_property("file", NULLABLE), "file may be of type null"),
    "another type": (set_property("found_at", {"type": "string"}), "found_at may be of type str"),
    "no integer": (set_property("attempts", {"type": "number"}), "attempts may be of type number"),
    "no type": (set_property("file", {}), "file may be of type anything"),
    "another item": (
        set_property("user_tags", {"type": "array", "items": {"type": "integer"}}),
        "may be of type integer",
    ),
    "any item": (set_property("user_tags", {"type": "array"}), "may be anything"),
    "another value": (
        set_property("scores", {"type": "object", "additionalProperties": {"type": "string"}}),
        "may be of type string",
    ),
    "a further word": (lambda s: words(s).append("queued"), "state may be queued"),
    "any word": (set_property("state", {"type": "string"}), "state may be anything"),
    "further limits": (
        set_property("attempts", {"type": "integer", "minimum": -1}),
        "minimum is -1",
    ),
    "no limit": (set_property("attempts", {"type": "integer"}), "minimum is None"),
}

HARMLESS: dict[str, Callable[[Any], object]] = {
    "added": set_property("rating", {"type": "integer"}),
    "required": lambda s: photo(s)["required"].append("scores"),
    "never null": set_property("model", {"type": "string"}),
    "an integer": set_property("found_at", {"type": "integer"}),
    "a word fewer": lambda s: words(s).remove("tagged"),
    "closer limits": set_property("attempts", {"type": "integer", "minimum": 1}),
    "another text": lambda s: photo(s).update(description="Another."),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_breaks_programs_is_noticed(name: str) -> None:
    change, told = BREAKING[name]
    new = deepcopy(SCHEMAS["show"])
    change(new)
    assert any(told in each for each in broken(SCHEMAS["show"], new))


@pytest.mark.parametrize("name", HARMLESS)
def test_a_change_that_breaks_no_program_is_allowed(name: str) -> None:
    new = deepcopy(SCHEMAS["show"])
    HARMLESS[name](new)
    assert new != SCHEMAS["show"]
    assert broken(SCHEMAS["show"], new) == []


def test_a_keyword_that_the_comparison_does_not_know_is_not_passed_over() -> None:
    new = deepcopy(SCHEMAS["show"])
    photo(new)["properties"]["file"]["pattern"] = "^/"
    with pytest.raises(AssertionError, match="pattern"):
        broken(SCHEMAS["show"], new)


def operation(document: Any) -> Any:
    return document["paths"]["/api/v1/photos"]["get"]


BREAKING_OPERATIONS: dict[str, tuple[Callable[[Any], object], str]] = {
    "gone": (lambda d: d["paths"].pop("/api/v1/photos"), "get /api/v1/photos is gone"),
    "another method": (
        lambda d: d["paths"]["/api/v1/photos"].update(post=operation(d), get=None),
        "get /api/v1/photos is gone",
    ),
    "no parameter": (lambda d: operation(d)["parameters"].pop(0), "the parameter q is gone"),
    "a parameter more": (
        lambda d: operation(d)["parameters"].append({"name": "x", "required": True}),
        "the parameter x is required now",
    ),
    "an answer": (
        lambda d: d["components"]["schemas"]["Photo"]["properties"].pop("name"),
        "get /api/v1/photos: $.photos[items].name is gone",
    ),
    "a body": (
        lambda d: d["components"]["schemas"]["EditAsked"].update(required=["photos"]),
        "the body's photos is required now",
    ),
    "a body's part": (
        lambda d: d["components"]["schemas"]["EditAsked"]["properties"].pop("reject"),
        "the body's reject is gone",
    ),
    "another status": (
        lambda d: operation(d)["responses"].update({"201": operation(d)["responses"].pop("200")}),
        "200 is no application/json now",
    ),
}


@pytest.mark.parametrize("name", BREAKING_OPERATIONS)
def test_a_change_of_the_api_that_breaks_programs_is_noticed(name: str) -> None:
    change, told = BREAKING_OPERATIONS[name]
    new = deepcopy(SCHEMAS["openapi"])
    assert broken_operations(SCHEMAS["openapi"], new) == []
    change(new)
    assert any(told in each for each in broken_operations(SCHEMAS["openapi"], new))


def test_what_the_api_has_more_breaks_no_program() -> None:
    new = deepcopy(SCHEMAS["openapi"])
    new["components"]["schemas"]["Photo"]["properties"]["rating"] = {"type": "integer"}
    operation(new)["parameters"].append({"name": "x"})
    new["paths"]["/api/v1/more"] = {}
    assert broken_operations(SCHEMAS["openapi"], new) == []
