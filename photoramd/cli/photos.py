"""Collect and score the photos that a user names, with progress and errors on standard error."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from photoramd.cli.output import progress_bar, waiting
from photoramd.errors import NoImagesError, PhotoramdError, printable
from photoramd.models import registry
from photoramd.watch.collect import collect

if TYPE_CHECKING:
    from photoramd.config.schema import Model
    from photoramd.models.tagger import Tagger
    from photoramd.pipeline.direct import ScoredPhoto
    from photoramd.pipeline.inference import Decoded

T = TypeVar("T")

_BATCH = 8


def collect_photos(paths: Sequence[Path], *, recursive: bool = True) -> list[Path]:
    """Return the photos among files and in directories, each once.

    Raises:
        NoImagesError: None of the paths is there.
    """
    if paths and not any(os.path.lexists(path) for path in paths):
        raise NoImagesError("no such file or directory", path=paths[0])

    def complain(error: OSError) -> None:
        click.echo(f"{printable(error.filename)}: cannot be read: {error.strerror}", err=True)

    return list(dict.fromkeys(collect(paths, recursive=recursive, on_error=complain)))


def load_model(name: str, precision: str, configured: Model) -> Tagger:
    """Load a model for all cores, or as many threads as are configured; say that it takes a while.

    Raises:
        ModelError: It cannot be loaded.
    """
    from photoramd.system.cpu import available_cores

    threads = configured.threads or available_cores()
    with waiting(f"Loading {name}, {precision}"):
        return registry.load(name, threads=threads, precision=precision, device=configured.device)


def decoded(
    tagger: Tagger, photos: Sequence[Path], max_pixels: int, title: str
) -> Iterator[list[tuple[Path, Decoded]]]:
    """Yield batches of model inputs; report photos that cannot be decoded.

    Raises:
        NoImagesError: None can be decoded.
    """
    from photoramd.pipeline.direct import decodable

    def complain(path: Path, error: PhotoramdError) -> None:
        click.echo(f"{printable(path)}: {error.message}", err=True)

    good = decodable(tagger, photos, max_pixels, complain)
    yield from _batched(good, title, len(photos))


def scored(
    tagger: Tagger,
    photos: Sequence[Path],
    max_pixels: int,
    precision: str,
    leave_out: Collection[bytes] = (),
) -> Iterator[ScoredPhoto]:
    """Score photos; see `pipeline.direct.score_photos`."""
    from photoramd.pipeline.direct import score_photos

    batches = decoded(tagger, photos, max_pixels, f"Tagging, {precision}")
    return score_photos(tagger, batches, leave_out)


def _batched(items: Iterable[T], title: str, total: int) -> Iterator[list[T]]:
    """Yield batches; show progress on a terminal."""
    rest, done = iter(items), 0
    with progress_bar(title, total) as show:
        while batch := list(islice(rest, _BATCH)):
            yield batch
            done += len(batch)
            show(done)
