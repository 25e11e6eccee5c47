"""What the gate lets through, and what it refuses before the application sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from photoramd.config.gallery import Gallery
from photoramd.config.schema import Config
from photoramd.system.token import Token
from photoramd.web import problems
from photoramd.web.access import MOST_FAILURES, Access
from photoramd.web.gate import MOST_ADDRESS_BYTES, MOST_BODY_BYTES, guarded
from photoramd.web.headers import HEADERS
from photoramd.web.login import ROUTES
from photoramd.web.readers import Readers
from photoramd.web.site import Site
from tests.support import loops

SECRET = "Zx3vT0qk9LwYb5nJ2cRf7Q"  # noqa: S105
BEARER = {"Authorization": f"Bearer {SECRET}"}
JSON = {"Content-Type": "application/json"}


async def echo(request: Request) -> JSONResponse:
    """Say what arrived."""
    body = await request.body()
    client = request.client.host if request.client else None
    return JSONResponse(
        {
            "path": request.url.path,
            "root": request.scope["root_path"],
            "bytes": len(body),
            "scheme": request.url.scheme,
            "client": client,
        }
    )


Make = Callable[..., TestClient]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A client of an application behind the gate: make(token=True, hosts=("nas",))."""

    def client(
        *, token: bool = False, why_read_only: str | None = None, base_url: str = "", **gallery: Any
    ) -> TestClient:
        database = tmp_path / "photoramd.db"
        site = Site(
            Config(gallery=Gallery(**gallery)),
            database,
            Readers(database),
            Access(Token(SECRET)) if token else None,
            why_read_only,
        )
        app = Starlette(
            routes=[*ROUTES, Route("/{path:path}", echo, methods=["GET", "POST"])],
            exception_handlers={
                problems.HTTPException: problems.on_http_error,
            },
        )
        app.state.site = site
        return TestClient(
            guarded(app, site),
            base_url=base_url or "http://127.0.0.1:8700",
            client=("10.9.8.7", 5000),
            follow_redirects=False,
        )

    return client


def test_every_response_has_the_headers(make: Make) -> None:
    client = make(token=True)
    answers = [
        client.get("/healthz"),
        client.get("/"),
        client.get("/api/v1/status"),
        client.get("/healthz", headers={"Host": "evil.example"}),
        client.post("/api/v1/login", json={}),
        client.get("/none", headers=BEARER | {"Range": "bytes=0-"}),
        client.request("TRACE", "/"),
    ]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, answer.url


def test_a_name_that_another_site_has_lead_here_is_refused(make: Make) -> None:
    client = make(hosts=("photos.lan",))
    for host in ("evil.example", "evil.example:8700", "127.0.0.1.evil.example"):
        answer = client.get("/api/v1/photos", headers={"Host": host})
        assert answer.status_code == 421
        assert answer.json()["detail"].startswith("name it under hosts")
    assert client.get("/api/v1/photos", headers={"Host": "photos.lan"}).status_code == 200
    assert client.get("/", headers={"Host": "evil", "X-Forwarded-Host": "photos.lan"}).is_error
    assert client.get("/", headers=[("Host", "photos.lan"), ("Host", "evil.example")]).is_error


def test_in_a_container_it_answers_to_addresses_that_only_its_host_has(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = {"Host": "192.168.1.20:8700"}
    assert make(token=True).get("/login", headers=outer).status_code == 421
    monkeypatch.setenv("container", "oci")
    client = make(token=True)
    assert client.get("/login", headers=outer).status_code == 200
    assert client.get("/api/v1/photos", headers=outer).status_code == 401
    answer = client.get("/login", headers={"Host": "nas.lan:8700"})
    assert answer.status_code == 421
    assert "GALLERY_HOST" in answer.text


def test_a_form_of_another_site_changes_nothing(make: Make) -> None:
    client = make()
    foreign = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8700"},
    ]
    for headers in foreign:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            answer = client.post(
                "/api/v1/edits", content=b"{}", headers={**headers, "Content-Type": kind}
            )
            assert answer.status_code == 403


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
     "text/plain; application/json", "application/json-seq"],
)  # fmt: skip
def test_what_a_form_can_send_is_no_json(make: Make, kind: str) -> None:
    headers = {"Content-Type": kind, "Sec-Fetch-Site": "same-origin"}
    assert make().post("/api/v1/edits", content=b"{}", headers=headers).status_code == 415


def test_own_pages_and_programs_may_change_something(make: Make) -> None:
    client = make()
    given: list[dict[str, str]] = [
        {},
        {"Origin": "http://127.0.0.1:8700"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Content-Type": "application/json; charset=utf-8"},
    ]
    for headers in given:
        answer = client.post("/api/v1/edits", content=b"{}", headers=JSON | headers)
        assert answer.json()["bytes"] == 2


def test_another_site_may_lead_here_but_embed_nothing(make: Make) -> None:
    client = make()
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/api/v1/photos/1/thumbnail", headers=embedded).status_code == 403
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/p/1", headers=link).status_code == 200


# The token


def test_without_the_token_pages_lead_to_the_login_and_programs_get_401(make: Make) -> None:
    client = make(token=True)
    for path in ("/api/v1/photos", "/api/v1/photos/1/original", "/api/v1/events", "/metrics"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="photoramd"'
    assert client.post("/api/v1/edits", content=b"{}", headers=JSON).status_code == 401
    answer = client.get("/p/5", params={"q": "cat & dog"})
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/login?next=p%2F5%3Fq%3Dcat%2B%2526%2Bdog",
    )
    assert client.get("/").headers["Location"] == "/login"
    for path in ("/healthz", "/login", "/static/gallery.css"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/static/%2e%2e/api/v1/photos", "/static/..%2fapi/v1/photos", "/static//api/v1/photos",
     "/static/..%5capi", "/static/%00", "/static/a%0d%0ab", "/%2e/api/v1/photos"],
)  # fmt: skip
def test_no_path_leads_around_the_token(make: Make, path: str) -> None:
    assert make(token=True).get(path).status_code in (303, 400, 401)
    assert make().get(path).status_code in (200, 400)


def test_the_token_as_bearer(make: Make) -> None:
    client = make(token=True)
    assert client.get("/api/v1/photos", headers=BEARER).status_code == 200
    assert client.get("/", headers={"Authorization": f"bearer  {SECRET}"}).status_code == 200
    wrong = ["Bearer", "Bearer ", "Bearer x", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}",
             f"Bearer {SECRET.lower()}", "Bearer é"]  # fmt: skip
    for value in wrong:
        answer = client.get("/api/v1/photos", headers={"Authorization": value.encode()})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    for value in (f"Basic {SECRET}", SECRET, ""):
        assert client.get("/metrics", headers={"Authorization": value}).status_code == 401


def test_the_token_is_compared_before_a_body_is_read(make: Make) -> None:
    client = make(token=True)

    def body() -> Any:
        raise AssertionError("it was read")
        yield b""

    answer = client.post(
        "/api/v1/edits", content=body(), headers=JSON | {"Authorization": "Bearer x"}
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["token", "TOKEN", "access_token", "%74oken"])
@pytest.mark.parametrize("token", [True, False])
def test_a_token_in_an_address_is_refused_and_not_logged(
    make: Make, name: str, token: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(token=token)
    answer = client.get(f"/?q=cat&{name}={SECRET}", headers=BEARER)
    assert answer.status_code == 400
    assert SECRET not in answer.text + caplog.text
    assert "a token in its address" in caplog.text


def test_logging_in_and_out(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make(token=True)
    answer = client.post("/api/v1/login", json={"token": SECRET})
    assert answer.status_code == 204
    cookie = answer.headers["Set-Cookie"]
    assert SECRET not in cookie
    assert {each.strip() for each in cookie.split(";")[1:]} == {
        "HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=strict"
    }  # fmt: skip
    assert client.get("/api/v1/photos").status_code == 200
    kept = client.cookies["photoramd"]
    assert client.post("/api/v1/logout", json={}).status_code == 204
    assert client.get("/api/v1/photos").status_code == 401
    # Who copied the cookie has no use for it either.
    assert client.get("/api/v1/photos", headers={"Cookie": f"photoramd={kept}"}).status_code == 401
    assert SECRET not in caplog.text
    assert kept not in caplog.text


def test_cookies_that_are_none_of_ours(make: Make) -> None:
    client = make(token=True)
    client.post("/api/v1/login", json={"token": SECRET})
    kept = client.cookies["photoramd"]
    client.cookies.clear()
    for cookie in (f"photoramd={SECRET}", "photoramd=", f"other={kept}", "photoramd", ";;=;"):
        assert client.get("/metrics", headers={"Cookie": cookie}).status_code == 401
    for cookie in (f"photoramd=x; photoramd={kept}", f"a=b;photoramd={kept}"):
        assert client.get("/metrics", headers={"Cookie": cookie}).status_code == 200


def test_a_login_that_is_malformed(make: Make) -> None:
    client = make(token=True)
    bodies = [b"", b"{", b"[]", b'{"token": 1}', b'{"token": "x", "y": 1}', b"\xff", b"{}"]
    for body in bodies:
        answer = client.post("/api/v1/login", content=body, headers=JSON)
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            400,
            "application/problem+json",
        )
    assert make().post("/api/v1/login", json={"token": "x"}).status_code == 404


def test_wrong_tokens_come_slowly(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make(token=True)
    for number in range(MOST_FAILURES):
        if number % 2:
            answer = client.post("/api/v1/login", json={"token": "wrong"})
        else:
            answer = client.get("/metrics", headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
    answer = client.post("/api/v1/login", json={"token": SECRET})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert client.get("/metrics", headers=BEARER).status_code == 429
    assert caplog.text.count("a wrong token came from 10.9.8.7") == MOST_FAILURES


# Proxies


def test_forwarded_headers_of_others_are_not_believed(make: Make) -> None:
    given = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "Forwarded": "for=1.2.3.4"}
    for proxies in ((), ("192.168.0.0/16",), ("unix",)):
        answer = make(trusted_proxies=proxies).get("/", headers=given).json()
        assert (answer["client"], answer["scheme"]) == ("10.9.8.7", "http")


def test_trusted_proxies_tell_the_client_and_https(make: Make) -> None:
    given = {"X-Forwarded-For": "6.6.6.6, 1.2.3.4, 10.1.1.1", "X-Forwarded-Proto": "https"}
    client = make(trusted_proxies=("10.0.0.0/8",), token=True)
    answer = client.get("/x", headers=given | BEARER).json()
    assert (answer["client"], answer["scheme"]) == ("1.2.3.4", "https")
    login = client.post("/api/v1/login", json={"token": SECRET}, headers=given)
    assert "; Secure" in login.headers["Set-Cookie"]


def test_below_a_path_whether_a_proxy_removes_it_or_not(make: Make) -> None:
    client = make(base_path="/photos", token=True)
    for path in ("/photos/p/1", "/p/1"):
        answer = client.get(path, headers=BEARER).json()
        assert (answer["path"], answer["root"]) == ("/photos/p/1", "/photos")
        assert client.get(path).headers["Location"] == "/photos/login?next=p%2F1"
        assert client.get(path.replace("p/1", "api/v1/photos")).status_code == 401
        assert client.get(path.replace("p/1", "healthz")).status_code == 200
    answer = client.get("/photos?q=cat")
    assert (answer.status_code, answer.headers["Location"]) == (308, "/photos/?q=cat")
    login = client.post("/photos/api/v1/login", json={"token": SECRET})
    assert "; Path=/photos;" in login.headers["Set-Cookie"]


# Limits


def test_long_addresses_and_bodies_are_refused(make: Make) -> None:
    client = make()
    answer = client.get("/", params={"q": "x" * MOST_ADDRESS_BYTES})
    assert answer.status_code == 414
    assert client.get("/", params={"q": "x" * (MOST_ADDRESS_BYTES - 9)}).status_code == 200
    full = b" " * MOST_BODY_BYTES
    assert client.post("/x", content=full, headers=JSON).json()["bytes"] == MOST_BODY_BYTES
    answer = client.post("/x", content=full + b" ", headers=JSON)
    assert (answer.status_code, answer.headers["Connection"]) == (413, "close")
    # Its length is not told, as pieces come one by one.
    answer = client.post("/x", content=iter([full, b" "]), headers=JSON)
    assert (answer.status_code, answer.json()["title"]) == (
        413,
        "the request is larger than 64 KiB",
    )


def test_ambiguous_lengths_are_refused(make: Make) -> None:
    for headers in (
        [("Content-Length", "2"), ("Content-Length", "2")],
        [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
    ):
        answer = make().post("/x", content=b"{}", headers=[*headers, *JSON.items()])
        assert answer.status_code == 400


def test_nothing_changes_where_it_is_read_only(make: Make) -> None:
    client = make(why_read_only="the database is another user's", token=True)
    for path in ("/api/v1/edits", "/api/v1/retry"):
        answer = client.post(path, content=b"{}", headers=JSON | BEARER)
        assert answer.status_code == 403
        assert answer.json()["detail"] == "the database is another user's"
    assert client.post("/api/v1/login", json={"token": SECRET}).status_code == 204
    assert client.get("/api/v1/photos").status_code == 200
    assert client.post("/api/v1/logout", json={}).status_code == 204


def test_websockets_are_not_spoken(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = make().get("/", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert answer.status_code == 200


FOREIGN = {
    "type": "http", "method": "POST", "scheme": "http", "path": "/x", "raw_path": b"/x",
    "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "http_version": "1.1",
    "server": ("127.0.0.1", 8700),
    "headers": [(b"host", b"127.0.0.1:8700"), (b"origin", b"https://evil.example")],
}  # fmt: skip
"""A request that another site makes."""


@pytest.mark.parametrize("pieces", [1, 3, 100])
def test_what_is_refused_is_read_first(make: Make, pieces: int) -> None:
    # Who ends a connection with something unread resets it, and a proxy's client sees 502.
    events: list[str] = []
    body = [{"type": "http.request", "body": b"x" * 1000, "more_body": True}] * (pieces - 1)
    messages = iter([*body, {"type": "http.request", "body": b"x", "more_body": False}])

    async def receive() -> Any:
        events.append("read")
        return next(messages)

    async def send(message: Any) -> None:
        events.append(str(message.get("status", "")))

    loops.run(lambda: make().app(dict(FOREIGN), receive, send))
    most = MOST_BODY_BYTES // 1000 + 1
    assert events == [*["read"] * min(pieces, most), "403", ""]


def test_a_body_that_does_not_come_is_not_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoramd.web.gate._DISCARD_SECONDS", 0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message.get("status"))

    loops.run(lambda: make().app(dict(FOREIGN), receive, send))
    assert sent[0] == 403
