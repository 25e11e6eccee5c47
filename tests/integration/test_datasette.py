"""The real Datasette, started as its README says, shows a database that photoramd has open."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from contrib import reference_database
from photoramd.database.connection import Database
from photoramd.database.description import VIEWS
from tests.support.clock import bound
from tests.support.documents import ROOT, blocks
from tests.support.known_photos import TAGGED, fill

DIRECTORY = ROOT / "contrib" / "datasette"
METADATA = (DIRECTORY / "metadata.yaml").read_text(encoding="utf-8")
SHOWN = yaml.safe_load(METADATA)["databases"]["photoramd"]
CAFE = "/photos/2024/caf\\xe9.jpg"

Get = Callable[..., str]

# What each query is asked, and what its answer must contain.
ASKED: dict[str, tuple[dict[str, str], list[object]]] = {
    "photos_with_tag": ({"tag": "dog"}, ["/photos/2024/dog.jpg", 0.9, "machine", "written"]),
    "photos_with_two_tags": (
        {"tag": "dog", "other": "Aunt Mary"},
        ["/photos/2024/dog.jpg", "2024-07-31T18:30:00", "Canon EOS R6", "RF24-70mm F2.8 L"],
    ),
    "tags_of_photo": ({"photo_id": "1"}, ["Aunt Mary", None, "user"]),
    "most_frequent_tags": ({}, ["dog", 3, 1]),
    "photos_by_month": ({"year": "2024"}, ["2024-07", 1]),
    "problems": ({}, ["/photos/2024/bad.jpg", "failed", "image file is truncated"]),
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the server on a port that is free, with the arguments of the README."""
    path = tmp_path_factory.mktemp("state") / "photoramd.db"
    [(_, command)] = blocks((DIRECTORY / "README.md").read_text(encoding="utf-8"))
    words = shlex.split(command.partition("datasette serve")[2].replace("\\\n", ""))
    assert words[0] == "/var/lib/photoramd/photoramd.db"
    program = [sys.executable, "-m", "datasette", "serve", path, *words[1:], "--port", "0"]
    with Database(path) as database:
        fill(database)
        with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            try:
                # It says where it is, as its last line before the first request.
                told = (re.search(r"running on (http://[\w.:]+)", line) for line in server.stderr)
                yield next(found[1] for found in told if found)
            finally:
                server.terminate()


@pytest.fixture
def get(address: str) -> Get:
    def ask(path: str, **parameters: object) -> str:
        url = f"{address}/photoramd{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=bound(60)) as answer:  # noqa: S310  it raises an error if not 200
            return str(answer.read().decode("utf-8"))

    return ask


def answer(get: Get, path: str, **parameters: object) -> Any:
    return json.loads(get(f"{path}.json", **parameters))


def test_the_metadata_is_made_from_the_descriptions() -> None:
    assert reference_database.metadata(METADATA) == METADATA, "make docs"


def test_only_the_views_and_the_queries_are_shown(get: Get) -> None:
    found = answer(get, "")
    assert {view["name"] for view in found["views"]} == VIEWS.keys()
    assert [table["name"] for table in found["tables"] if not table["hidden"]] == []
    page = get("")
    for query in SHOWN["queries"].values():
        assert query["title"] in page


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_shown_with_its_facets_and_the_meanings_of_its_columns(
    get: Get, view: str
) -> None:
    page = get(f"/{view}")
    assert CAFE in page
    assert "/photos/f\\xfcr/cat.png" in page
    for column in VIEWS[view].columns:
        assert f'data-column="{column}"' in page
    assert page.count("data-column-description") >= len(VIEWS[view].columns)
    facets = answer(get, f"/{view}")["facet_results"]
    assert set(facets) == set(SHOWN["tables"][view]["facets"])
    states = {each["value"]: each["count"] for each in facets["state"]["results"]}
    assert states["written"] == (2 if view == "photo_list" else 7)


def test_the_photos_that_were_found_last_come_first(get: Get) -> None:
    numbers = [row["photo_id"] for row in answer(get, "/photo_list", _shape="objects")["rows"]]
    assert len(numbers) == len(TAGGED) + 2
    assert numbers == sorted(numbers, reverse=True)


def test_rows_are_chosen_and_exported(get: Get) -> None:
    rows = answer(get, "/tags", tag="dog", given_by="user", _shape="array")
    assert [row["photo"] for row in rows] == [CAFE]
    (row,) = csv.DictReader(io.StringIO(get("/photo_list.csv", name="dog.jpg")))
    assert row["camera"] == "Canon EOS R6"


def test_every_query_is_tried() -> None:
    assert ASKED.keys() == SHOWN["queries"].keys()


@pytest.mark.parametrize("name", ASKED)
def test_a_query_answers(get: Get, name: str) -> None:
    parameters, row = ASKED[name]
    assert row in answer(get, f"/{name}", **parameters)["rows"]
    page = get(f"/{name}", **parameters)
    assert SHOWN["queries"][name]["title"] in page
    for parameter in parameters:
        assert f'name="{parameter}"' in page
    get(f"/{name}")  # before anything was entered


@pytest.mark.parametrize("name", [name for name, (parameters, _) in ASKED.items() if parameters])
def test_what_is_entered_is_a_value_and_no_sql(get: Get, name: str) -> None:
    parameters = dict.fromkeys(ASKED[name][0], "' OR 1 = 1 --")
    assert answer(get, f"/{name}", **parameters)["rows"] == []


def test_the_readme_is_short() -> None:
    assert len((DIRECTORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 40
