"""Downloads: the real client of the hub against a server with the hub's routes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import httpx2
import huggingface_hub
import huggingface_hub.constants
import pytest

from photoramd.errors import IntegrityError, ModelError
from photoramd.models.weights.catalog import HubFile, PinnedFile
from photoramd.models.weights.download import MIRROR_VARIABLE, Downloader
from photoramd.models.weights.verified import WrongBytesError
from tests.support.hub_server import PROXIED, REPOSITORY, REVISION, Fault, HubServer, serve
from tests.support.programs import refusing

DATA = Random(1).randbytes(300_000)  # noqa: S311
SHA256 = hashlib.sha256(DATA).hexdigest()

ON_HUB = PinnedFile(
    name="weights.pth",
    size_bytes=len(DATA),
    sha256=SHA256,
    source="hub",
    remedy="photoramd model fetch test",
    folder="test",
    hub=HubFile(REPOSITORY, REVISION),
)
ON_WEB = replace(
    ON_HUB, name="list.txt", hub=None, url="https://raw.githubusercontent.com/a/b/list.txt"
)
IN_ZOO = replace(ON_WEB, size_bytes=None, sha256=SHA256[:8], about_bytes=299_000)

both = pytest.mark.parametrize("pin", [ON_HUB, ON_WEB], ids=["hub", "web"])


@pytest.fixture
def server() -> Iterator[HubServer]:
    with serve() as running:
        running.files[ON_HUB.name] = DATA
        running.mirrored["raw.githubusercontent.com/a/b/list.txt"] = DATA
        yield running
    huggingface_hub.close_session()


@dataclass
class Download:
    """One download, into a file that may have something in it already."""

    server: HubServer
    path: Path
    pauses: list[float]
    progress: int = 0

    def __call__(self, pin: PinnedFile = ON_HUB, attempts: int = 3) -> bytes:
        downloader = Downloader(
            hub_endpoint=self.server.endpoint,
            mirror=self.server.mirror,
            attempts=attempts,
            pause=self.pauses.append,
        )
        self.path.touch()
        with self.path.open("r+b", buffering=0) as file:
            downloader.fetch(pin, file, self.count)
        return self.path.read_bytes()

    def count(self, count: int) -> None:
        self.progress += count

    def content_route(self, pin: PinnedFile) -> str:
        return "cdn" if pin.hub else "mirror"


@pytest.fixture
def download(server: HubServer, tmp_path: Path) -> Download:
    return Download(server, tmp_path / "weights.part", [])


@both
def test_a_file_is_fetched_whole(download: Download, pin: PinnedFile) -> None:
    assert download(pin) == DATA
    assert download.progress == len(DATA)
    assert download.pauses == []


def test_the_pinned_revision_is_asked_for(download: Download) -> None:
    download()
    path = f"/{REPOSITORY}/resolve/{REVISION}/weights.pth"
    asked = [(seen.method, seen.path) for seen in download.server.requests]
    assert asked == [("HEAD", path), ("GET", path), ("GET", "/signed/weights.pth")]


def test_the_hub_is_not_told_what_is_installed(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", False)
    download()
    for seen in download.server.requests:
        assert re.fullmatch(r"photoramd/\S+; hf_hub/\S+; python/\S+", seen.headers["user-agent"])


@both
def test_what_is_there_already_is_not_fetched_again(download: Download, pin: PinnedFile) -> None:
    download.path.write_bytes(DATA[:200_000])
    assert download(pin) == DATA
    assert download.progress == 100_000
    [get] = download.server.gets(download.content_route(pin))
    assert get.headers["range"] == "bytes=200000-"


@both
def test_a_file_that_is_whole_already_costs_no_transfer(
    download: Download, pin: PinnedFile
) -> None:
    download.path.write_bytes(DATA)
    assert download(pin) == DATA
    assert not download.server.gets(download.content_route(pin))


@both
def test_a_file_that_is_too_long_is_begun_anew(download: Download, pin: PinnedFile) -> None:
    download.path.write_bytes(DATA + b"x")
    assert download(pin) == DATA
    assert download.progress == -1


@both
def test_an_interruption_is_resumed_where_it_was(download: Download, pin: PinnedFile) -> None:
    route = download.content_route(pin)
    download.server.faults[route].extend([Fault(cut_after=100_000), Fault(cut_after=50_000)])
    assert download(pin) == DATA
    ranges = [get.headers.get("range") for get in download.server.gets(route)]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert len(download.pauses) == 2


@both
def test_progress_makes_up_for_failures(download: Download, pin: PinnedFile) -> None:
    faults = [Fault(cut_after=20_000), Fault(status=503)] * 5
    download.server.faults[download.content_route(pin)].extend(faults)
    assert download(pin, attempts=3) == DATA
    assert len(download.pauses) == 10


@both
def test_a_server_that_cannot_resume_sends_all_of_it_again(
    download: Download, pin: PinnedFile
) -> None:
    download.path.write_bytes(b"x" * 200_000)
    download.server.faults[download.content_route(pin)].append(Fault(ignores_range=True))
    assert download(pin) == DATA
    assert download.progress == len(DATA) - 200_000


@both
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_error_of_the_server_is_retried(
    download: Download, pin: PinnedFile, status: int
) -> None:
    download.server.faults[download.content_route(pin)].append(Fault(status=status))
    assert download(pin) == DATA
    assert download.pauses == [1.0]


def test_a_passing_error_of_the_hub_itself_is_retried(download: Download) -> None:
    download.server.faults["hub"].extend([Fault(status=503), Fault(status=500)])
    assert download() == DATA
    assert download.pauses == [1.0, 2.0]


def test_a_server_that_asks_for_patience_gets_it_within_bounds(download: Download) -> None:
    download.server.faults["mirror"].extend(
        [
            Fault(status=429, headers={"Retry-After": "7"}),
            Fault(status=503, headers={"Retry-After": "100000"}),
        ]
    )
    assert download(ON_WEB) == DATA
    assert download.pauses == [7.0, 60.0]


@both
def test_a_lasting_error_of_the_server_ends_in_a_remedy(
    download: Download, pin: PinnedFile
) -> None:
    download.server.faults[download.content_route(pin)].extend([Fault(status=503)] * 3)
    with pytest.raises(ModelError, match="503 Service Unavailable; gave up after 3") as caught:
        download(pin)
    assert "model import" in (caught.value.remedy or "")
    assert "goes on where it stopped" in (caught.value.remedy or "")
    assert len(download.pauses) == 2


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("route", ["hub", "cdn"])
def test_a_refusal_by_the_hub_names_the_token(download: Download, route: str, status: int) -> None:
    download.server.faults[route].append(Fault(status=status))
    with pytest.raises(ModelError, match=f"no access to weights.pth: .* {status} ") as caught:
        download()
    assert "HF_TOKEN" in (caught.value.remedy or "")
    assert download.pauses == []


def test_a_repository_that_is_gone_or_closed_names_the_token(download: Download) -> None:
    with pytest.raises(ModelError, match="401") as caught:
        download(replace(ON_HUB, hub=HubFile("someone/else", REVISION)))
    assert "HF_TOKEN" in (caught.value.remedy or "")


def test_a_refusal_by_another_server_does_not_name_the_token(download: Download) -> None:
    download.server.faults["mirror"].append(Fault(status=403))
    with pytest.raises(ModelError, match=r"no access to list\.txt") as caught:
        download(ON_WEB)
    assert "HF_TOKEN" not in (caught.value.remedy or "")


@both
def test_a_file_that_is_not_there_is_not_retried(download: Download, pin: PinnedFile) -> None:
    download.server.files.clear()
    download.server.mirrored.clear()
    with pytest.raises(ModelError, match=r"is not there: .* 404") as caught:
        download(pin)
    assert "model import" in (caught.value.remedy or "")
    assert download.pauses == []


def test_the_token_goes_to_the_hub_and_nowhere_else(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert download() == DATA
    download.path.unlink()
    assert download(ON_WEB) == DATA
    with_token = {
        (seen.method, seen.server)
        for seen in download.server.requests
        if "hf_secret" in " ".join(seen.headers.values())
    }
    assert with_token == {("HEAD", "hub"), ("GET", "hub")}
    assert {seen.server for seen in download.server.requests} == {"hub", "cdn", "mirror"}


def test_another_digest_at_the_hub_is_refused_before_a_byte_is_fetched(download: Download) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    download.server.faults["hub"].append(Fault(headers={"X-Linked-Etag": f'"{other}"'}))
    with pytest.raises(WrongBytesError, match=f"{other}, expected {SHA256}"):
        download()
    assert download.path.read_bytes() == b""
    assert not download.server.gets("cdn")


@both
def test_another_size_is_refused_before_a_byte_is_fetched(
    download: Download, pin: PinnedFile
) -> None:
    download.server.faults["hub"].append(Fault(headers={"X-Linked-Size": "1"}))
    download.server.faults["mirror"].append(Fault(body=b"x"))
    with pytest.raises(IntegrityError, match="1 bytes, expected 300,000"):
        download(pin)
    assert download.path.read_bytes() == b""


def test_a_mirror_of_the_hub_that_tells_less_will_do(download: Download) -> None:
    short = {"X-Linked-Etag": '"abc"', "X-Repo-Commit": "main"}
    download.server.faults["hub"].append(Fault(headers=short))
    assert download() == DATA


def test_a_file_without_a_published_size_is_fetched_and_resumed(download: Download) -> None:
    download.server.faults["mirror"].append(Fault(cut_after=1000))
    assert download(IN_ZOO) == DATA
    assert [get.headers.get("range") for get in download.server.gets("mirror")] == [
        None,
        "bytes=1000-",
    ]
    assert download(IN_ZOO) == DATA  # 416 says that it is whole


def test_a_file_far_from_its_published_size_is_refused(download: Download) -> None:
    with pytest.raises(IntegrityError, match="300,000 bytes, expected about 290,000"):
        download(replace(IN_ZOO, about_bytes=290_000))


def test_an_endless_file_does_not_fill_the_disk(download: Download) -> None:
    """A server that does not say how much it will send."""
    download.server.faults["mirror"].append(
        Fault(headers={"Content-Length": ""}, body=bytes(5_000_000))
    )
    with pytest.raises(IntegrityError, match="more than 598,000 bytes"):
        download(IN_ZOO)
    assert download.path.stat().st_size <= 598_000


def test_proxies_are_used(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    downloader = Downloader(hub_endpoint=PROXIED, mirror=f"{PROXIED}/mirror")
    for pin in (ON_HUB, ON_WEB):
        path = tmp_path / pin.name
        with path.open("w+b", buffering=0) as file:
            downloader.fetch(pin, file, int)
        assert path.read_bytes() == DATA


def test_offline_mode_of_the_client_is_respected(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        download()
    assert download.server.requests == []


def test_no_network_ends_in_a_remedy(server: HubServer, tmp_path: Path) -> None:
    with refusing() as address:
        pauses: list[float] = []
        downloader = Downloader(
            hub_endpoint=address, mirror=address, attempts=4, pause=pauses.append
        )
        for pin in (ON_HUB, ON_WEB):
            with (
                (tmp_path / "part").open("w+b", buffering=0) as file,
                pytest.raises(ModelError, match=r"no connection to 127\.0\.0\.1") as caught,
            ):
                downloader.fetch(pin, file, int)
            assert "photoramd model import FILE" in (caught.value.remedy or "")
            assert caught.value.exit_code == 3
    huggingface_hub.close_session()
    assert pauses == [1.0, 2.0, 4.0] * 2


@pytest.mark.parametrize("address", ["ftp://example.org", "nonsense", "http://[", "http://"])
def test_a_mirror_that_is_no_address_is_named(tmp_path: Path, address: str) -> None:
    downloader = Downloader(mirror=address, pause=lambda _: None)
    with (tmp_path / "part").open("w+b", buffering=0) as file, pytest.raises(ModelError) as caught:
        downloader.fetch(ON_WEB, file, int)
    assert MIRROR_VARIABLE in (caught.value.remedy or "")


def test_an_answer_about_other_bytes_than_asked_for_is_refused(download: Download) -> None:
    download.path.write_bytes(DATA[:1000])
    download.server.faults["mirror"].append(
        Fault(headers={"Content-Range": f"bytes 500-{len(DATA) - 1}/{len(DATA)}"})
    )
    with pytest.raises(ModelError, match="206"):
        download(ON_WEB)
    assert download.path.read_bytes() == DATA[:1000]


def test_a_disk_that_becomes_full_keeps_what_was_fetched(server: HubServer) -> None:
    """/dev/full takes nothing."""
    downloader = Downloader(mirror=server.mirror, pause=lambda _: None)
    with (
        Path("/dev/full").open("r+b", buffering=0) as file,
        pytest.raises(ModelError, match="disk became full") as caught,
    ):
        downloader.fetch(ON_WEB, file, int)
    assert "goes on where it stopped" in (caught.value.remedy or "")


def test_a_redirect_from_an_encrypted_address_to_another_is_refused(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own transport for tests: a certificate that it trusts cannot be had here."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme == "https":
            return httpx2.Response(302, headers={"Location": "http://example.org/list.txt"})
        return httpx2.Response(200, content=DATA)

    client = httpx2.Client
    transport = httpx2.MockTransport(answer)
    monkeypatch.setattr(httpx2, "Client", lambda **kw: client(transport=transport, **kw))
    with (
        (tmp_path / "part").open("w+b", buffering=0) as file,
        pytest.raises(ModelError, match="unencrypted"),
    ):
        Downloader().fetch(ON_WEB, file, int)
    assert (tmp_path / "part").read_bytes() == b""
