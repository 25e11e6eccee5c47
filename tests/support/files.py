"""Files of the tests: as a scan finds them, their sidecars, their times."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from photoramd.photo import Fingerprint, Photo

OWN_SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:subject><rdf:Bag><rdf:li>{word}</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
"""The user's, with one keyword."""


def photo_at(path: Path) -> Photo:
    """A photo as a scan would find it."""
    return Photo(path, Fingerprint.of(path.lstat()))


def sidecar_of(photo: Path) -> Path:
    """The name of a new sidecar of a photo."""
    return photo.with_name(photo.name + ".xmp")


def await_tick(path: Path) -> None:
    """Wait until a change of this file will have a later time than its last one.

    File systems note times in steps of up to 10 ms, before Linux 6.13 at least.
    """
    with tempfile.TemporaryFile(dir=path.parent) as probe:
        while os.fstat(probe.fileno()).st_ctime_ns <= path.lstat().st_ctime_ns:
            os.utime(probe.fileno())


def put_in_place(copy: Path, database: Path) -> None:
    """Put a database into the place of another one, as restoring a copy does."""
    for companion in ("-wal", "-shm"):
        database.with_name(database.name + companion).unlink(missing_ok=True)
    copy.replace(database)
