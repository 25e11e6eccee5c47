"""The parts of the daemon, put together from a configuration."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from photoramd import backups, taggers
from photoramd.config import Config, Watch
from photoramd.daemon import Daemon
from photoramd.database import Database
from photoramd.debouncer import Debouncer
from photoramd.exiftool import ExifTool
from photoramd.filters import Filter
from photoramd.intake import Intake
from photoramd.keywords import Rules, load_overrides
from photoramd.ledger import Ledger
from photoramd.patrol import Patrol
from photoramd.pins import RAM_PLUS
from photoramd.pipeline import Pipeline
from photoramd.processor import available_cores
from photoramd.reconciler import Reconciler
from photoramd.requests import Requests
from photoramd.results import Results
from photoramd.roots import HealthBook, Root
from photoramd.schedule import Schedule
from photoramd.store import Store
from photoramd.taggers import Tagger
from photoramd.writer import Origin, Writer


@contextmanager
def assemble(config: Config, extra: Sequence[Path] = ()) -> Iterator[Daemon]:
    """Open the database, load the model, build the loop; close everything afterwards.

    Args:
        config: The configuration.
        extra: Directories to scan that it does not mention; they get its defaults.

    Raises:
        LockedError: Another photoramd owns the database.
        StoreError: The database cannot be used.
        ModelError: The model cannot be loaded.
    """
    # The database first: it fails fast, and a second instance must not load a model.
    with ExitStack() as stack:
        database = stack.enter_context(Database(config.state.path, recover=backups.recover))
        tagger = load_tagger(config)
        watches = [*config.watch, *(_extra(path, config.watch) for path in extra)]
        # The configuration has resolved symbolic links: these are the real paths.
        roots = [Root(os.fspath(w.path), Filter(w.path, w.exclude), w.poll) for w in watches]
        modes = {os.fspath(w.path): w.write for w in watches}
        # The most specific root is asked first.
        roots.sort(key=lambda root: len(root.path), reverse=True)

        def root_of(path: str) -> Root | None:
            return next((root for root in roots if root.contains(path)), None)

        def mode(photo: Path) -> str:
            root = root_of(os.fspath(photo))
            return "none" if root is None else modes[root.path]

        store = Store(database)
        store.clamp_retries(time.time())
        # What is no longer watched is not ours to touch.
        store.leave_out(lambda directory: root_of(directory) is not None)
        store.note_modes({os.fspath(watch.path): watch.write for watch in config.watch})
        exiftool = stack.enter_context(ExifTool())
        if "embed" in modes.values():
            exiftool.version()  # missing or refused, it should be named now, not for each photo
        writer = Writer(
            Ledger(database),
            mode,
            Origin(tagger.name, tagger.revision),
            create=config.tags.fields,
            exiftool=exiftool,
        )
        writer.recover(time.time())
        debouncer = Debouncer(
            quiet_seconds=config.debounce.quiet_seconds,
            max_wait_seconds=config.debounce.max_wait_seconds,
            batch_size=config.debounce.batch_size,
        )
        pipeline = stack.enter_context(
            Pipeline(
                store,
                Results(database, settings_digest(config)),
                writer,
                tagger,
                rules(config),
                max_pixels=config.decode.max_pixels,
                batch_size=config.debounce.batch_size,
                threads=config.model.threads or available_cores(),
                quiet_seconds=config.debounce.quiet_seconds,
            )
        )
        intake = Intake(store, debouncer)
        book = HealthBook(database, [os.fspath(watch.path) for watch in config.watch])
        reconciler = Reconciler(store, intake, roots, book)
        patrol = Patrol(
            roots,
            book,
            store,
            reconciler.request,
            poll_seconds=config.scan.poll_seconds,
            audit_seconds=config.scan.audit_seconds,
        )
        daemon = Daemon(
            store,
            intake,
            pipeline,
            reconciler,
            patrol,
            Requests(database),
            backups.DailyBackup(config.state.path, config.state.backups),
            scan_interval_seconds=config.scan.interval_minutes * 60,
            schedule=Schedule.parse(config.schedule.hours),
        )
        stack.callback(daemon.close)
        yield daemon


def _extra(path: Path, watched: Sequence[Watch]) -> Watch:
    """A directory that is not configured, without those below it that are."""
    inside = [each.path.relative_to(path) for each in watched if path in each.path.parents]
    literal = [re.sub(r"([*?\[\\!])", r"\\\1", os.fspath(each)) for each in inside]
    return Watch(path=path, exclude=tuple(f"/{each}/" for each in literal))


@contextmanager
def opened_for_undo(config: Config) -> Iterator[tuple[Store, Writer]]:
    """Open the database and make a writer that only takes back; no model is loaded.

    Raises:
        LockedError: Another photoramd owns the database.
        StoreError: The database cannot be used.
    """
    with Database(config.state.path) as database, ExifTool() as exiftool:
        writer = Writer(Ledger(database), lambda _: "none", Origin("", ""), exiftool=exiftool)
        writer.recover(time.time())
        yield Store(database), writer


def load_tagger(config: Config) -> Tagger:
    """The configured model, verified and loaded.

    RAM++ gets all threads. For other models one computes: decoding is the larger part of the
    work and takes the others.

    Raises:
        ConfigError: The overrides cannot be read.
        ModelError: It cannot be loaded.
    """
    is_large = config.model.name == RAM_PLUS.name
    word = rules(config).word
    is_restricted = bool(config.tags.allow or config.tags.deny)
    return taggers.load(
        config.model.name,
        threads=(config.model.threads or available_cores()) if is_large else 1,
        precision=config.model.precision,
        device=config.model.device,
        is_wanted=(lambda label: word(label) is not None) if is_restricted else None,
    )


def rules(config: Config) -> Rules:
    """How scores become keywords.

    Raises:
        ConfigError: The overrides cannot be read.
    """
    threshold = config.model.threshold
    overrides = config.tags.overrides
    return Rules(
        threshold=None if threshold == "calibrated" else float(threshold),
        top_n=config.model.top_n,
        overrides={} if overrides is None else load_overrides(overrides),
        allow=frozenset(config.tags.allow),
        deny=frozenset(config.tags.deny),
        parent=config.tags.parent,
    )


def settings_digest(config: Config) -> str:
    """What tells apart settings that lead to other keywords, or to other fields."""
    chosen = rules(config)
    names = ("threshold", "top_n", "overrides", "allow", "deny", "parent")
    values = {name: getattr(chosen, name) for name in names}
    content = [values, sorted(config.tags.fields)]
    text = json.dumps(content, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else dict(value)  # type: ignore[call-overload]
