"""A soak: a daemon under random load, killed and restarted, and the invariant at the end.

    python -m tests.system.soak [--minutes 3] [--seed 1]

Copies, renames, moves, edits and deletes photos and directories at random; stops, kills and
restarts the daemon at random. The same seed does the same things, as far as time lets it.
Ends with 0 if in the end every photo is tagged, none twice, no file torn, nothing lost.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.daemons import Photoramd
from tests.support.files import OWN_SIDECAR
from tests.support.invariant import violations
from tests.support.samples import sample_photos
from tests.support.xmp import subjects

PATIENT_SECONDS = 180.0


class Soak:
    """The random user."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        everything = sample_photos()
        names = sorted(everything, key=lambda name: everything[name].stat().st_size)[:8]
        self.samples = {name: everything[name] for name in names}
        self.tags = self._reference(directory / "reference")
        self.album = directory / "album"
        self.album.mkdir()
        self.daemon = Photoramd(
            directory, self.album, scan="interval_minutes = 1\npoll_seconds = 5\naudit_seconds = 2"
        )
        self.photos: dict[Path, str] = {}
        self.owned: dict[Path, str] = {}
        self.done: Counter[str] = Counter()
        self.number = 0

    def _reference(self, directory: Path) -> dict[str, tuple[str, ...]]:
        album = directory / "album"
        album.mkdir(parents=True)
        for name, path in self.samples.items():
            shutil.copyfile(path, album / f"{name}.jpg")
        done = Photoramd(directory, album).run("scan", "--json")
        assert done.returncode == 0, done.stderr
        tags: dict[str, tuple[str, ...]] = dict.fromkeys(self.samples, ())
        for path in album.glob("*.xmp"):
            tags[path.name.split(".")[0]] = subjects(path.read_bytes())
        return tags

    def run(self, minutes: float) -> None:
        """Do random things for so long."""
        actions = {
            self.copy: 30,
            self.import_tree: 6,
            self.rename: 10,
            self.rename_directory: 6,
            self.duplicate: 6,
            self.write_slowly: 4,
            self.own_sidecar: 5,
            self.delete: 6,
            self.delete_directory: 1,
            self.burst: 1,
            self.kill: 1,
            self.stop: 1,
            self.freeze: 2,
        }
        self.daemon.start()
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            (action,) = self.chance.choices(list(actions), list(actions.values()))
            action()
            self.done[action.__name__] += 1
            time.sleep(self.chance.expovariate(4))
        if self.daemon.process is None:
            self.daemon.start()

    def settle(self) -> list[str]:
        """Wait until the invariant holds; returns what does not."""
        deadline = time.monotonic() + PATIENT_SECONDS
        while True:
            # Twice: photos that are gone become missing after two scans.
            self.daemon.send(signal.SIGHUP)
            time.sleep(5)
            theirs = {}
            for path, word in self.owned.items():
                content = path.read_bytes()
                wanted = {word, *self.tags[self.photos[path.with_suffix("")]]}
                if set(subjects(content)) == wanted:
                    theirs[path] = content
            found = violations(
                self.daemon.database,
                self.album,
                self.photos,
                self.samples,
                self.tags,
                theirs=theirs,
                temporaries=True,
            )
            # A sidecar stays when its photo goes; photoramd never removes one.
            left = self.orphans()
            found = [text for text in found if not any(repr(path) in text for path in left)]
            if not found or time.monotonic() > deadline:
                return found

    def orphans(self) -> set[Path]:
        """Sidecars whose photos were moved or removed without them."""
        found = set(self.album.rglob("*.xmp"))
        return {path for path in found if path.with_suffix("") not in self.photos}

    # What a user does.

    def _new(self, directory: Path | None = None) -> Path:
        self.number += 1
        return (directory or self._directory()) / f"{self.number}.jpg"

    def _directory(self) -> Path:
        """A directory, perhaps a new one."""
        found = sorted({path.parent for path in self.photos})
        if not found or self.chance.random() < 0.2:
            self.number += 1
            base = self.chance.choice([self.album, *found])
            if len(base.parts) - len(self.album.parts) > 4:
                base = self.album
            path = base / f"d{self.number}"
            path.mkdir()
            return path
        return self.chance.choice(found)

    def _photo(self) -> Path | None:
        return self.chance.choice(sorted(self.photos)) if self.photos else None

    def _place(self, path: Path) -> None:
        name = self.chance.choice(sorted(self.samples))
        shutil.copyfile(self.samples[name], path)
        self.photos[path] = name

    def _move(self, old: Path, new: Path) -> None:
        """The book-keeping of a move of a photo or a directory."""

        def follow(path: Path) -> Path:
            return new / path.relative_to(old) if path.is_relative_to(old) else path

        self.photos = {follow(path): name for path, name in self.photos.items()}
        self.owned = {follow(path): word for path, word in self.owned.items()}

    def copy(self) -> None:
        self._place(self._new())

    def burst(self) -> None:
        directory = self._directory()
        for _ in range(150):
            self._place(self._new(directory))

    def import_tree(self) -> None:
        self.number += 1
        outside = self.album.with_name(f"outside{self.number}")
        target = self._directory() / f"tree{self.number}"
        (outside / "a" / "b").mkdir(parents=True)
        for part in ("1.jpg", "a/2.jpg", "a/b/3.jpg"):
            name = self.chance.choice(sorted(self.samples))
            shutil.copyfile(self.samples[name], outside / part)
            self.photos[target / part] = name
        outside.rename(target)

    def rename(self) -> None:
        old = self._photo()
        if old is None or Path(f"{old}.xmp") in self.owned:
            return
        new = self._new()
        # A program that knows about sidecars moves them along, before or after.
        sidecar = Path(f"{old}.xmp")
        if sidecar.exists():
            sidecar.rename(Path(f"{new}.xmp"))
        old.rename(new)
        # Written for the old name in between: as the user would find and remove it.
        self._move(old, new)

    def rename_directory(self) -> None:
        found = sorted({path.parent for path in self.photos} - {self.album})
        if found:
            old = self.chance.choice(found)
            self.number += 1
            new = old.with_name(f"r{self.number}")
            old.rename(new)
            self._move(old, new)

    def duplicate(self) -> None:
        old = self._photo()
        if old is not None:
            new = self._new()
            shutil.copy2(old, new)
            self.photos[new] = self.photos[old]

    def write_slowly(self) -> None:
        path, name = self._new(), self.chance.choice(sorted(self.samples))
        content = self.samples[name].read_bytes()
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(content), len(content) // 6 + 1):
                file.write(content[at : at + len(content) // 6 + 1])
                time.sleep(0.1)
        self.photos[path] = name

    def own_sidecar(self) -> None:
        """A photo comes with a sidecar of the user's."""
        path = self._new()
        sidecar = Path(f"{path}.xmp")
        word = f"word {self.number}"
        sidecar.write_text(OWN_SIDECAR.format(word=word))
        self._place(path)
        self.owned[sidecar] = word

    def delete(self) -> None:
        path = self._photo()
        if path is not None and Path(f"{path}.xmp") not in self.owned:
            path.unlink()
            del self.photos[path]

    def delete_directory(self) -> None:
        found = sorted({path.parent for path in self.photos} - {self.album})
        if found:
            top = self.chance.choice(found)
            shutil.rmtree(top, ignore_errors=True)
            shutil.rmtree(top, ignore_errors=True)  # a sidecar may have come in between
            self.photos = {p: n for p, n in self.photos.items() if not p.is_relative_to(top)}
            self.owned = {p: w for p, w in self.owned.items() if not p.is_relative_to(top)}

    # What befalls the daemon.

    def kill(self) -> None:
        self._end(signal.SIGKILL, -signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM, 0)

    def _end(self, number: signal.Signals, status: int) -> None:
        found = self.daemon.stop(number)
        assert found == status, f"the daemon ended with {found}"
        for _ in range(self.chance.randrange(4)):
            self.copy()
        self.daemon.start()

    def freeze(self) -> None:
        self.daemon.send(signal.SIGSTOP)
        for _ in range(self.chance.randrange(10)):
            self.chance.choice([self.copy, self.import_tree, self.rename_directory])()
        self.daemon.send(signal.SIGCONT)


def main() -> int:
    """Run a soak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes} minutes", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="photoramd-soak-")).resolve()
    soak = Soak(directory, options.seed)
    try:
        soak.run(options.minutes)
        found = soak.settle()
    finally:
        soak.daemon.close()
    print(f"{len(soak.photos)} photos in the end; {dict(soak.done)}")
    log = soak.daemon.log.read_text()
    if "Traceback" in log:
        found.append("a traceback in the log")
    for text in found[:30]:
        print(text)
    if found:
        print(f"{len(found)} violations; log, database and photos are in {directory}")
        return 1
    shutil.rmtree(directory)
    print("all is well")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
