"""A daemon here, workers on machines of their own, and photos that are all different."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support.daemons import Photoramd, wait_for
from tests.support.invariant import violations
from tests.support.machines import Credentials, Machine
from tests.support.network import Network
from tests.support.samples import sample_photos
from tests.support.xmp import subjects

COUNT = 160
"""Photos: so many that a fault falls into the midst of them."""

SOME = 15
"""So many photos are written when the fault comes."""


@dataclass(frozen=True)
class Pictures:
    """Photos that are all different, by name, and the keywords that a daemon gives them here."""

    files: dict[str, Path]
    tags: dict[str, tuple[str, ...]]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    directory = tmp_path_factory.mktemp("pictures").resolve()
    album = directory / "album"
    album.mkdir()
    samples = list(sample_photos().values())
    files = {}
    for number in range(COUNT):
        with Image.open(samples[number % len(samples)]) as image:
            image.thumbnail((900, 900))
            left, top = number // len(samples), number % 7
            small = image.convert("RGB").crop((left, top, image.width, image.height))
        name = f"{number:04}"
        files[name] = album / f"{name}.jpg"
        small.save(files[name], quality=88)
    done = Photoramd(directory, album).run("scan", "--json")
    assert done.returncode == 0, done.stderr
    sidecars = {name: Path(f"{path}.xmp") for name, path in files.items()}
    tags = {n: subjects(p.read_bytes()) if p.exists() else () for n, p in sidecars.items()}
    for path in sidecars.values():
        path.unlink(missing_ok=True)
    return Pictures(files, tags)


@pytest.fixture(scope="session")
def networks() -> Iterator[tuple[Network, Network]]:
    with ExitStack() as stack:
        yield stack.enter_context(Network(1)), stack.enter_context(Network(2))


@pytest.fixture(scope="session")
def credentials(
    tmp_path_factory: pytest.TempPathFactory, networks: tuple[Network, Network]
) -> Credentials:
    directory = tmp_path_factory.mktemp("secrets").resolve() / "own"
    return Credentials(directory, *(each.there for each in networks))


@pytest.fixture(scope="session")
def make_machine(
    tmp_path_factory: pytest.TempPathFactory,
    networks: tuple[Network, Network],
    credentials: Credentials,
) -> Callable[[int], Machine]:
    """Make a worker in one of the networks."""
    top = tmp_path_factory.mktemp("worker").resolve()
    return lambda number: Machine(top / str(number), networks[number], credentials)


@pytest.fixture(scope="session")
def machine(make_machine: Callable[[int], Machine]) -> Iterator[Machine]:
    """One worker, which all tests disturb, and leave as they found it."""
    with make_machine(0) as running:
        yield running


@pytest.fixture(scope="session")
def other_machine(make_machine: Callable[[int], Machine]) -> Iterator[Machine]:
    """A second worker, on request."""
    with make_machine(1) as running:
        yield running


class World:
    """A daemon whose model runs elsewhere, and its photos."""

    def __init__(self, directory: Path, pictures: Pictures, cluster: str) -> None:
        self.pictures = pictures
        album = directory.resolve() / "album"
        album.mkdir()
        self.daemon = Photoramd(directory, album, cluster=cluster)
        self.photos: dict[Path, str] = {}

    def put(self) -> None:
        """Copy all photos into the album at once."""
        for name, file in self.pictures.files.items():
            target = self.daemon.album / file.name
            target.write_bytes(file.read_bytes())
            self.photos[target] = name

    def begin(self) -> None:
        """Start the daemon, give it all photos, and wait until some of them are written."""
        self.daemon.start()
        self.put()
        self.wait_for_written(SOME)

    def wait_for_written(self, least: int) -> None:
        wait_for(lambda: self.daemon.states().get("written", 0) >= least, f"{least} written")

    def wait_until_done(self) -> None:
        self.daemon.wait_for_states(written=len(self.photos))

    def lines(self, text: str) -> list[str]:
        """The lines of the daemon's log that have a text."""
        return [line for line in self.daemon.log.read_text().splitlines() if text in line]

    def check(self, *, killed: bool = False) -> None:
        """Every photo has the keywords that it gets here, and was written exactly once."""
        wrong = violations(
            self.daemon.database,
            self.daemon.album,
            self.photos,
            self.pictures.files,
            self.pictures.tags,
            temporaries=killed,
        )
        assert wrong == []
        # A daemon that was killed may have written without having said so, but never twice.
        written = [line for line in self.lines(" INFO ") if ".jpg: " in line]
        said = [sum(path.name in line for line in written) for path in self.photos]
        assert max(said) == 1
        assert killed or min(said) == 1


@pytest.fixture
def world(
    tmp_path: Path, pictures: Pictures, machine: Machine, credentials: Credentials
) -> Iterator[World]:
    machine.wait_until_ready()
    found = World(tmp_path, pictures, credentials.cluster(machine.url))
    try:
        yield found
    finally:
        found.daemon.close()


@pytest.fixture
def make_world(tmp_path: Path, pictures: Pictures) -> Iterator[Callable[[str], World]]:
    """Make a world with a section [cluster] of its own."""
    with ExitStack() as stack:

        def make(cluster: str) -> World:
            found = World(tmp_path, pictures, cluster)
            stack.callback(found.daemon.close)
            return found

        yield make
