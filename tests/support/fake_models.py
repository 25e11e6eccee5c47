"""Small models that a local server has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

from photoramd.models.weights.catalog import EMBEDDED, HubFile, Model, PinnedFile
from tests.support.hub_server import REPOSITORY, REVISION, HubServer, serve

HOST = "files.example.org"


def content(seed: int, size_bytes: int) -> bytes:
    return Random(seed).randbytes(size_bytes)  # noqa: S311


WEIGHTS = content(1, 300_000)


TAGS = content(2, 4_000)


ZOO = content(3, 100_000)


def pinned(name: str, data: bytes, folder: str = "fake++") -> PinnedFile:
    return PinnedFile(
        name=name,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        source="the tests",
        remedy="photoramd model fetch fake++",
        folder=folder,
        url=f"https://{HOST}/{name}",
    )


MODEL = Model(
    name="fake++",
    description="one large file and a small one",
    license="MIT",
    weights=replace(pinned("weights.pth", WEIGHTS), url="", hub=HubFile(REPOSITORY, REVISION)),
    companions=(pinned("tags.txt", TAGS),),
)


ZOO_PIN = replace(
    pinned("zoo.pth", ZOO, "zoo"),
    size_bytes=None,
    about_bytes=100_000,
    sha256=hashlib.sha256(ZOO).hexdigest()[:8],
)


ZOO_MODEL = Model(name="torchvision:fake", description="", license="MIT", weights=ZOO_PIN)


MODELS = (EMBEDDED, MODEL, ZOO_MODEL)


@contextmanager
def served() -> Iterator[HubServer]:
    """A server that has the files of these models."""
    with serve() as running:
        running.files["weights.pth"] = WEIGHTS
        running.mirrored[f"{HOST}/tags.txt"] = TAGS
        running.mirrored[f"{HOST}/zoo.pth"] = ZOO
        yield running
