"""What pages are made of, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from photoramd.config.schema import Config, State, Watch
from photoramd.database.connection import Database
from photoramd.web import static_files
from photoramd.web.app import make_app
from photoramd.web.news import LiveStatus
from photoramd.web.readers import Readers
from photoramd.web.site import Site
from photoramd.web.templating import asking, data_block, describe
from tests.support import known_photos

PAGES = ("", "tags", "folders", "failed", "status", "p/1", "?q=dog", "?q=nothing", "?q=(", "login")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    path = tmp_path / "photoramd.db"
    with Database(path) as database:
        known_photos.fill(database)
    config = Config(watch=(Watch(path=Path("/photos")),), state=State(path=path))
    app = make_app(Site(config, path, Readers(path)))
    with TestClient(app, headers={"Accept": "text/html"}) as client:
        yield client


@pytest.mark.parametrize("path", PAGES)
def test_pages_come_whole_and_keep_the_policy(client: TestClient, path: str) -> None:
    answer = client.get(f"/{path}")
    assert answer.status_code == 200
    text = answer.text
    assert not re.search(r"\sstyle=|\son\w+=", text), "the policy forbids it"
    for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
        assert "src=" in attributes or 'type="application/json"' in attributes
        assert not content or json.loads(content)


@pytest.mark.parametrize("path", PAGES)
def test_all_addresses_are_relative(client: TestClient, path: str) -> None:
    text = client.get(f"/{path}").text
    found = re.findall(r'\s(?:href|src|action)="([^"]*)"', text)
    assert not [each for each in found if each.startswith(("/", "http"))]


def test_a_photo_with_an_odd_name_has_a_page(client: TestClient) -> None:
    ids = [photo["id"] for photo in client.get("/api/v1/photos").json()["photos"]]
    texts = [client.get(f"/p/{number}") for number in ids]
    assert all(answer.status_code == 200 for answer in texts)
    assert any("caf\\xe9.jpg" in answer.text for answer in texts)


def test_a_page_of_an_error_is_for_browsers_only(client: TestClient) -> None:
    answer = client.get("/p/999")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    answer = client.get("/p/999", headers={"Accept": "application/json"})
    assert answer.json()["status"] == 404


def test_files_are_kept_for_ever_under_their_digest_only(client: TestClient) -> None:
    answer = client.get(f"/{static_files.directory()}gallery.js")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"].startswith("text/javascript")
    answer = client.get("/static/000000000000/gallery.js")
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.get(f"/{static_files.directory()}nothing.js").status_code == 404


def test_modules_import_what_is_there() -> None:
    for name, data in static_files.files().items():
        for other in re.findall(rb'from "\./([^"]+)"', data):
            assert other.decode() in static_files.files(), name


def test_a_data_block_cannot_end_its_element() -> None:
    value = {"name": "</script><b>&\u2028"}
    text = str(data_block(value))
    assert "<" not in text
    assert json.loads(text) == value


def test_addresses_ask_for_what_is_given() -> None:
    assert asking(q="a b&c", sort="") == "?q=a%20b%26c"
    assert asking(q="") == ""


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (LiveStatus(False, 3, 0, None), "not running"),
        (LiveStatus(True, 0, 2, 30.0), "up to date"),
        (LiveStatus(True, 1200, 0, 45.4), "1,200 waiting · 45/min"),
        (LiveStatus(True, 1, 0, None), "1 waiting"),
    ],
)
def test_the_bar_says_how_the_daemon_is(status: LiveStatus, text: str) -> None:
    assert describe(status)["text"] == text
