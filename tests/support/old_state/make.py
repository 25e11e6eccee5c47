"""Make the state that commit 2e878b5 leaves behind: database, sidecars, converted copies.

    git worktree add /tmp/old 2e878b5
    python -m tests.support.old_state.make /tmp/old

It was run once; what it made is committed under ``data/`` and never made again, since only
that commit's own bytes prove that today's code can use them. Everything lies in a directory
whose name is long enough to be found again in the database: see `tests.support.old_state.copy`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from PIL import Image

from tests.support.samples import sample_photos

HERE = Path("/tmp/photoramd-2e878b5")
DATA = Path(__file__).parent / "data"

CONFIG = f"""# The configuration of a user of commit 2e878b5.
[[watch]]
path = "{HERE}/album"
exclude = ["Export/**"]

[[watch]]
path = "{HERE}/embedded"
write = "embed"

[debounce]
quiet_seconds = 0.2
max_wait_seconds = 2
batch_size = 4

[model]
precision = "float32"
threshold = 0.15
top_n = 6

[tags]
overrides = "overrides.json"
deny = ["lens cap"]
parent = "Auto"
fields = ["lr:hierarchicalSubject"]

[state]
path = "{HERE}/state/photoramd.db"
backups = 0
"""
OVERRIDES = {"Egyptian cat": "our cat", "espresso": ""}

SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"
   xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:digiKam="http://www.digikam.org/ns/1.0/">
   <dc:subject><rdf:Bag><rdf:li>Oma</rdf:li></rdf:Bag></dc:subject>
   <digiKam:TagsList><rdf:Seq><rdf:li>Family/Oma</rdf:li></rdf:Seq></digiKam:TagsList>
   <!-- kept -->
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

# Found by the daemon, which was stopped before it decoded the photo.
ENQUEUE = """
import sys, time
from pathlib import Path
from photoramd.database import Database
from photoramd.photo import Fingerprint, Photo
from photoramd.store import Store
path = Path(sys.argv[2])
with Database(Path(sys.argv[1])) as database:
    Store(database).enqueue([Photo(path, Fingerprint.at(path))], time.time())
"""

# Killed between the rename of a sidecar and the record that it is done.
KILLED = """
import os, sys
from photoramd.ledger import Ledger
Ledger.finish = lambda *_: os._exit(9)
from photoramd import cli
cli.main()
"""

COPIES = """
import hashlib, json, os, sys
from pathlib import Path
from dataclasses import replace
os.umask(0o022)
import torch
from photoramd import modelstore
root = Path(sys.argv[1])
modelstore.SYSTEM_STORE = root / "models"
os.environ["XDG_DATA_HOME"] = str(root)
from benchmarks.random_weights import random_images, random_weights, save_checkpoint
from photoramd.modelstore import default_store
from photoramd.pins import PinnedFile
from photoramd.taggers.calibration import QuantisedPreparation, Ranges, entries_of
from photoramd.taggers.conversion import write_copy
from photoramd.taggers.linear import Arithmetic
from photoramd.taggers.query_decoder import DecoderShape
from photoramd.taggers.ram_plus import copy_name, load_network
from photoramd.taggers.ram_plus_calibration import CALIBRATION, load_exact
from photoramd.taggers.ram_plus_network import RamPlusNetwork, RamPlusShape
from photoramd.taggers.swin import SwinShape
shape = RamPlusShape(SwinShape(**json.loads(sys.argv[2])), DecoderShape(**json.loads(sys.argv[3])))
path = default_store().path("ram++", "tiny.pth")
path.parent.mkdir(parents=True)
save_checkpoint(path, shape)
digest = hashlib.sha256(path.read_bytes()).hexdigest()
pin = PinnedFile("tiny.pth", path.stat().st_size, digest, "random", "make it again", folder="ram++")
images = random_images(2, shape.encoder.image_side)
networks = {
    name: load_network(pin, shape, Arithmetic.best(getattr(torch, name)))
    for name in ("float32", "bfloat16")
}
exact, ranges = load_exact(pin, shape), Ranges()
observed = replace(Arithmetic.best(torch.float32), observer=ranges)
RamPlusNetwork(dict(exact), shape, observed).logits(images)
tensors = QuantisedPreparation(exact.__getitem__, shape, ranges).take_all()
notes = {CALIBRATION: ranges.digest}
write_copy(copy_name(pin, "int8"), entries_of(tensors), tensors.__getitem__, notes)
path.unlink()
for each in path.parent.glob("*.calibration*"):
    each.unlink()
logits = {name: network.logits(images).tolist() for name, network in networks.items()}
print(json.dumps({"sha256": digest, "size_bytes": pin.size_bytes, "logits": logits}))
"""
SWIN = {"width": 4, "depths": (1, 2), "heads": (1, 2), "window": 2, "image_side": 32}
DECODER = {
    "tags": 5, "descriptions": 3, "embedding_width": 16, "width": 16, "heads": 2, "layers": 1,
    "hidden": 16, "image_width": 8,
}  # fmt: skip


def main(checkout: Path) -> None:
    """Make everything with the program in a checkout, and put it under ``data/``."""
    shutil.rmtree(HERE, ignore_errors=True)
    album, embedded, database = HERE / "album", HERE / "embedded", HERE / "state/photoramd.db"
    for directory in (album, embedded, database.parent):
        directory.mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.fspath(checkout), "HOME": str(HERE)}

    def python(*arguments: object, is_killed: bool = False) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=checkout, env=environment, stdout=subprocess.PIPE, check=False, text=True
        )
        expected = 9 if is_killed else 0
        if done.returncode != expected:
            raise SystemExit(f"{command} ended with {done.returncode}")
        return done.stdout

    def photoramd(*arguments: object) -> None:
        python("-m", "photoramd", "--config", HERE / "config.toml", *arguments)

    (HERE / "config.toml").write_text(CONFIG)
    (HERE / "overrides.json").write_text(json.dumps(OVERRIDES))
    photo("cat", album / "written.jpg")
    photo("china", album / "2019/merged.jpg")
    photo("rocket", album / "rejected.jpg")
    photo("imagenet_99", album / "undone.jpg")
    photo("flower", embedded / "embedded.jpg")
    (album / "failed.jpg").write_bytes((album / "written.jpg").read_bytes()[:700])
    (album / "2019/merged.jpg.xmp").write_text(SIDECAR)
    python("-m", "photoramd", "--config", HERE / "config.toml", "scan", "--quiet")

    photoramd("undo", "--quiet", album / "undone.jpg")
    remove_a_keyword(album / "rejected.jpg.xmp")
    photoramd("retag", "--quiet", album / "rejected.jpg")

    photo("coffee", album / "killed.jpg")
    config = HERE / "config.toml"
    python("-c", KILLED, "--config", config, "scan", "--quiet", is_killed=True)
    photo("motorcycle", album / "pending.jpg")
    python("-c", ENQUEUE, database, album / "pending.jpg")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, and no log beside it

    expected = json.loads(python("-c", COPIES, HERE, json.dumps(SWIN), json.dumps(DECODER)))
    originals = {
        os.fspath(path.relative_to(HERE)): digest(path) for path in sorted(album.rglob("*.jpg"))
    }
    originals["album/2019/merged.jpg.xmp"] = hashlib.sha256(SIDECAR.encode()).hexdigest()
    photo("flower", HERE / "original.jpg")
    originals["embedded/embedded.jpg"] = digest(HERE / "original.jpg")
    (HERE / "original.jpg").unlink()
    facts = {"originals": originals, "swin": SWIN, "decoder": DECODER, **expected}
    (HERE / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    for left in (*HERE.rglob("*.lock"), *HERE.rglob(".cache")):
        left.unlink() if left.is_file() else shutil.rmtree(left)
    (HERE / "models/.partial").rmdir()
    shutil.rmtree(DATA, ignore_errors=True)
    shutil.copytree(HERE, DATA)
    shutil.rmtree(HERE)


def photo(sample: str, path: Path) -> None:
    """Write a sample photo, small."""
    path.parent.mkdir(exist_ok=True)
    with Image.open(sample_photos()[sample]) as image:
        small = image.convert("RGB")
    small.thumbnail((224, 224))
    small.save(path, quality=60)
    past = time.time() - 3600
    os.utime(path, (past, past))


def remove_a_keyword(sidecar: Path) -> None:
    """Take the first keyword out of a sidecar, as the user would in another program."""
    exiftool = shutil.which("exiftool") or "exiftool"
    shown = subprocess.run([exiftool, "-j", "-Subject", sidecar], check=True, capture_output=True)
    word = json.loads(shown.stdout)[0]["Subject"][0]
    changes = (f"-Subject-={word}", f"-HierarchicalSubject-=Auto|{word}")
    subprocess.run([exiftool, "-q", "-overwrite_original", *changes, sidecar], check=True)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
