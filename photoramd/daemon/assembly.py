"""Assemble the daemon from a configuration."""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from photoramd.clock import unix_time
from photoramd.config.overrides import load_overrides
from photoramd.config.schedule import Schedule
from photoramd.config.schema import Config, Watch
from photoramd.contained.client import Contained
from photoramd.daemon import backup
from photoramd.daemon.figures import FigureKeeper
from photoramd.daemon.hooks import Announcer
from photoramd.daemon.kept_features import kept_features
from photoramd.daemon.kept_thumbnails import kept_thumbnails
from photoramd.daemon.loop import Daemon, Parts, Surroundings
from photoramd.daemon.sd_notify import Notifier
from photoramd.daemon.settings_digest import settings_digest
from photoramd.daemon.setup import Resources, Setup
from photoramd.daemon.status_line import StatusLine
from photoramd.database import backups
from photoramd.database.connection import Database
from photoramd.database.editing import Editing
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.readings import Readings
from photoramd.database.requests import Requests
from photoramd.database.results import Results
from photoramd.database.roots import HealthStore
from photoramd.metadata.exiftool import ExifTool
from photoramd.models import hierarchy, registry
from photoramd.models.availability import Availability, availability
from photoramd.models.isolated.tagger import UnloadingTagger
from photoramd.models.lazy import LazyTagger
from photoramd.models.rules import Rules
from photoramd.models.tagger import Tagger
from photoramd.pipeline.pipeline import Pipeline, PipelineSettings
from photoramd.pipeline.planner import WriteSettings
from photoramd.pipeline.rereading import Rereader
from photoramd.pipeline.tagging import KeywordSource
from photoramd.pipeline.writer import Writer
from photoramd.system.cpu import available_cores
from photoramd.system.files import READ_FLAGS
from photoramd.system.signals import Interrupts
from photoramd.watch.debouncer import Debouncer
from photoramd.watch.filters import Filter
from photoramd.watch.reconciler import Reconciler
from photoramd.watch.roots import Root
from photoramd.watch.stability import StabilityTracker
from photoramd.watch.supervisor import Supervisor

_MOST_BYTES = 1 << 20
"""No token and no authority's certificate is larger."""


@contextmanager
def assemble(
    config: Config, extra: Sequence[Path] = (), note: Callable[[str], object] = lambda _: None
) -> Iterator[Daemon]:
    """Open the database and build the loop for one pass; close everything afterwards.

    The model is loaded when the first photo needs it.

    Args:
        config: The configuration.
        extra: Directories to scan that it does not mention; they get its defaults.
        note: Told of what may take a while: loading the model, a database of an earlier version.

    Raises:
        ConfigError: The overrides cannot be read.
        LockedError: Another photoramd owns the database.
        StoreError: The database cannot be used.
        ModelError: The model cannot be loaded.
    """

    def progress(part: float) -> None:
        note(f"Preparing the database for queries: {part:.0%}")

    with opened(config, progress) as resources, Interrupts() as interrupts:

        def load(config: Config) -> Tagger:
            if config.cluster.workers:
                return LazyTagger(config.model.name, lambda: _remote(config, resources, interrupts))
            on_load = partial(note, "Loading the model")
            return LazyTagger(config.model.name, lambda: load_tagger(config), on_load)

        setup = set_up(resources, config, extra=extra, load=load)
        with build(resources, setup, interrupts) as daemon:
            yield daemon
            if not interrupts.stopped:
                resources.announcer.close(None)


@contextmanager
def opened(
    config: Config, progress: Callable[[float], object] = lambda _: None
) -> Iterator[Resources]:
    """Open the database before loading the model, so a second instance fails early.

    Args:
        config: The configuration.
        progress: See `Database`.

    Raises:
        LockedError: Another photoramd owns the database.
        StoreError: The database cannot be used.
    """
    state = config.state
    with (
        Database(
            state.path, recover=backups.recover, progress=progress, mode=state.file_mode
        ) as database,
        ExifTool() as exiftool,
        ExitStack() as processes,
        Announcer() as announcer,
    ):
        yield Resources(database, exiftool, processes, announcer)


def set_up(
    resources: Resources,
    config: Config,
    before: Setup | None = None,
    *,
    extra: Sequence[Path] = (),
    load: Callable[[Config], Tagger] | None = None,
) -> Setup:
    """Read and load what a configuration needs; change nothing if that fails.

    Args:
        resources: What is open.
        config: The configuration.
        before: The present setup, whose model stays if all that it depends on is the same.
        extra: Directories to scan that it does not mention; they get its defaults.
        load: Returns the model of a configuration; by default `load_tagger`.

    Raises:
        ConfigError: The overrides or a pattern cannot be used.
        ModelError: The model cannot be loaded.
        ToolError: Keywords are to be embedded, but ExifTool is missing or refused.
    """
    watches = [*config.watch, *(_extra(path, config.watch) for path in extra)]
    # The configuration has resolved symbolic links.
    roots = [Root(os.fspath(w.path), Filter(w.path, w.exclude), w.poll) for w in watches]
    # The most specific root is asked first.
    roots.sort(key=lambda root: len(root.path), reverse=True)
    if any(watch.write == "embed" for watch in watches):
        # If it is missing or refused, report it now, not for each photo.
        resources.exiftool.version()
    chosen = rules(config)
    # Before it is loaded: a file that changes meanwhile is noticed by the next reload.
    needs = _of_model(config, chosen)
    is_same = before is not None and before.needs == needs
    tagger = before.tagger if before is not None and is_same else (load or load_tagger)(config)
    named = {os.fspath(watch.path): watch for watch in watches}
    return Setup(config, chosen, tagger, tuple(roots), named, needs)


def lasting_tagger(
    config: Config, resources: Resources, interrupts: Interrupts, notifier: Notifier
) -> Tagger:
    """Return the model for a daemon that lasts: on other machines, or loaded here.

    If so configured, it unloads when idle. Then it runs in a process of its own, for which a stop
    does not wait.

    Raises:
        ConfigError: The overrides cannot be read.
        ModelError: It cannot be loaded.
    """
    if config.cluster.workers:
        return _remote(config, resources, interrupts)
    if not config.model.idle_unload_minutes:
        return load_tagger(config)
    tagger = UnloadingTagger(
        loader(config),
        idle_seconds=config.model.idle_unload_minutes * 60,
        is_stopped=lambda: interrupts.stopped,
        beat=notifier.beat,
    )
    _close_at_end(resources, tagger)
    return tagger


def _remote(config: Config, resources: Resources, interrupts: Interrupts) -> Tagger:
    from photoramd.daemon.remote_model import remote_tagger  # with TLS, for those who have workers

    tagger = remote_tagger(config, interrupts.wake)
    _close_at_end(resources, tagger)
    return tagger


def _close_at_end(resources: Resources, model: Availability) -> None:
    """Close a model at the end; one that a reload has replaced and closed is gone by then."""
    found = weakref.ref(model)

    def close() -> None:
        if (still_there := found()) is not None:
            still_there.close()

    resources.processes.callback(close)


def _of_model(config: Config, chosen: Rules) -> tuple[object, ...]:
    """Return what the model depends on."""
    model = msgspec.structs.replace(config.model, threshold="calibrated", top_n=1)
    is_restricted = bool(chosen.allow or chosen.deny)
    words = (chosen.allow, chosen.deny, dict(chosen.overrides)) if is_restricted else ()
    cluster = config.cluster
    files = (cluster.token_file, cluster.ca_file) if cluster.workers else ()
    return model, words, cluster, [_digest_of(path) for path in files if path]


def _digest_of(path: str) -> bytes | None:
    """Return a digest of a small file; None if it cannot be read, which loading then says."""
    try:
        fd = os.open(path, READ_FLAGS & ~os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return hashlib.blake2b(os.read(fd, _MOST_BYTES)).digest()
    except OSError:
        return None
    finally:
        os.close(fd)


@contextmanager
def build(
    resources: Resources,
    setup: Setup,
    interrupts: Interrupts,
    notifier: Notifier | None = None,
    status_line: StatusLine | None = None,
) -> Iterator[Daemon]:
    """Build the loop from what is open and loaded; close it afterwards.

    Raises:
        StoreError: The database failed.
    """
    config, database = setup.config, resources.database
    resources.announcer.configure(config.hooks)
    notifier = notifier or Notifier()

    def proceed() -> bool:
        notifier.beat()
        return not interrupts.stopped

    photos, queue = Photos(database), Queue(database)
    queue.clamp_retries(unix_time())
    # Photos that are no longer watched are left alone.
    queue.leave_out(lambda directory: setup.root_of(directory) is not None)
    results = Results(database, settings_digest(setup.rules, config.tags.fields))
    results.note_modes({os.fspath(watch.path): watch.write for watch in config.watch})
    results.note_hierarchy(hierarchy.parents(setup.rules))
    settings = WriteSettings(
        setup.mode, setup.origin, config.tags.fields, setup.has_lightroom_names
    )
    contained = Contained(proceed)
    resources.exiftool.attend(proceed)
    writer = Writer(Ledger(database), settings, resources.exiftool, contained)
    debouncer = Debouncer(
        quiet_seconds=config.debounce.quiet_seconds,
        max_wait_seconds=config.debounce.max_wait_seconds,
        batch_size=config.debounce.batch_size,
    )
    with ExitStack() as stack:
        features = stack.enter_context(kept_features(config))
        thumbnails = stack.enter_context(kept_thumbnails(config.gallery))
        pipeline = stack.enter_context(
            Pipeline(
                queue,
                results,
                writer,
                KeywordSource(setup.tagger, setup.rules, features, thumbnails),
                PipelineSettings(
                    max_pixels=config.decode.max_pixels,
                    batch_size=config.debounce.batch_size,
                    threads=config.model.threads or available_cores(),
                    quiet_seconds=config.debounce.quiet_seconds,
                    renews=config.model.renews,
                ),
                contained,
            )
        )
        writer.recover(unix_time())
        stability = StabilityTracker(photos, queue, debouncer, setup.is_online)
        health = HealthStore(database, [os.fspath(watch.path) for watch in config.watch])
        reconciler = Reconciler(photos, stability, setup.roots, health)
        supervisor = Supervisor(
            setup.roots,
            health,
            queue,
            reconciler.request,
            poll_seconds=config.scan.poll_seconds,
            audit_seconds=config.scan.audit_seconds,
        )
        parts = Parts(
            queue,
            stability,
            pipeline,
            reconciler,
            supervisor,
            Requests(database),
            Editing(database),
            backup.DailyBackup(config.state.path, config.state.backups),
            Rereader(Readings(database), contained, config.decode.max_pixels),
            resources.announcer,
            FigureKeeper(database, setup.tagger, pipeline.pace, contained),
            availability(setup.tagger),
        )
        daemon = Daemon(
            parts,
            Surroundings(interrupts, notifier, status_line or StatusLine(), database.probe),
            scan_interval_seconds=config.scan.interval_minutes * 60,
            schedule=Schedule.parse(config.schedule.hours),
        )
        stack.callback(daemon.close)
        yield daemon


def _extra(path: Path, watched: Sequence[Watch]) -> Watch:
    """Return settings for a directory that is not configured, without those below that are."""
    inside = [each.path.relative_to(path) for each in watched if path in each.path.parents]
    literal = [re.sub(r"([*?\[\\!])", r"\\\1", os.fspath(each)) for each in inside]
    return Watch(path=path, exclude=tuple(f"/{each}/" for each in literal))


def load_tagger(config: Config) -> Tagger:
    """Return the configured model, verified and loaded here, wherever the daemon's runs.

    Raises:
        ConfigError: The overrides cannot be read.
        ModelError: It cannot be loaded.
    """
    return loader(config)()


def loader(config: Config) -> Callable[[], Tagger]:
    """Return a function that loads the configured model, in any process.

    RAM++ gets all threads. For other models one computes: decoding is the larger part of the
    work and takes the others.

    Raises:
        ConfigError: The overrides cannot be read.
    """
    uses_all_cores = registry.specification(config.model.name).uses_all_cores
    wants = rules(config).wants
    return partial(
        registry.load,
        config.model.name,
        threads=(config.model.threads or available_cores()) if uses_all_cores else 1,
        precision=config.model.precision,
        device=config.model.device,
        is_wanted=wants if config.tags.allow or config.tags.deny else None,
    )


def rules(config: Config) -> Rules:
    """Return how scores become keywords.

    Raises:
        ConfigError: The overrides cannot be read.
    """
    threshold, overrides = config.model.threshold, config.tags.overrides
    return Rules(
        threshold=None if threshold == "calibrated" else float(threshold),
        top_n=config.model.top_n,
        overrides={} if overrides is None else load_overrides(overrides),
        allow=frozenset(config.tags.allow),
        deny=frozenset(config.tags.deny),
        parent=config.tags.parent,
    )
