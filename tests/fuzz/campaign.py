"""Give damaged files to the real workers, and judge what comes out."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.contained.client import Contained
from photoramd.errors import LostError, PhotoramdError
from photoramd.images.formats import suffix
from photoramd.metadata import sidecar
from photoramd.metadata.changes import NOTHING_RECORDED
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.metadata.xmp_keywords import values
from photoramd.metadata.xmp_packet import Packet
from photoramd.models.embedded.crop import CROP
from photoramd.photo import Tag
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import photos, sidecars

_TAGS = (Tag("cat", 0.9), Tag("dog", 0.8, ("animal",)))
_MAX_PIXELS = 120_000_000
_GOOD_EVERY = 50
_PIECES = (
    *"ab.~ \t\n\r\\'\"*?[]{}$`;|&<>-@%#!",
    "\udc80",
    "\udcff",
    "é",
    "e\u0301",
    "\u202e",
    "x" * 60,
)


class Campaign:
    """A run of the fuzzer. A context manager.

    Args:
        directory: An empty one for the files.
        seed: Of all decisions.
        corpus: A directory with more files to begin with.
        keep: Where files that did something are kept.

    Attributes:
        faults: What happened that must not, with how often.
        outcomes: What the files came to.
    """

    def __init__(
        self,
        directory: Path,
        seed: int = 1,
        corpus: Path | None = None,
        keep: Path | None = None,
    ) -> None:
        self._directory = directory
        self._keep = keep
        self._choice = random.Random(seed)  # noqa: S311 - not for secrets
        self._photos = photos(corpus)
        self._sidecars = sidecars(corpus)
        self._good = directory / "good.jpg"
        self._good.write_bytes(self._photos["plain.jpg"])
        self._stack = ExitStack()
        self.faults: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> Campaign:
        self._contained = self._stack.enter_context(Contained(seconds=20))
        self._exiftool = self._stack.enter_context(ExifTool())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, seconds: float) -> None:
        """Go on for a time."""
        until = time.monotonic() + seconds
        trials: Sequence[tuple[Callable[[], None], int]] = (
            (self._try_photo, 12),
            (self._try_sidecar, 6),
            (self._try_embedding, 2),
            (self._try_name, 1),
        )
        chosen = [trial for trial, weight in trials for _ in range(weight)]
        number = 0
        while time.monotonic() < until:
            self._choice.choice(chosen)()
            number += 1
            if number % _GOOD_EVERY == 0:
                self._try_good()

    def report(self) -> str:
        """Return what happened, as text."""
        lines = [f"{sum(self.outcomes.values()):,} files"]
        for title, found in (
            ("came to", self.outcomes),
            ("LOST A WORKER", self.lost),
            ("MUST NOT HAPPEN", self.faults),
        ):
            lines += [f"{title}:", *(f"  {n:7,}  {what}" for what, n in found.most_common(40))]
        return "\n".join(lines)

    def _try_photo(self) -> None:
        name, content = self._damaged(self._photos)
        path = self._put(name, content)
        self._judge(path, "photo", lambda: self._contained.see(path, CROP, _MAX_PIXELS))
        path.unlink()

    def _try_sidecar(self) -> None:
        photo = self._directory / "photo.jpg"
        is_photo_damaged = self._choice.random() < 0.3
        photo.write_bytes(
            self._damaged(self._photos)[1] if is_photo_damaged else self._photos["plain.jpg"]
        )
        _, content = self._damaged(self._sidecars)
        path = self._put("photo.jpg.xmp", content)
        known = sidecar.KnownSidecar()

        def plan() -> None:
            request = PlanRequest(photo, _TAGS, Origin("m", "1"), UnixTime(0))
            found = sidecar.find(photo, known)
            planned = self._contained.plan_sidecar(found, request, known, NOTHING_RECORDED)
            if planned.content is not None:
                self._require_users_words(content, planned.content, path)

        self._judge(path, "sidecar", plan)
        path.unlink()

    def _require_users_words(self, before: bytes, after: bytes, path: Path) -> None:
        mine = values(Packet(before, path))
        now = values(Packet(after, path))
        for name, words in mine.items():
            if not set(words) <= set(now.get(name, ())):
                self._note(self.faults, f"a word in {name} is gone", path, before)

    def _try_embedding(self) -> None:
        name, content = self._damaged(self._photos)
        path = self._put(name, content)

        def plan() -> None:
            request = PlanRequest(path, _TAGS, Origin("m", "1"), UnixTime(0))
            self._contained.plan_photo(request, NOTHING_RECORDED, self._exiftool)

        self._judge(path, "embedding", plan)
        if path.read_bytes() != content:
            self._note(self.faults, "the original changed", path, content)
        path.unlink()

    def _try_name(self) -> None:
        count = self._choice.randrange(1, 12)
        name = "".join(self._choice.choice(_PIECES) for _ in range(count)).strip("/.") + ".jpg"
        path = self._directory / name
        with suppress(OSError):  # too long, or no name that a file can have
            path.write_bytes(self._photos["plain.jpg"])
            self._judge(path, "name", lambda: self._contained.see(path, CROP, _MAX_PIXELS))
            known = sidecar.KnownSidecar()
            request = PlanRequest(path, _TAGS, Origin("m", "1"), UnixTime(0))
            self._judge(
                path,
                "name",
                lambda: self._contained.plan_sidecar(
                    sidecar.find(path, known), request, known, NOTHING_RECORDED
                ),
            )
            path.unlink()

    def _try_good(self) -> None:
        try:
            self._contained.see(self._good, CROP, _MAX_PIXELS)
        except PhotoramdError as error:
            self.faults[f"a good photo failed: {error.message}"] += 1

    def _damaged(self, seeds: Mapping[str, bytes]) -> tuple[str, bytes]:
        names = sorted(seeds)
        name = self._choice.choice(names)
        return name, mutated(seeds[name], self._choice, seeds[self._choice.choice(names)])

    def _put(self, name: str, content: bytes) -> Path:
        path = self._directory / name
        path.write_bytes(content)
        return path

    def _judge(self, path: Path, what: str, work: Callable[[], object]) -> None:
        kind = f"{what} {suffix(path.name)}"
        try:
            work()
        except LostError as error:
            self._note(self.lost, f"{kind}: {error.message}", path, path.read_bytes())
            self.outcomes[f"{kind}: LostError"] += 1
        except PhotoramdError as error:
            if "unexpected error" in error.message:
                self._note(self.faults, f"{kind}: {error.message}", path, path.read_bytes())
            self.outcomes[f"{kind}: {type(error).__name__}"] += 1
        except Exception as error:
            self._note(self.faults, f"{kind}: {error!r}", path, path.read_bytes())
        else:
            self.outcomes[f"{kind}: fine"] += 1

    def _note(self, where: Counter[str], what: str, path: Path, content: bytes) -> None:
        where[what] += 1
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256(content).hexdigest()[:16]
            (self._keep / f"{digest}{os.path.splitext(path.name)[1]}").write_bytes(content)
