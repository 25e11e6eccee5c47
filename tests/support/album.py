"""An album that is scanned: what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from photoramd.clock import UnixTime
from photoramd.config.schema import Config
from photoramd.daemon import assembly
from photoramd.daemon.undo_assembly import opened_for_undo
from photoramd.database.connection import Database
from photoramd.database.requests import Requests
from photoramd.pipeline import undo
from photoramd.pipeline.pipeline import Outcome
from photoramd.search import queries
from tests.support.xmp import subjects

Scan = Callable[[Config], list[Outcome]]


def written(outcomes: Sequence[object]) -> list[str]:
    return sorted(o.path.name for o in outcomes if o.state == "written")  # type: ignore[attr-defined]


def states(config: Config) -> dict[str, int]:
    with closing(queries.open_readonly(config.state.path)) as connection:
        return {state: n for state, n in queries.counts(connection).items() if n}


def keywords(photo: Path) -> tuple[str, ...]:
    return subjects(photo.with_name(photo.name + ".xmp").read_bytes())


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def take_back(config: Config, *paths: Path, dry_run: bool = False) -> list[undo.Undone]:
    with opened_for_undo(config) as (photos, writer):
        return list(undo.undo(writer, undo.select(photos, paths), UnixTime(1e9), dry_run=dry_run))


def ask_again(config: Config, *paths: Path) -> None:
    with Database(config.state.path) as database:
        for path in paths:
            Requests(database).retag(str(path), only_failed=False)


def changed(config: Config, **tags: object) -> Config:
    return msgspec.structs.replace(config, tags=msgspec.structs.replace(config.tags, **tags))


def scanned(config: Config) -> list[Outcome]:
    """Run `photoramd scan` in this process; returns what became of photos."""
    outcomes: list[Outcome] = []
    with assembly.assemble(config) as daemon:
        tops = [str(watch.path) for watch in config.watch]
        assert daemon.scan_once(tops, outcomes.extend, handle_signals=False)
    return outcomes
