"""``photoramd model compare``: what another precision does to the tags of one's own photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from photoramd import config, filters
from photoramd.cli.output import console, print_json
from photoramd.cli.tag import collect
from photoramd.errors import NoImagesError, PhotoramdError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.comparison import Comparison
    from photoramd.config import Model
    from photoramd.inference import Decoded
    from photoramd.taggers import Pixels, Scores, Tagger

_PRECISIONS = click.Choice(["float32", "bfloat16", "int8"])
_BATCH = 8

T = TypeVar("T")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--model", "name", help="The model. Default: the configured one.")
@click.option("--precision", type=_PRECISIONS, required=True, help="The precision to judge.")
@click.option(
    "--against",
    type=_PRECISIONS,
    default="float32",
    show_default=True,
    help="The precision taken for the truth.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At most so many photos, evenly spread.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def compare(
    settings: Settings,
    paths: tuple[Path, ...],
    name: str | None,
    precision: str,
    against: str,
    limit: int,
    as_json: bool,
) -> None:
    """Tag photos in two precisions, and tell how the tags differ.

    PATHS are photos or directories; they are only read. The models are loaded one after the
    other, so there need not be memory for both.
    """
    configuration = config.load(settings.config_path, need_file=False)
    photos = list(dict.fromkeys(collect(paths, recursive=True)))
    if not photos:
        raise NoImagesError(
            "no images found",
            remedy=f"photoramd reads {', '.join(sorted(filters.photo_suffixes()))}",
        )
    from photoramd import comparison
    from photoramd.assembly import rules

    model = name or configuration.model.name
    chosen = comparison.spread(photos, limit)
    runs = []
    pixels: list[Pixels] = []
    for kind in (against, precision):
        tagger = _load(model, kind, configuration.model)
        if not pixels:
            decoded = decode(tagger, chosen, configuration.decode.max_pixels)
            look_at(decoded, lambda b: pixels.extend(e.pixels for e in b), "Decoding", len(chosen))
        started = time.perf_counter()
        scores = _infer(tagger, pixels)
        runs.append((scores, (time.perf_counter() - started) / len(pixels)))
        vocabulary = tagger.vocabulary
        del tagger
    (truth, slow), (other, fast) = runs
    found = comparison.compare(vocabulary, truth, other, rules(configuration))
    figures = found.as_dict()
    if as_json:
        seconds = {f"seconds_{against}": slow, f"seconds_{precision}": fast}
        print_json({"model": model, "precision": precision, "against": against} | figures | seconds)
        return
    click.echo(f"{model}, {precision} against {against}, {len(pixels)} photos")
    echo_figures(found)
    click.echo(f"  {'seconds a photo, ' + against:44} {slow:.3f}")
    click.echo(f"  {'seconds a photo, ' + precision:44} {fast:.3f}")


def echo_figures(found: Comparison) -> None:
    """Print figures, one a line."""
    for key, value in found.as_dict().items():
        if key != "photos":
            click.echo(f"  {_TITLES[key]:44} {value:.6f}")


_TITLES = {
    "cosine": "cosine of the logits",
    "correlation": "correlation of the logits",
    "largest_difference": "largest difference of a probability",
    "mean_difference": "mean difference of probabilities",
    "f1": "F1 of the tags",
    "same_keywords": "part of the photos with equal tags",
    "keywords": "tags a photo",
}


def _load(name: str, precision: str, configured: Model) -> Tagger:
    from photoramd import taggers
    from photoramd.processor import available_cores

    threads = configured.threads or available_cores()
    return taggers.load(name, threads=threads, precision=precision, device=configured.device)


def decode(tagger: Tagger, photos: Sequence[Path], max_pixels: int) -> Iterator[Decoded]:
    """What the model sees of photos; those that cannot be decoded are named and left out."""
    from photoramd.decoder import LookAhead
    from photoramd.inference import prepare
    from photoramd.processor import available_cores

    def work(path: Path) -> Decoded:
        return prepare(tagger, path, max_pixels)

    good = 0
    rest = iter(photos)
    with LookAhead(work, threads=available_cores(), depth=2 * _BATCH) as ahead:
        while True:
            for _, path in zip(range(ahead.room), rest, strict=False):
                ahead.submit(path)
            if not len(ahead):
                break
            path, decoded = ahead.take()
            if isinstance(decoded, PhotoramdError):
                click.echo(f"{printable(path)}: {decoded.message}", err=True)
            else:
                good += 1
                yield decoded
    if not good:
        raise NoImagesError("none of the photos can be decoded")


def _infer(tagger: Tagger, pixels: Sequence[Pixels]) -> Scores:
    import numpy as np

    parts: list[Scores] = []
    look_at(pixels, lambda batch: parts.append(tagger.scores(batch)), "Tagging", len(pixels))
    return np.concatenate(parts)


def look_at(things: Iterable[T], look: Callable[[list[T]], object], what: str, total: int) -> None:
    """Do something with batches of photos, and show progress on a terminal."""
    from rich.progress import Progress

    bar_console = console(stderr=True)
    rest = iter(things)
    with Progress(console=bar_console, disable=not bar_console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        while batch := list(islice(rest, _BATCH)):
            look(batch)
            bar.advance(task, len(batch))
