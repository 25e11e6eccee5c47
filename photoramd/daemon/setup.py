"""What a loop is built from: what stays open, and a configuration with all that it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from photoramd.config.schema import Config, Watch
from photoramd.daemon.hooks import Announcer
from photoramd.database.connection import Database
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin
from photoramd.models.availability import availability
from photoramd.models.rules import Rules
from photoramd.models.tagger import Tagger
from photoramd.watch.roots import Root


@dataclass(frozen=True, slots=True)
class Resources:
    """What stays open while the configuration changes."""

    database: Database
    exiftool: ExifTool
    processes: ExitStack
    """Ends what belongs to models: processes, connections."""
    announcer: Announcer


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration with everything it needs read and loaded, so that nothing more can fail."""

    config: Config
    rules: Rules
    tagger: Tagger
    roots: tuple[Root, ...]
    watches: Mapping[str, Watch]
    needs: tuple[object, ...] = ()
    """What its model depends on: another setup with the same keeps it."""

    def root_of(self, path: str) -> Root | None:
        """Return the watched directory that a path belongs to."""
        return next((root for root in self.roots if root.contains(path)), None)

    def is_online(self, path: str) -> bool:
        """Return whether the watched directory that a path belongs to is there."""
        root = self.root_of(path)
        return root is not None and root.look() is None

    def mode(self, photo: Path) -> str:
        """Return the write mode of a photo."""
        watch = self._watch_of(photo)
        return "none" if watch is None else watch.write

    def has_lightroom_names(self, photo: Path) -> bool:
        """Return whether a new sidecar of a RAW gets Lightroom's name."""
        watch = self._watch_of(photo)
        return watch is not None and watch.sidecar_names == "lightroom"

    def origin(self) -> Origin:
        """Return what gives the keywords."""
        return Origin(self.tagger.name, self.tagger.revision)

    def close_model(self) -> None:
        """End the process of the model, or the connections to it, if there are any."""
        if (ends := availability(self.tagger)) is not None:
            ends.close()

    def _watch_of(self, photo: Path) -> Watch | None:
        root = self.root_of(os.fspath(photo))
        return None if root is None else self.watches[root.path]
