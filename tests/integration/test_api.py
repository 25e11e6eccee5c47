"""The API as programs use it: the real application, on photos that the real stores have."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from photoramd.config.schema import Config, State, Tags, Watch
from photoramd.database import derived
from photoramd.database.connection import Database, connect
from photoramd.web.app import make_app
from photoramd.web.readers import Readers
from photoramd.web.site import Site
from tests.support.album import Scan
from tests.support.known_photos import BAD, CAFE, CAT, DOG, GONE, NEW, ROOT, fill
from tests.support.random_rows import Rows

API = "/api/v1"


def site_on(database: Path, **sections: Any) -> Site:
    """A site of the photos in a database."""
    config = Config(
        watch=(Watch(path=ROOT),),
        tags=Tags(overrides=None),
        state=State(path=database),
        searches={"pets": "dog OR cat"},
        **sections,
    )
    return Site(config, database, Readers(database))


@pytest.fixture
def client(database: Database) -> Iterator[TestClient]:
    """A client of a site with photos of all kinds."""
    fill(database)
    with TestClient(make_app(site_on(database.path))) as opened:
        yield opened


@pytest.fixture
def ids(client: TestClient, database: Database) -> dict[Path, int]:
    """The numbers of the photos, by path."""
    rows = database.rows(
        "SELECT p.id, d.path, p.name FROM photos p JOIN directories d ON d.id = p.directory_id"
    )
    return {Path(os.fsdecode(b"/".join(parts))): number for number, *parts in rows}


def get(client: TestClient, what: str, status: int = 200, **asked: Any) -> Any:
    response = client.get(f"{API}/{what}", params=asked)
    assert response.status_code == status, response.text
    kind = "application/json" if status == 200 else "application/problem+json"
    assert response.headers["content-type"] == kind
    return response.json()


def post(client: TestClient, path: str, sent: Any, status: int = 202) -> Any:
    response = client.post(f"{API}/{path}", json=sent)
    assert response.status_code == status, response.text
    return response.json()


# The grid


def test_a_layout_has_the_shapes_and_days_of_all_photos_in_order(
    client: TestClient, ids: dict[Path, int]
) -> None:
    found = get(client, "layout", anchor=ids[CAT])
    assert found["total"] == len(found["aspects"]) == 5
    assert found["days"] == [["2024-07-31", 1], [None, 4]]
    order = [each["id"] for each in get(client, "photos")["photos"]]
    assert order == [ids[DOG], *sorted((ids[p] for p in (CAFE, CAT, BAD, NEW)), reverse=True)]
    assert found["anchor"] == order.index(ids[CAT])
    ratios = {
        number: 0.25 * 16 ** ((ord(letter) - 35) / 91)
        for number, letter in zip(order, found["aspects"], strict=True)
    }
    for path, ratio in ((DOG, 1.5), (CAFE, 0.75), (CAT, 1), (NEW, 4 / 3)):
        assert ratios[ids[path]] == pytest.approx(ratio, rel=0.016)


def test_a_layout_that_is_known_is_not_sent_again(
    client: TestClient, database: Database, ids: dict[Path, int]
) -> None:
    first = client.get(f"{API}/layout")
    known = {"If-None-Match": first.headers["ETag"]}
    assert client.get(f"{API}/layout", headers=known).status_code == 304
    with database.transaction() as db:
        db.execute("UPDATE looks SET iso = 400")  # nothing that a grid shows
    assert client.get(f"{API}/layout", headers=known).status_code == 304
    with database.transaction() as db:
        db.execute("UPDATE photos SET state = 'missing' WHERE id = ?", (ids[NEW],))
    again = client.get(f"{API}/layout", headers=known)
    assert again.status_code == 200
    assert again.json()["total"] == 4


def with_many(path: Path, count: int, state: str, reason: str | None = None) -> Path:
    """Make a database of so many photos, all alike."""
    with closing(connect(path)) as db:
        db.execute("BEGIN")
        db.execute("INSERT INTO directories (path) VALUES (x'2f61')")
        db.executemany(
            "INSERT INTO photos (id, directory_id, name, size, mtime_ns, device, inode, state,"
            " reason, found_at) VALUES (?, 1, ?, 1, 1, 1, 1, ?, ?, 1)",
            [(number, b"%d.jpg" % number, state, reason) for number in range(1, count + 1)],
        )
        db.execute("COMMIT")
    return path


def test_a_large_layout_is_packed_if_the_client_takes_that(tmp_path: Path) -> None:
    path = with_many(tmp_path / "photoramd.db", 3000, "pending")
    with TestClient(make_app(site_on(path))) as client:
        for encoding in ("gzip", "identity"):
            with client.stream(
                "GET", f"{API}/layout", headers={"Accept-Encoding": encoding}
            ) as response:
                raw = b"".join(response.iter_raw())
            if encoding == "gzip":
                assert response.headers["Content-Encoding"] == "gzip"
                assert len(raw) < 1000
                raw = gzip.decompress(raw)
            assert json.loads(raw)["total"] == 3000
        first = get(client, "photos", limit=500, at=2900)
        assert [each["id"] for each in first["photos"]] == list(range(100, 0, -1))


@pytest.mark.parametrize("sort", ["taken", "added", "path", "score"])
@pytest.mark.parametrize("query", ["", "dog", "is:missing OR *"])
def test_windows_and_pages_are_the_same_photos(client: TestClient, sort: str, query: str) -> None:
    layout = get(client, "layout", q=query, sort=sort)
    windows = [
        get(client, "photos", q=query, sort=sort, at=at, limit=2, version=layout["version"])
        for at in range(0, layout["total"] + 1, 2)
    ]
    assert {each["version"] for each in windows} == {layout["version"]}
    by_window = [photo for window in windows for photo in window["photos"]]
    by_page: list[Any] = []
    after: str | None = ""
    while after is not None:
        page = get(client, "photos", q=query, sort=sort, after=after, limit=2)
        assert page["total"] == layout["total"]
        by_page += page["photos"]
        after = page["next"]
    assert by_window == by_page
    assert len(by_page) == layout["total"]
    numbers = [photo["id"] for photo in by_page]
    for at, number in enumerate(numbers):
        found = get(client, f"photos/{number}/neighbours", q=query, sort=sort)
        assert found == {
            "previous": numbers[at - 1] if at else None,
            "next": numbers[at + 1] if at + 1 < len(numbers) else None,
            "rank": at,
            "total": len(numbers),
        }


def test_an_order_stays_while_somebody_scrolls_and_then_is_gone(
    client: TestClient, database: Database, ids: dict[Path, int]
) -> None:
    version = get(client, "layout")["version"]
    before = get(client, "photos", version=version)
    with database.transaction() as db:
        db.execute("UPDATE photos SET state = 'missing' WHERE id = ?", (ids[NEW],))
    kept = get(client, "photos", version=version)
    assert [p["id"] for p in kept["photos"]] == [p["id"] for p in before["photos"]]
    for text in ("dog", "cat", "beach", "is:failed", "-dog"):
        for sort in ("added", "path"):
            get(client, "layout", q=text, sort=sort)
    known = {each["id"] for each in get(client, "photos")["photos"]}
    assert ids[NEW] not in known
    problem = get(client, "photos", 409, version=version)
    assert "layout" in problem["title"]
    with database.transaction() as db:
        db.execute("DELETE FROM photos WHERE id = ?", (ids[DOG],))
    assert get(client, "photos", 409, version=get(client, "layout", q="-cat")["version"] + "0")


def test_photos_that_are_deleted_below_a_grid_are_told(
    client: TestClient, database: Database, ids: dict[Path, int]
) -> None:
    version = get(client, "layout")["version"]
    with database.transaction() as db:
        db.execute("DELETE FROM photos WHERE id = ?", (ids[NEW],))
    assert "gone" in get(client, "photos", 409, version=version)["title"]


# One photo


def test_everything_that_is_known_of_a_photo_is_told(
    client: TestClient, ids: dict[Path, int]
) -> None:
    dog = get(client, f"photos/{ids[DOG]}")
    assert dog["path"] == str(DOG)
    assert dog["tags"] == [
        {"name": "dog", "confidence": 0.9},
        {"name": "beach", "confidence": 0.8},
    ]
    assert dog["user_tags"] == ["Aunt Mary", "Italy"]
    assert dog["taken"] == "2024-07-31T18:30:00"
    assert (dog["camera"], dog["iso"], dog["lat"]) == ("Canon EOS R6", 200, 48.85)
    assert (dog["width"], dog["format"], dog["state"]) == (6000, "JPEG", "written")
    assert (dog["copies"], dog["edits"], dog["pending"]) == (0, [], 0)
    assert dog["thumbnail"].startswith(f"api/v1/photos/{ids[DOG]}/thumbnail?v=")
    bad = get(client, f"photos/{ids[BAD]}")
    assert (bad["reason"], bad["state"]) == ("image file is truncated", "failed")
    assert get(client, f"photos/{ids[GONE]}")["state"] == "missing"


def test_names_that_are_not_utf_8_are_printable(client: TestClient, ids: dict[Path, int]) -> None:
    cafe, cat = (get(client, f"photos/{ids[path]}") for path in (CAFE, CAT))
    assert cafe["name"] == "caf\\xe9.jpg"
    assert cat["folder"] == "/photos/f\\xfcr"
    found = get(client, "photos", q=cat["links"]["folder"])
    assert [each["id"] for each in found["photos"]] == [ids[CAT]]


def test_each_link_of_a_photo_finds_it(client: TestClient, ids: dict[Path, int]) -> None:
    seen = set()
    for number in {number for path, number in ids.items() if path != GONE}:
        links = get(client, f"photos/{number}")["links"]
        links.pop("like", None)  # nothing is kept to find it by
        for name, query in links.items():
            found = get(client, "photos", q=query)
            assert number in [each["id"] for each in found["photos"]], query
            seen.add(name)
    assert seen == {
        "folder", "state", "model", "reason", "same", "format", "camera", "lens", "iso", "f", "mm",
        "exposure", "place", "taken",
    }  # fmt: skip


def test_likeness_that_is_not_known_is_said_to_be(client: TestClient, ids: dict[Path, int]) -> None:
    assert "photoramd run" in get(client, f"photos/{ids[DOG]}/similar", 503)["detail"]


# What there is to search


def test_facets_are_counted_within_the_photos_and_each_click_is_a_query(
    client: TestClient,
) -> None:
    found = get(client, "facets", q="beach")
    assert found["total"] == 2
    assert found["chips"] == [{"text": "beach", "without": ""}]
    groups = {group["name"]: group["entries"] for group in found["groups"]}
    assert list(groups) == ["tags", "years", "cameras", "folders", "states", "given_by"]
    assert {entry["label"]: entry["count"] for entry in groups["tags"]} == {
        "dog": 2, "beach": 2, "Aunt Mary": 1, "Italy": 1,
    }  # fmt: skip
    assert [(e["label"], e["count"]) for e in groups["years"]] == [("2024", 1)]
    assert [e["add"] for e in groups["cameras"]] == ['beach camera:="Canon EOS R6"']
    for entry in (entry for entries in groups.values() for entry in entries):
        assert get(client, "layout", q=entry["add"])["total"] == entry["count"]
        if not entry["is_active"]:
            assert get(client, "layout", q=entry["exclude"])["total"] == 2 - entry["count"]
    (beach,) = (entry for entry in groups["tags"] if entry["label"] == "beach")
    assert (beach["is_active"], beach["add"], beach["remove"]) == (True, "beach", "")
    assert beach["exclude"] == "-beach"


def test_chips_take_a_query_apart(client: TestClient) -> None:
    found = get(client, "facets", q='dog AND "tiger cat" @pets')
    assert found["chips"] == [
        {"text": "dog", "without": '"tiger cat" @pets'},
        {"text": '"tiger cat"', "without": "dog @pets"},
        {"text": "@pets", "without": 'dog "tiger cat"'},
    ]
    assert get(client, "facets", q="dog OR cat")["chips"] == [
        {"text": "(dog OR cat)", "without": ""}
    ]


@pytest.mark.parametrize("sort", ["count", "name"])
def test_tags_come_page_by_page(client: TestClient, sort: str) -> None:
    whole = get(client, "tags", sort=sort)
    assert whole["next"] is None
    names = [tag["name"] for tag in whole["tags"]]
    assert sorted(names, key=str.casefold) == ["Aunt Mary", "beach", "cat", "dog", "Italy"]
    if sort == "name":
        assert names == sorted(names, key=str.casefold)
    paged: list[str] = []
    asked: dict[str, Any] = {}
    while True:
        page = get(client, "tags", sort=sort, limit=2, **asked)
        paged += [tag["name"] for tag in page["tags"]]
        if page["next"] is None:
            break
        asked["after"] = page["next"]
    assert paged == names
    assert [t["name"] for t in get(client, "tags", prefix="MAR")["tags"]] == ["Aunt Mary"]
    assert [t["name"] for t in get(client, "tags", q="cat")["tags"]] == ["cat"]


def test_folders_are_a_tree(client: TestClient) -> None:
    (root,) = get(client, "folders")["folders"]
    assert (root["path"], root["photos"]) == ("/photos", 5)
    below = get(client, "folders", path=root["path"])["folders"]
    assert [(each["name"], each["photos"]) for each in below] == [("2024", 4), ("f\\xfcr", 1)]
    for each in below:
        assert get(client, "layout", q=each["query"])["total"] == each["photos"]
    assert get(client, "folders", path="/photos/2024")["folders"] == []
    assert get(client, "folders", path="/etc")["folders"] == []


def test_completion_says_what_may_stand_there_and_what_is_wrong(client: TestClient) -> None:
    found = get(client, "complete", text="cat do")
    assert found["completions"][0] == {
        "start": 4, "end": 6, "text": "dog", "meaning": "2 photos",
    }  # fmt: skip
    assert found["problem"] is None
    wrong = get(client, "complete", text="cat foldr:x")
    assert wrong["problem"]["position"] == 4
    assert "folder" in wrong["problem"]["detail"]
    assert get(client, "complete", text="dg cat", cursor=1)["completions"][0]["end"] == 2
    assert get(client, "complete")["problem"] is None


@pytest.mark.parametrize(
    ("query", "position"),
    [("foldr:x", 0), ("dog taken:2024-13", 10), ("(dog", 4), ("same:/x.jpg dog", 0), ("@x", 0)],
)
def test_an_error_of_a_query_has_its_place(client: TestClient, query: str, position: int) -> None:
    for path in ("layout", "photos", "facets", "tags"):
        problem = get(client, path, 400, q=query)
        assert problem["position"] == position
        assert problem["detail"]


# What waits, what failed


def test_the_status_is_what_the_command_says(client: TestClient) -> None:
    found = get(client, "status")
    assert found["photos"] == {
        "pending": 1, "tagged": 1, "written": 2, "failed": 1, "missing": 1,
    }  # fmt: skip
    assert found["running"] is True
    assert found["can_edit"] is True


def test_photos_that_failed_are_tried_again(
    client: TestClient, database: Database, ids: dict[Path, int]
) -> None:
    (reason,) = get(client, "failed")["reasons"]
    assert reason["reason"] == "image file is truncated"
    assert reason["example"] == str(BAD)
    assert get(client, "layout", q=reason["query"])["total"] == reason["photos"] == 1

    def asked() -> list[tuple[str, bytes]]:
        rows = database.rows("SELECT kind, path FROM requests")
        with database.transaction() as db:
            db.execute("DELETE FROM requests")
        return rows  # type: ignore[return-value]

    assert post(client, "retry", {"reason": reason["reason"]}) == {"photos": 1, "left": 0}
    assert asked() == [("retag-failed", os.fsencode(BAD))]
    assert post(client, "retry", {"photos": [ids[BAD], ids[CAFE]]}) == {"photos": 2, "left": 0}
    assert {path for _, path in asked()} == {os.fsencode(BAD), os.fsencode(CAFE)}
    assert post(client, "retry", {}) == {"photos": None, "left": 0}
    assert asked() == [("retag-failed", os.fsencode(ROOT))]
    post(client, "retry", {"photos": [999]}, 404)
    post(client, "retry", {"photos": [1], "reason": "x"}, 400)
    assert asked() == []


def test_edits_are_rows_for_the_daemon(
    client: TestClient, database: Database, ids: dict[Path, int]
) -> None:
    get(client, "edits/latest", 404)
    sent = {"photos": [ids[DOG], ids[CAT], ids[DOG]], "add": ["Holiday"], "reject": ["beach"]}
    edit = post(client, "edits", sent)
    assert edit["photos"] == 2
    progress = get(client, f"edits/{edit['id']}")
    assert (progress["pending"], progress["done"], progress["failed"]) == (4, 0, 0)
    assert progress["can_undo"] is True
    assert get(client, "edits/latest") == progress
    dog = get(client, f"photos/{ids[DOG]}")
    assert dog["pending"] == 2
    assert [(e["kind"], e["tag"], e["state"]) for e in dog["edits"]] == [
        ("add", "Holiday", "pending"),
        ("reject", "beach", "pending"),
    ]
    listed = get(client, "photos", q="cat")["photos"]
    assert [each["pending"] for each in listed] == [2]
    undone = post(client, f"edits/{edit['id']}/undo", {})
    assert undone["photos"] == 2
    get(client, "edits/latest", 404)
    by_query = post(client, "edits", {"query": "dog OR cat", "add": ["pet"]})
    assert by_query["photos"] == 3
    assert [row[0] for row in database.rows("SELECT DISTINCT asked_by FROM edits")] == ["gallery"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 400),
        ({"add": ["x"]}, 400),
        ({"photos": [1]}, 400),
        ({"photos": [], "add": ["x"]}, 400),
        ({"photos": [1], "query": "dog", "add": ["x"]}, 400),
        ({"photos": [1], "add": ["a/b"]}, 400),
        ({"photos": [1], "add": ["x"], "reject": ["X"]}, 400),
        ({"photos": [99_999], "add": ["x"]}, 400),
        ({"photos": list(range(1001)), "add": ["x"]}, 400),
        ({"photos": [2**32], "add": ["x"]}, 400),
        ({"photos": ["1"], "add": ["x"]}, 400),
        ({"photos": [1], "add": ["x"], "by": "me"}, 400),
        ({"query": "nothing", "add": ["x"]}, 400),
        ({"query": "foldr:x", "add": ["x"]}, 400),
        ([], 400),
        ("", 400),
    ],
)
def test_edits_that_make_no_sense_are_refused(
    client: TestClient, database: Database, sent: Any, status: int
) -> None:
    post(client, "edits", sent, status)
    assert database.rows("SELECT * FROM edits") == []


def test_too_many_photos_are_refused_with_their_number(tmp_path: Path) -> None:
    path = with_many(tmp_path / "photoramd.db", 1101, "failed", "x")
    with TestClient(make_app(site_on(path))) as client:
        problem = post(client, "edits", {"query": "", "add": ["x"]}, 413)
        assert "1,101 photos" in problem["title"]
        assert post(client, "retry", {"reason": "x"}) == {"photos": 1000, "left": 101}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"photos":[1],"add":["\\ud800"]}'])
def test_a_body_that_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    for path in ("edits", "retry", "edits/1/undo"):
        assert client.post(f"{API}/{path}", content=body).status_code == 400


def test_photos_that_the_real_daemon_tagged_are_found_edited_and_compared(
    put: Callable[[str, str], Path], configure: Callable[..., Config], scan: Scan, album: Path,
    exiftool: Callable[..., str],
) -> None:  # fmt: skip
    for sample, name in (("cat", "a/cat.png"), ("cat", "b/again.png"), ("china", "a/china.jpg")):
        put(sample, name)
    config = configure()
    scan(config)
    site = Site(config, config.state.path, Readers(config.state.path))
    with TestClient(make_app(site)) as client:
        cat, again = (
            next(each for each in get(client, "photos")["photos"] if each["name"] == name)
            for name in ("cat.png", "again.png")
        )
        assert cat["tags"]
        details = get(client, f"photos/{cat['id']}")
        assert details["copies"] == 1
        assert get(client, "layout", q=details["links"]["same"])["total"] == 2
        similar = get(client, f"photos/{cat['id']}/similar")["photos"]
        assert (similar[0]["id"], round(similar[0]["likeness"], 2)) == (again["id"], 1)
        assert cat["id"] not in [each["id"] for each in similar]
        known = cat["tags"][0]["name"]
        edit = post(client, "edits", {"photos": [cat["id"]], "add": ["Minka"], "reject": [known]})
        scan(config)
        progress = get(client, f"edits/{edit['id']}")
        assert (progress["pending"], progress["done"], progress["failures"]) == (0, 2, [])
        cat = get(client, f"photos/{cat['id']}")
        assert known in cat["rejected"]
        assert known not in [tag["name"] for tag in cat["tags"]]
        assert [p["id"] for p in get(client, "photos", q="Minka")["photos"]] == [cat["id"]]
        written = exiftool("-XMP-dc:Subject", "-s3", album / "a" / "cat.png.xmp")
        assert "Minka" in written
        assert known not in written.strip().split(", ")
        post(client, f"edits/{edit['id']}/undo", {})
        scan(config)
        assert get(client, "layout", q="Minka")["total"] == 0
        assert known in [tag["name"] for tag in get(client, f"photos/{cat['id']}")["tags"]]


# Requests in general


@pytest.mark.parametrize(
    "path",
    [
        "layout?x=1", "layout?q=a&q=b", "layout?sort=random", "layout?anchor=-1",
        f"layout?anchor={2**32}", f"layout?q={'a' * 4097}", "photos?limit=0", "photos?limit=501",
        "photos?limit=1.5", "photos?limit=", "photos?at=-1", "photos?at=99999999999",
        "photos?after=x", "photos?after=&at=1", "photos?after=&version=1", "photos/x",
        "photos/-1", f"photos/{2**32}", "photos/1?id=2", "photos/1/similar?limit=0",
        "tags?sort=x", "complete?cursor=-1", "status?x", "edits/x", "facets?q=%00%22",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_reason(client: TestClient, path: str) -> None:
    problem = client.get(f"{API}/{path}")
    assert problem.status_code == 400, problem.text
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["title"]


def test_what_is_not_there_is_said_to_be(client: TestClient) -> None:
    for path in ("photos/99999", "edits/99999", "nothing", "photos/1/nothing"):
        problem = client.get(f"{API}/{path}")
        assert problem.status_code == 404
        assert problem.headers["content-type"] == "application/problem+json"
    assert client.post(f"{API}/layout", json={}).status_code == 405


def test_a_question_that_takes_too_long_is_given_up_and_the_next_one_is_answered(
    database: Database,
) -> None:
    fill(database)
    site = site_on(database.path)
    object.__setattr__(site, "readers", Readers(database.path, seconds=0.3))
    with TestClient(make_app(site)) as client:
        get(client, "layout")

        def slow() -> None:
            site.readers.ask_here(
                lambda reader: reader.connection.execute(
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
                    " SELECT count(*) FROM n"
                ).fetchall()
            )

        with pytest.raises(Exception, match="longer than"):
            slow()
        assert get(client, "layout")["total"] == 5


def test_a_database_that_is_not_there_yet_is_told_and_then_served(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with TestClient(make_app(site_on(path))) as client:
        for name in ("layout", "photos", "facets", "tags", "status", "failed", "complete"):
            assert get(client, name, 503)["detail"]
        post(client, "edits", {"photos": [1], "add": ["x"]}, 503)
        connect(path).close()
        assert get(client, "layout")["total"] == 0
        assert get(client, "photos") == {
            "total": 0, "photos": [], "at": 0, "next": None,
            "version": get(client, "layout")["version"],
        }  # fmt: skip
        assert get(client, "facets")["groups"][0]["entries"] == []


def test_a_server_that_stays_answers_as_a_new_one_while_all_changes(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer, TestClient(make_app(site_on(path))) as stays:
        writer.execute("BEGIN")
        rows = Rows(writer, 5)
        rows.fill(9)
        writer.execute("COMMIT")
        asked = [
            f"{name}{query}"
            for query in ("q=", "q=dog", "q=NOT+animal", "q=is:missing+OR+cat")
            for name in ("layout?", "facets?", "tags?", "layout?sort=path&", "layout?sort=added&")
        ]
        for step in range(12):
            writer.execute("BEGIN")
            for _ in range(step % 4):
                rows.change()
            if step % 3 == 2:
                derived.fold(writer, above=0)
            writer.execute("COMMIT")
            with TestClient(make_app(site_on(path))) as fresh:
                for each in asked:
                    answers = [c.get(f"{API}/{each}").text for c in (stays, fresh)]
                    assert answers[0] == answers[1], each


def test_many_clients_are_answered_at_once_while_the_daemon_writes(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    wrong: list[str] = []
    with closing(connect(path)) as writer, TestClient(make_app(site_on(path))) as client:
        writer.execute("BEGIN")
        rows = Rows(writer, 7)
        rows.fill(13)
        writer.execute("COMMIT")
        is_over = threading.Event()

        def ask(path: str) -> Callable[[], None]:
            def loop() -> None:
                while not is_over.is_set():
                    response = client.get(f"{API}/{path}")
                    if response.status_code not in (200, 409):
                        wrong.append(response.text)

            return loop

        paths = ("layout", "photos?limit=5", "facets?q=-dog", "tags", "layout?sort=path", "status")
        threads = [threading.Thread(target=ask(each)) for each in paths]
        for thread in threads:
            thread.start()
        for step in range(60):
            writer.execute("BEGIN")
            rows.change()
            if step % 10 == 9:
                derived.fold(writer, above=0)
            writer.execute("COMMIT")
        is_over.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        hits = writer.execute("SELECT count(*) FROM photos WHERE state <> 'missing'").fetchone()
        assert get(client, "layout")["total"] == hits[0]
