"""``photoramd model compare``: what another precision does to the tags of one's own photos."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from photoramd.cli.output import console, print_json, waiting
from photoramd.cli.tag import collect
from photoramd.config import loader
from photoramd.errors import NoImagesError, PhotoramdError, printable
from photoramd.images import formats
from photoramd.models import registry

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.loader import Model
    from photoramd.models.comparison import Comparison, Row
    from photoramd.models.rules import Rules
    from photoramd.models.tagger import Tagger
    from photoramd.pipeline.inference import Decoded

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
    type=click.IntRange(min=1, max=10_000),
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
    other, so there need not be memory for both, and decode the photos once each.
    """
    configuration = loader.load(settings.config_path, need_file=False)
    photos = list(dict.fromkeys(collect(paths, recursive=True)))
    if not photos:
        raise NoImagesError(
            "no images found",
            remedy=f"photoramd reads {', '.join(sorted(formats.photo_suffixes()))}",
        )
    from photoramd.daemon.assembly import rules
    from photoramd.models import comparison

    model = name or configuration.model.name
    max_pixels = configuration.decode.max_pixels
    chosen = comparison.spread(photos, limit)
    # What is missing is said now, not after minutes with the other one.
    _load(model, precision, configuration.model)
    tagger = _load(model, against, configuration.model)
    truth = {each.digest: each for each in scored(tagger, chosen, max_pixels, against)}
    slow = sum(each.seconds for each in truth.values()) / len(truth)
    del tagger
    tagger = _load(model, precision, configuration.model)
    again = scored(tagger, [each.path for each in truth.values()], max_pixels, precision)
    found, fast = against_truth(tagger, truth, again, rules(configuration))
    figures = found.as_dict()
    if as_json:
        seconds = {f"seconds_{against}": slow, f"seconds_{precision}": fast}
        print_json({"model": model, "precision": precision, "against": against} | figures | seconds)
        return
    click.echo(f"{model}, {precision} against {against}, {found.photos} photos")
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
    from photoramd.system.cpu import available_cores

    threads = configured.threads or available_cores()
    with waiting(f"Loading {name}, {precision}"):
        return registry.load(name, threads=threads, precision=precision, device=configured.device)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model says of a photo.

    Attributes:
        path: Where it is.
        digest: Of the pixels that the model saw.
        row: Probabilities, float32, shape (labels,).
        seconds: That the model took.
    """

    path: Path
    digest: bytes
    row: Row
    seconds: float


def scored(
    tagger: Tagger,
    photos: Sequence[Path],
    max_pixels: int,
    what: str,
    leave_out: Collection[bytes] = (),
) -> Iterator[Scored]:
    """Tag photos, a batch at a time, and show progress; equal pictures only once.

    Args:
        tagger: The model.
        photos: At least one of which can be decoded; the others are named and left out.
        max_pixels: Larger photos are refused.
        what: What is done, in a word.
        leave_out: Digests of pixels not to be looked at.
    """
    known = set(leave_out)
    for batch in batches(decode(tagger, photos, max_pixels), f"Tagging, {what}", len(photos)):
        fresh = {each.digest: (path, each.pixels) for path, each in batch}
        fresh = {digest: fresh[digest] for digest in fresh if digest not in known}
        if not fresh:
            continue
        known |= fresh.keys()
        started = time.perf_counter()
        rows = tagger.scores([pixels for _, pixels in fresh.values()])
        seconds = (time.perf_counter() - started) / len(fresh)
        for (digest, (path, _)), row in zip(fresh.items(), rows, strict=True):
            yield Scored(path, digest, row, seconds)


def against_truth(
    tagger: Tagger, truth: Mapping[bytes, Scored], others: Iterable[Scored], rules: Rules
) -> tuple[Comparison, float]:
    """Compare, and tell the seconds that the model took for a photo.

    Only scores are kept meanwhile, 18 KB a photo for RAM++, never the photos themselves.

    Args:
        tagger: Whose scores they are.
        truth: The other side, by digest.
        others: The same photos; what is not in the truth is left out.
        rules: How scores become keywords.

    Raises:
        NoImagesError: No photo is on both sides.
    """
    from photoramd.models.comparison import compare

    seconds = 0.0

    def pairs() -> Iterator[tuple[Row, Row]]:
        nonlocal seconds
        for each in others:
            if each.digest in truth:
                seconds += each.seconds
                yield truth[each.digest].row, each.row

    found = compare(tagger.vocabulary, pairs(), rules)
    return found, seconds / found.photos


def decode(
    tagger: Tagger, photos: Sequence[Path], max_pixels: int
) -> Iterator[tuple[Path, Decoded]]:
    """What the model sees of photos; those that cannot be decoded are named and left out.

    Raises:
        NoImagesError: None can be decoded.
    """
    from photoramd.pipeline.inference import prepare
    from photoramd.pipeline.lookahead import LookAhead
    from photoramd.system.cpu import available_cores

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
                yield path, decoded
    if not good:
        raise NoImagesError("none of the photos can be decoded")


def batches(things: Iterable[T], what: str, total: int) -> Iterator[list[T]]:
    """Batches of photos; shows progress on a terminal."""
    from rich.progress import Progress

    bar_console = console(stderr=True)
    rest = iter(things)
    with Progress(console=bar_console, disable=not bar_console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        while batch := list(islice(rest, _BATCH)):
            yield batch
            bar.advance(task, len(batch))
