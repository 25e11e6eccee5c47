"""Scenes in which the documentation's examples are run: small models and what befalls them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from urllib.parse import urlsplit

from photoramd.models.weights.catalog import EMBEDDED, RAM_PLUS, HubFile, Model, PinnedFile
from tests.support.documents import Home
from tests.support.hub_server import REPOSITORY, REVISION, Fault, HubServer, serve
from tests.support.samples import ALBUM, sample_photos


def _content(pin: PinnedFile) -> bytes:
    return Random(pin.name).randbytes(min(pin.needed_bytes, 300_000))  # noqa: S311


def _small(pin: PinnedFile) -> PinnedFile:
    """The same file in all but its bytes; none of them ever gets to a parser here."""
    data = _content(pin)
    hub = HubFile(REPOSITORY, REVISION) if pin.hub else None
    digest = hashlib.sha256(data).hexdigest()
    return replace(pin, size_bytes=len(data), sha256=digest, hub=hub)


_SMALL = replace(
    RAM_PLUS,
    weights=_small(RAM_PLUS.weights),
    companions=tuple(map(_small, RAM_PLUS.companions)),
)
SMALL_MODELS: Mapping[str, Model] = {model.name: model for model in (EMBEDDED, _SMALL)}


def photos(home: Home) -> None:
    """Six photos."""
    directory = home.path("/home/you/Photos")
    directory.mkdir()
    for name, sample in ALBUM.items():
        shutil.copyfile(sample_photos()[sample], directory / name)


def configured(home: Home) -> None:
    """One photo, and a configuration that asks for RAM++, which is not installed."""
    directory = home.path("/home/you/Photos")
    directory.mkdir()
    shutil.copyfile(sample_photos()["cat"], directory / "cat.png")
    home.path("/etc/photoramd/config.toml").write_text(
        f"[[watch]]\npath = '{directory}'\n[model]\nname = 'ram++'\n"
    )


def installed(home: Home) -> None:
    """RAM++ is installed, and the configured model."""
    configured(home)
    for pin in _SMALL.files:
        path = home.path(f"/var/lib/photoramd/models/{pin.folder}/{pin.name}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_bytes(_content(pin))
        path.chmod(0o644)


def tampered(home: Home) -> None:
    """One bit of the weights is another."""
    installed(home)
    path = home.path("/var/lib/photoramd/models/ram++/ram_plus_swin_large_14m.pth")
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def writable(home: Home) -> None:
    """Others may write to the weights."""
    installed(home)
    home.path("/var/lib/photoramd/models/ram++/ram_plus_swin_large_14m.pth").chmod(0o666)


def truncated(home: Home) -> None:
    """A file that is no model's has been copied here."""
    data = _content(RAM_PLUS.weights)
    home.path("/home/you/ram_plus_swin_large_14m.pth").write_bytes(data[:-100])


def unreachable(home: Home, server: HubServer) -> None:
    """Nobody answers."""
    server.stop()


def removed(_home: Home, server: HubServer) -> None:
    """The hub no longer has the file at the pinned revision."""
    server.files.clear()


def replaced(_home: Home, server: HubServer) -> None:
    """The hub has another file of the same name and size."""
    server.files[RAM_PLUS.weights.name] = bytes(len(_content(RAM_PLUS.weights)))


def forged(_home: Home, server: HubServer) -> None:
    """The hub says that it has the pinned file, and sends other bytes."""
    server.faults["cdn"].append(Fault(body=bytes(len(_content(RAM_PLUS.weights)))))


def refused(_home: Home, server: HubServer) -> None:
    """The hub does not accept the token."""
    server.faults["hub"].append(Fault(status=401))


_WITH_HUB: dict[str, Callable[[Home, HubServer], None]] = {
    "hub": lambda _home, _server: None,
    "hub unreachable": unreachable,
    "hub without the file": removed,
    "hub with another file": replaced,
    "hub that lies": forged,
    "hub that refuses": refused,
}
_WITHOUT: dict[str, Callable[[Home], None]] = {
    "six photos": photos,
    "model not installed": configured,
    "model installed": installed,
    "model tampered with": tampered,
    "model writable": writable,
    "model truncated": truncated,
}
SCENES = {*_WITH_HUB, *_WITHOUT}


@contextmanager
def scene(name: str, home: Home) -> Iterator[None]:
    """Set a scene, for as long as the context lasts."""
    if name in _WITHOUT:
        _WITHOUT[name](home)
        yield
        return
    with serve() as server:
        for pin in _SMALL.files:
            server.files[pin.name] = _content(pin)
            parts = urlsplit(pin.url)
            server.mirrored[f"{parts.netloc}{parts.path}"] = _content(pin)
        home.environment["HF_ENDPOINT"] = server.endpoint
        home.environment["PHOTORAMD_MIRROR"] = server.mirror
        home.names[urlsplit(server.endpoint).netloc] = "huggingface.co"
        _WITH_HUB[name](home, server)
        yield
