"""What pages are made of, without a browser."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from starlette.testclient import TestClient

from photoramd.config.schema import Config, State, Watch
from photoramd.database.connection import APPLICATION_ID, Database
from photoramd.database.migrations import schema
from photoramd.system.token import Token
from photoramd.web import static_files
from photoramd.web.access import Access
from photoramd.web.app import make_app
from photoramd.web.news import LiveStatus
from photoramd.web.readers import Readers
from photoramd.web.site import Site
from photoramd.web.templating import asking, data_block, describe
from tests.support import known_photos

PAGES = ("", "tags", "folders", "failed", "status", "p/1", "?q=dog", "?q=nothing", "?q=(")


@contextmanager
def served(path: Path, **options: Any) -> Iterator[TestClient]:
    config = Config(watch=(Watch(path=Path("/photos")),), state=State(path=path))
    app = make_app(Site(config, path, Readers(path), **options))
    with TestClient(app, headers={"Accept": "text/html"}) as client:
        yield client


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "photoramd.db"
    with Database(path) as database:
        known_photos.fill(database)
    return path


@pytest.fixture
def client(known: Path) -> Iterator[TestClient]:
    with served(known) as client:
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


def test_where_a_token_is_needed_one_logs_in_and_out(known: Path, client: TestClient) -> None:
    with served(known, access=Access(Token("x" * 32))) as guarded:
        assert 'name="token"' in guarded.get("/login").text
        assert 'id="logout"' in guarded.get("/status").text
    answer = client.get("/login", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert 'id="logout"' not in client.get("/status").text


@pytest.mark.parametrize("path", ["", "p/1", "failed", "status"])
def test_what_cannot_be_done_is_not_offered(known: Path, client: TestClient, path: str) -> None:
    offers = ("data-retry", 'data-action="add"', 'data-action="reject"', '<dialog id="tag-dialog"')
    with served(known, why_read_only="it was started with --read-only") as read_only:
        text = read_only.get(f"/{path}").text
    assert 'data-read-only="it was started with --read-only"' in text
    assert not [each for each in offers if each in text]
    text = client.get(f"/{path}").text
    assert "data-read-only" not in text
    assert any(each in text for each in offers)


@pytest.mark.parametrize("path", PAGES)
def test_a_database_that_is_not_there_is_said_on_every_page(tmp_path: Path, path: str) -> None:
    with served(tmp_path / "none.db") as client:
        answer = client.get(f"/{path}")
    assert answer.status_code == 503
    assert "there is no database" in answer.text
    assert "systemctl start photoramd or photoramd run" in answer.text


@pytest.mark.parametrize("path", ["", "status", "?q=nothing"])
def test_a_daemon_that_is_stopped_is_started_by_what_is_there(
    known: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(known) as client:
        assert "“systemctl start photoramd” or “photoramd run”" in client.get(f"/{path}").text
        monkeypatch.setenv("container", "oci")
        text = client.get(f"/{path}").text
    assert (
        'data-stopped="The daemon is not running: new photos and edits wait. Start it with' in text
    )
    assert "“docker start photoramd” or “docker compose up -d”" in text
    assert "systemctl" not in text


def test_a_database_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        schema.apply(sqlite_utils.Database(connection), stop_before="m060_asking")
    with served(path) as client:
        answer = client.get("/")
    assert answer.status_code == 503
    assert "an earlier version" in answer.text
    assert "systemctl start photoramd or photoramd run" in answer.text


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
