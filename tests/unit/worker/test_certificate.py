from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from photoramd.errors import ConfigError, UsageError
from photoramd.worker.certificate import Made, make
from photoramd.worker.tls import server_context

NOW = datetime.now(UTC)


def handshake(made: Made, authority: Path, host: str) -> None:
    """Have a client that verifies strictly, as Python 3.13 does, talk to a server."""
    client = ssl.create_default_context(cafile=authority)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server = server_context(made.certificate, made.key)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    ours.do_handshake()
    assert ours.version() == "TLSv1.3"


@pytest.mark.parametrize("host", ["desktop.lan", "192.0.2.7", "2001:db8::7", "bücher.example"])
def test_a_client_that_knows_the_authority_accepts_it(host: str, tmp_path: Path) -> None:
    made = make(tmp_path / "new", ["other", host], NOW)
    assert made.is_new
    handshake(made, made.authority, host.encode("idna").decode() if host[0] == "b" else host)
    assert made.ends_at - NOW < timedelta(days=731)


def test_others_do_not_accept_it(tmp_path: Path) -> None:
    made, foreign = (make(tmp_path / name, ["desktop.lan"], NOW) for name in "ab")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(made, made.authority, "laptop.lan")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, foreign.authority, "desktop.lan")
    old = make(tmp_path / "old", ["desktop.lan"], NOW - timedelta(days=800))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(old, old.authority, "desktop.lan")


def test_an_authority_is_used_again_and_a_certificate_only_replaced_on_demand(
    tmp_path: Path,
) -> None:
    first = make(tmp_path, ["desktop.lan"], NOW)
    authority, certificate = first.authority.read_bytes(), first.certificate.read_bytes()
    with pytest.raises(UsageError, match="already") as caught:
        make(tmp_path, ["desktop.lan"], NOW)
    assert "--renew" in caught.value.remedy
    assert first.certificate.read_bytes() == certificate
    second = make(tmp_path, ["desktop.lan"], NOW, renews=True)
    assert not second.is_new
    assert second.authority.read_bytes() == authority
    assert second.certificate.read_bytes() != certificate
    handshake(second, first.authority, "desktop.lan")


def test_an_authority_that_has_lost_its_certificate_is_made_again_of_its_key(
    tmp_path: Path,
) -> None:
    first = make(tmp_path / "tls", ["desktop.lan"], NOW)
    key = tmp_path / "tls/ca-key.pem"
    before = key.read_bytes()
    lost = first.authority.rename(tmp_path / "with-daemons.pem")
    elsewhere = tmp_path / "carried.pem", tmp_path / "carried-key.pem"
    for path, copy in zip((first.certificate, first.key), elsewhere, strict=True):
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o600)
    second = make(tmp_path / "tls", ["desktop.lan"], NOW + timedelta(hours=1), renews=True)
    assert second.is_new
    assert key.read_bytes() == before
    handshake(second, second.authority, "desktop.lan")
    handshake(second, lost, "desktop.lan")
    carried = replace(first, certificate=elsewhere[0], key=elsewhere[1])
    handshake(carried, second.authority, "desktop.lan")


def test_a_key_that_cannot_be_used_is_left_as_it_is(tmp_path: Path) -> None:
    make(tmp_path, ["a"], NOW).authority.unlink()
    key = tmp_path / "ca-key.pem"
    key.write_text("another's")
    with pytest.raises(ConfigError, match="no authority's key") as caught:
        make(tmp_path, ["a"], NOW, renews=True)
    assert caught.value.path == str(key)
    assert key.read_text() == "another's"
    assert not (tmp_path / "ca.pem").exists()


def test_it_does_not_outlive_its_authority(tmp_path: Path) -> None:
    made = make(tmp_path, ["a"], NOW)
    late = make(tmp_path, ["a"], NOW + timedelta(days=3600), renews=True)
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    assert late.ends_at == authority.not_valid_after_utc
    with pytest.raises(ConfigError, match="has ended"):
        make(tmp_path, ["a"], NOW + timedelta(days=3651), renews=True)


def test_keys_are_private(tmp_path: Path) -> None:
    made = make(tmp_path / "new", ["a"], NOW)
    modes = {each.name: each.stat().st_mode & 0o777 for each in made.key.parent.iterdir()}
    assert modes == {
        "ca.pem": 0o644,
        "ca-key.pem": 0o600,
        "worker.pem": 0o644,
        "worker-key.pem": 0o600,
    }
    (tmp_path / "new/ca-key.pem").chmod(0o644)
    with pytest.raises(ConfigError, match="others may read the key"):
        make(tmp_path / "new", ["a"], NOW, renews=True)
    made.key.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read the key"):
        server_context(made.certificate, made.key)


@pytest.mark.parametrize("host", ["", "a b", "https://a", "a/b", "-a", ".a", "*.a", "a:8443"])
def test_what_is_no_host(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name or address"):
        make(tmp_path, [host], NOW)
    assert not list(tmp_path.iterdir())


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    one, other = (make(tmp_path / name, ["a"], NOW) for name in "ab")
    with pytest.raises(ConfigError, match="no certificate with its key"):
        server_context(one.certificate, other.key)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        server_context(tmp_path / "missing", one.key)
    assert caught.value.path == str(tmp_path / "missing")
    (tmp_path / "a/ca-key.pem").write_bytes((tmp_path / "b/ca-key.pem").read_bytes())
    with pytest.raises(ConfigError, match="not that of the authority"):
        make(tmp_path / "a", ["a"], NOW, renews=True)
    (tmp_path / "a/ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="no authority"):
        make(tmp_path / "a", ["a"], NOW, renews=True)
