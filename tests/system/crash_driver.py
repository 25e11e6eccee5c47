"""Kill a scan at every step that matters, go on in a new process, and look at the result.

Run by test_crashes.py in a process of its own, because it forks: the model is loaded
once, and every run of a scan is a child. A step is a call of one of STEPS made by
photoramd's own code; the child with number n ends by SIGKILL just before its n-th step.

    python -m tests.system.crash_driver SAMPLE_PHOTO DIRECTORY STRAND STRANDS KIND

KIND is none, existing, embed, or ahead: with the model in a thread of its own, whose steps do not
count. Of STRANDS that run beside each other, each takes every STRANDS-th point, and the one with
the number STRAND starts with that one. Prints one JSON object a kill point.

Not every step is tried, unless PHOTORAMD_EVERY_STEP is set: that takes several times as long.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from itertools import count
from pathlib import Path
from types import FrameType

from photoramd.config.schema import Config, Debounce, State, Tags, Watch
from photoramd.daemon import assembly
from photoramd.database import migrations  # noqa: F401  each child would import it
from photoramd.database.connection import Database
from photoramd.metadata import containers
from photoramd.models import registry
from photoramd.models.tagger import Tagger
from tests.support.taggers import CountingTagger
from tests.support.xmp import subjects
from tests.system import warm_workers

EVERY_STEP = bool(os.environ.get("PHOTORAMD_EVERY_STEP"))

STEPS = {"execute", "executemany", "open", "write", "fsync", "unlink", "rename", "take", "scores"}


class Killer:
    """Counts steps, from a function's first call on if one is named, and kills before one."""

    def __init__(self, at: int, after: str = "") -> None:
        self._left = at
        self._after = after

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            name = getattr(argument, "__name__", "")
        elif event == "call":
            name = frame.f_code.co_name
        else:
            return
        if self._after:
            self._after = "" if name == self._after else self._after
            return
        # Reading changes nothing: killed before it is as killed after the write before it.
        if frame.f_code.co_name == "rows":
            return
        # Only what photoramd does: not what the libraries below it do by themselves.
        if name in STEPS and "photoramd" in frame.f_code.co_filename:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def scan(config: Config, kill_at: int | None, after: str = "") -> int:
    """Scan in a child; return its wait status. For the other arguments see `Killer`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if kill_at is not None:
                sys.setprofile(Killer(kill_at, after))
            with assembly.assemble(config) as daemon:
                daemon.scan_once([os.fspath(config.watch[0].path)], lambda _: None)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def look(config: Config, album: Path) -> dict[str, object]:
    """Return what is on disk and in the database."""
    connection = sqlite3.connect(config.state.path)
    try:
        return {
            "states": dict(
                connection.execute("SELECT state, count(*) FROM photos GROUP BY state").fetchall()
            ),
            "results": connection.execute("SELECT count(*) FROM results").fetchone()[0],
            "under_way": connection.execute("SELECT count(*) FROM writes").fetchone()[0],
            "ledger": sorted(
                row[0] for row in connection.execute("SELECT value FROM ledger").fetchall()
            ),
            "check": connection.execute("PRAGMA integrity_check").fetchone()[0],
            "files": sorted(path.name for path in album.iterdir()),
            "keywords": list(subjects(packet(album, config.watch[0].write))),
            "rating": b'xmp:Rating="5"' in packet(album, config.watch[0].write),
            "picture": hashlib.sha256(rest(album / "a.jpg")).hexdigest(),
            "changed": bool(scan_differences(connection, album / "a.jpg")),
        }
    finally:
        connection.close()


def packet(album: Path, mode: str) -> bytes:
    """Return the file with the keywords."""
    if mode == "sidecar":
        return (album / "a.jpg.xmp").read_bytes()
    return containers.layout((album / "a.jpg").read_bytes(), "JPEG").packets[0]


def rest(photo: Path) -> bytes:
    """Return all of a photo except its XMP."""
    return b"".join(containers.layout(photo.read_bytes(), "JPEG").rest)


def scan_differences(connection: sqlite3.Connection, photo: Path) -> bool:
    """Return whether the photo differs from the database, so that a scan would process it."""
    found = connection.execute("SELECT size, mtime_ns, inode FROM photos").fetchone()
    status = photo.stat()
    return tuple(found) != (status.st_size, status.st_mtime_ns, status.st_ino)


SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"
   xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:subject><rdf:Bag><rdf:li>Oma</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


def main() -> None:
    warm_workers.prepare()
    sample, directory = Path(sys.argv[1]), Path(sys.argv[2])
    strand, strands, kind = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    with_sidecar, is_embedding = kind == "existing", kind == "embed"
    tagger: Tagger = registry.load("embedded", threads=1)
    if kind == "ahead":
        tagger = CountingTagger(tagger, at_once=1)
    assembly.load_tagger = lambda _: tagger
    # The ways have many steps in common, so the points of one lie between those of the others.
    first, stride = {"none": (1, 2), "ahead": (3, 5)}.get(kind, (2, 3))
    stride = 1 if EVERY_STEP else stride
    for point in count(first + strand * stride, strands * stride):
        album = directory / f"album{point}"
        album.mkdir()
        shutil.copyfile(sample, album / "a.jpg")
        if with_sidecar:
            (album / "a.jpg.xmp").write_text(SIDECAR)
        config = Config(
            watch=(Watch(path=album, write="embed" if is_embedding else "sidecar"),),
            debounce=Debounce(quiet_seconds=0.01, max_wait_seconds=1.0, batch_size=2),
            tags=Tags(overrides=None),
            state=State(path=directory / f"{point}.db"),
        )
        if kind != "none":
            # Killed while the database is made it was in the case of "none".
            Database(config.state.path).close()
        killed = os.WIFSIGNALED(scan(config, point))
        status = scan(config, None)
        print(
            json.dumps({"point": point, "killed": killed, "status": status, **look(config, album)})
        )
        if not killed:
            return
        shutil.rmtree(album)
        for path in directory.glob(f"{point}.db*"):
            path.unlink()


if __name__ == "__main__":
    main()
