"""The section ``[gallery]``: where the server listens, and the names it is reached by."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoramd.config import loader
from photoramd.config.addresses import address_of, split_host


def examine(tmp_path: Path, text: str) -> loader.Report:
    path = tmp_path / "config.toml"
    path.write_text(f"[gallery]\n{text}\n[state]\npath = '{tmp_path}/photoramd.db'\n")
    return loader.examine(path, need_watch=False)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8700", ("127.0.0.1", 8700)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("[::]:8700", ("::", 8700)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),  # noqa: S104
        ("unix:/run/photoramd/gallery.sock", Path("/run/photoramd/gallery.sock")),
    ],
)
def test_addresses_to_listen_on(listen: str, expected: object) -> None:
    assert address_of(listen) == expected


@pytest.mark.parametrize(
    "listen",
    ["", "8700", "127.0.0.1", "nas.lan:8700", ":8700", "127.0.0.1:65536", "::1:80",
     "unix:relative", "unix:", "unix:/" + "a" * 107, "unix:/a\0b", "[::1%eth0]:80", "127.1:80"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_what_is_allowed(listen: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)allowed: "):
        address_of(listen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOCALHOST:1", ("localhost", 1)),
        ("photos.lan", ("photos.lan", None)),
        ("[0:0:0:0:0:0:0:1]", ("::1", None)),
        ("[::ffff:10.0.0.1]:80", ("10.0.0.1", 80)),
        ("user@nas", None),
        ("nas..lan", None),
        ("nas:", None),
        ("nas:1:2", None),
        ("nas:99999", None),
        ("[nas]", None),
        ("[::1", None),
        ("::1", None),
        ("nas lan", None),
        ("nas/", None),
        ("a." * 200, None),
        ("", None),
    ],
)
def test_hosts_of_requests(text: str, expected: tuple[str, int | None] | None) -> None:
    assert split_host(text) == expected


def test_the_values_of_a_file(tmp_path: Path) -> None:
    gallery = examine(
        tmp_path,
        "listen = '[::]:80'\ntoken_file = '~/token'\nhosts = ['photos.lan', 'nas:8443']\n"
        "base_path = '/photos'\ntrusted_proxies = ['10.0.0.0/8', '::1', 'unix']\n",
    ).accept()  # fmt: skip
    assert gallery.gallery.listen == "[::]:80"
    assert Path(gallery.gallery.token_file) == Path.home() / "token"
    assert gallery.gallery.hosts == ("photos.lan", "nas:8443")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen = '8700'", "gallery.listen: 8700 is not allowed; allowed: an address and a port"),
        ("token_file = 'token'", 'gallery.token_file: "token" is a relative path'),
        ("hosts = ['http://nas']", "gallery.hosts: http://nas is not allowed; allowed: a name"),
        ("hosts = ['*']", "gallery.hosts: * is not allowed"),
        ("base_path = 'photos'", "gallery.base_path: photos is not allowed; allowed: a path"),
        ("base_path = '/photos/'", "gallery.base_path: /photos/ is not allowed"),
        ("base_path = '/a/../b'", "gallery.base_path: /a/../b is not allowed"),
        ("base_path = '//nas'", "gallery.base_path: //nas is not allowed"),
        ("trusted_proxies = ['*']", "gallery.trusted_proxies: * is not allowed; allowed: addr"),
    ],
)
def test_what_is_not_allowed(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = examine(tmp_path, text).problems
    assert found.startswith(problem)
