"""Attacks on the gallery's server: other sites, odd requests, and clients that only hold on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from photoramd.net.connections import REQUEST_SECONDS
from photoramd.net.listener import MOST_CONNECTIONS
from photoramd.web.events import MOST_CLIENTS
from photoramd.web.headers import HEADERS
from tests.support.clock import bound
from tests.support.daemons import Photoramd, wait_for
from tests.support.gallery import Events, Gallery, new_token, read_all, status_of

pytestmark = pytest.mark.usefixtures("gallery")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """A server without photos and without a token."""
    directory = tmp_path_factory.mktemp("gallery").resolve()
    album = directory / "album"
    album.mkdir()
    photoramd = Photoramd(directory, album)
    assert photoramd.run("scan").returncode == 1
    with Gallery(photoramd) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def alive(gallery: Gallery) -> bool:
    return status_of(gallery.get("/healthz")) == 200


def test_a_name_of_another_site_that_leads_here(gallery: Gallery) -> None:
    for host in ("evil.example", f"evil.example:{gallery.port}", "localhost.evil.example"):
        request = f"GET /api/v1/photos HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert status_of(gallery.exchange(request.encode())) == 421
    assert status_of(gallery.exchange(b"GET / HTTP/1.0\r\n\r\n")) == 400
    assert status_of(gallery.exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
    assert status_of(gallery.exchange(two)) == 400
    # RFC 9112, 3.2.2: what the line names would go before Host.
    proxy = b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert status_of(gallery.exchange(proxy)) in (400, 404)


def post(gallery: Gallery, *headers: str, body: str = "{}") -> int:
    lines = ["POST /api/v1/retry HTTP/1.1", f"Host: 127.0.0.1:{gallery.port}", *headers]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", body]
    return status_of(gallery.exchange("\r\n".join(lines).encode("latin-1")))


def test_a_form_of_another_site(gallery: Gallery) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    text, json = "Content-Type: text/plain", "Content-Type: application/json"
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{gallery.port + 1}"):
        for kind in (form, text, json):
            assert post(gallery, kind, f"Origin: {origin}") == 403
    assert post(gallery, json, "Sec-Fetch-Site: cross-site") == 403
    for kind in (form, text, ""):
        assert post(gallery, *filter(None, [kind, "Sec-Fetch-Site: same-origin"])) == 415
    own = f"Origin: http://127.0.0.1:{gallery.port}"
    assert post(gallery, json, own) not in (403, 415)


@pytest.mark.parametrize(
    "path",
    ["/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/../etc/passwd",
     "/static/..%2f..%2f..%2fetc%2fpasswd", "/static//etc/passwd", "/static/%2fetc/passwd",
     "/static/..\\..\\etc\\passwd", "/static/%5c..%5c", "/static/%00", "/%ff%fe", "/static/%ff",
     "/api/v1/photos/../../../etc/passwd/original", "/api/v1/photos/..%2f1/original",
     "/api/v1/photos/1%00/original", "/api/v1/photos/-1/original", "/api/v1/photos/%2fetc/original",
     "/api/v1/photos/99999999999999999999999/original", "/api/v1/photos/1/original/..",
     "/api/v1/photos/1/%2e%2e/original", "//evil.example/", "/api/v1/photos/1/thumbnail;x"],
)  # fmt: skip
def test_paths_that_lead_elsewhere(gallery: Gallery, path: str) -> None:
    answer = gallery.get(path)
    assert status_of(answer) in (400, 404), answer
    assert b"root:" not in answer
    assert b"traceback" not in answer.lower()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2, 3\r\n\r\n{}",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x2\r\n\r\n{}",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n X: folded\n\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-\x00: y\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
    ],
)
def test_requests_that_may_be_understood_in_two_ways(gallery: Gallery, request_: bytes) -> None:
    with closing(gallery.connect()) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    # One answer, if any, and no second request is found in the rest.
    assert status_of(answer) in (0, 400, 413, 421, 501), answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"\r\n\r\nok\n" not in answer
    if answer:
        for name, value in HEADERS.items():
            assert f"{name}: {value}".lower().encode() in answer.lower()


def test_what_is_too_long(gallery: Gallery) -> None:
    assert status_of(gallery.get("/api/v1/photos?q=" + "x" * 9_000)) == 414
    assert status_of(gallery.get("/" + "x" * 9_000)) == 414
    assert status_of(gallery.get("/healthz", "X-Long: " + "x" * 40_000)) in (0, 400, 431)
    assert status_of(gallery.get("/healthz", *(f"X-{n}: y" for n in range(10_000)))) in (
        0,
        400,
        431,
    )
    assert post(gallery, "Content-Type: application/json", body=" " * 70_000) in (0, 413)
    chunk = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    head = (
        b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    assert status_of(gallery.exchange(head + chunk * 3)) in (0, 404, 413)
    assert alive(gallery)


def test_text_that_is_not_utf_8(gallery: Gallery) -> None:
    assert status_of(gallery.get("/healthz", "Cookie: photoramd=\xff\xfe", "X: \x80")) == 200
    assert status_of(gallery.get("/healthz?q=%ff%fe")) == 200
    assert status_of(gallery.get("/healthz", "Authorization: Bearer \xff")) == 200
    assert status_of(gallery.get("/healthz", "Host: \xff")) == 400


def test_clients_that_send_slowly_or_nothing_lose_their_connection(
    tmp_path: Path, album: Path
) -> None:
    photoramd = Photoramd(tmp_path, album)
    new_token(photoramd, tmp_path / "token")
    # With a token, whoever is to log in may send a body.
    with Gallery(photoramd, "--token-file", tmp_path / "token") as running:
        lose_slow_ones(running)
        assert alive(running)
        assert running.stop() == 0
        assert "Traceback" not in running.log


def lose_slow_ones(gallery: Gallery) -> None:
    head = b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    beginnings = [
        b"",
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
        head + b"Content-Length: 1000\r\n\r\n{",
        head + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{",
        # Answered long before all of it has come.
        b"POST /healthz HTTP/1.1\r\nHost: evil\r\nContent-Length: 60000\r\n\r\n",
    ]
    with ExitStack() as stack:
        began = time.monotonic()
        slow = [stack.enter_context(closing(gallery.connect())) for _ in beginnings]
        for connection, beginning in zip(slow, beginnings, strict=True):
            connection.sendall(beginning)
            connection.setblocking(False)
        open_ones = dict(zip(slow, beginnings, strict=True))
        answers: dict[bytes, bytes] = dict.fromkeys(beginnings, b"")

        def drip() -> bool:
            """Send one more byte each; note who is closed."""
            for connection, beginning in list(open_ones.items()):
                try:
                    received = connection.recv(65536)
                    answers[beginning] += received
                    if not received:
                        del open_ones[connection]
                        continue
                except BlockingIOError:
                    pass
                except ConnectionError:
                    del open_ones[connection]
                    continue
                if beginning:
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        open_ones.pop(connection, None)
            time.sleep(0.2)
            return not open_ones

        assert alive(gallery)
        wait_for(drip, "slow clients to be closed")
        # Bytes that come one by one do not prolong it.
        assert time.monotonic() - began < bound(3 * REQUEST_SECONDS)
    for beginning in beginnings[:5]:
        assert status_of(answers[beginning]) in (0, 408)
    assert {status_of(answers[each]) for each in beginnings[:5]} >= {408}
    assert status_of(answers[beginnings[5]]) == 421


def test_a_hundred_pages_that_listen(gallery: Gallery) -> None:
    with ExitStack() as stack:
        pages = []
        for _ in range(100):
            page = Events(gallery)
            stack.callback(page.close)
            pages.append(page)
        statuses = [page.status for page in pages]
        assert statuses == [200] * MOST_CLIENTS + [503] * (100 - MOST_CLIENTS)
        for page in pages[:MOST_CLIENTS]:
            assert page.until("status")["running"] is False
        # Everything else goes on.
        assert alive(gallery)
        assert status_of(gallery.get("/metrics")) == 200
    # Whoever comes when they have gone is served.

    def served() -> bool:
        with closing(Events(gallery)) as page:
            return page.status == 200

    wait_for(served)


def test_many_connections_that_do_nothing(gallery: Gallery) -> None:
    with ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            stack.enter_context(closing(gallery.connect()))
        wait_for(lambda: status_of(gallery.get("/healthz")) == 503)
        # They are closed in the end, and then others get their turn.
        wait_for(lambda: alive(gallery))


def test_several_requests_on_one_connection(gallery: Gallery) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert gallery.exchange(one * 20 + last).count(b"\r\n\r\nok\n") == 21
    assert status_of(gallery.exchange(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n"
                                      b"Connection: close\r\n\r\n")) == 200  # fmt: skip


Put = Callable[[str, str], Path]


def test_changes_and_edits_are_told_as_they_happen(tmp_path: Path, album: Path, put: Put) -> None:
    photoramd = Photoramd(tmp_path, album)
    put("cat", "a.jpg")
    photoramd.run("scan")
    with Gallery(photoramd) as running, closing(Events(running)) as page:
        first = page.until("change")["version"]
        page.until("status", running=False, pending=0)
        photoramd.start()
        page.until("status", running=True)
        put("coffee", "b.jpg")
        photoramd.wait_for_states(written=2)
        assert page.until("change")["version"] != first
        done = photoramd.run("edit", album / "a.jpg", "--add", "mine", "--wait")
        assert done.returncode == 0, done.stderr
        assert page.until("edit", done=1) == {"id": 1, "pending": 0, "done": 1, "failed": 0}
        assert photoramd.stop() == 0
        page.until("status", running=False)
    photoramd.close()
