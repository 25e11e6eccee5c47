"""``photoramd tag``: the contract of the photoram command line.

Options, output formats and exit codes are those of photoram, so that scripts written for
it go on working; the options of photils-cli are understood as well.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from photoramd.cli.output import console, waiting
from photoramd.clock import unix_time
from photoramd.config import loader
from photoramd.errors import NoImagesError, PhotoramdError, UsageError, printable
from photoramd.images import formats
from photoramd.images.formats import recognise
from photoramd.photo import Tag
from photoramd.watch import filters

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.loader import Config
    from photoramd.models.rules import Rules
    from photoramd.models.tagger import Tagger

SEPARATOR = " | "
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Result:
    """What there is to print for one photo."""

    path: Path
    tags: Sequence[Tag] = ()
    error: str | None = None
    warnings: list[str] = field(default_factory=list)


@click.command("tag")
@click.argument("paths", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "-t",
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Keep tags from this confidence. Default: calibrated for each tag.",
)
@click.option("-n", "--top-n", type=click.IntRange(min=1), help="At most so many tags a photo.")
@click.option("-c", "--confidence", is_flag=True, help="Print confidences.")
@click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["json", "text", "csv"]),
    default="json",
    show_default=True,
    help="Output format.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
@click.option(
    "-r/-R",
    "--recursive/--no-recursive",
    default=True,
    show_default=True,
    help="Look into directories below the named ones.",
)
@click.option(
    "-w", "--write-metadata", is_flag=True, help="Add the tags to each photo's XMP sidecar."
)
@click.option(
    "--overrides",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of other words for tags: {tag: replacement}.",
)
@click.option("--batch-size", type=click.IntRange(1, 256), help="Photos for the model at once.")
@click.option("-T", "--timings", is_flag=True, help="Print timings to standard error.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu"]),
    default="auto",
    help="Run on; auto: as configured.",
)
@click.option("-i", "--image", type=click.Path(path_type=Path), hidden=True)
@click.option("--output_file", type=click.Path(path_type=Path, dir_okay=False), hidden=True)
@click.option("--with_confidence", is_flag=True, hidden=True)
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[Path, ...],
    threshold: float | None,
    top_n: int | None,
    confidence: bool,
    output_format: str,
    output: Path | None,
    recursive: bool,
    write_metadata: bool,
    overrides: Path | None,
    batch_size: int | None,
    timings: bool,
    quiet: bool,
    device: str,
    image: Path | None,
    output_file: Path | None,
    with_confidence: bool,
) -> None:
    """Print the tags of photos, without database or daemon.

    FILE is a photo, or a directory of photos. Photos are not changed; --write-metadata
    adds the tags to XMP files beside them.

    \b
    Exit codes:
      0  success (also if single photos failed: they have an "error")
      1  no images found
      2  invalid arguments
      3  model missing, or not the pinned bytes
      4  other runtime error
    """
    started = time.perf_counter()
    if image is not None:
        paths = (image, *paths)
    if not paths:
        raise UsageError("no photo named", remedy="photoramd tag FILE...; see photoramd tag --help")
    configuration = loader.load(settings.config_path, need_file=False)
    photos = list(dict.fromkeys(collect(paths, recursive)))
    if not any(os.path.lexists(photo) for photo in photos):
        raise NoImagesError(
            f"no images found in {', '.join(printable(path) for path in paths)}",
            remedy=f"photoramd reads {', '.join(sorted(formats.photo_suffixes()))}",
        )
    from photoramd.daemon.assembly import load_tagger, rules

    keyword_rules = _rules(rules(configuration), threshold, top_n, overrides)
    with nullcontext() if quiet else waiting("Loading the model"):
        tagger = load_tagger(_on(configuration, device))
    loaded = time.perf_counter()
    results = []
    with _progress(len(photos), quiet) as advance:
        for result in _tag(
            tagger,
            keyword_rules,
            photos,
            batch_size or configuration.debounce.batch_size,
            configuration.decode.max_pixels,
        ):
            if write_metadata and result.error is None:
                _write(result, tagger, configuration)
            results.append(result)
            advance()
    tagged = time.perf_counter()
    for result in results:
        for text in [*([result.error] if result.error else []), *result.warnings]:
            click.echo(f"{printable(result.path)}: {text}", err=True)
    _print(_render(results, output_format, confidence or with_confidence), output or output_file)
    if timings:
        click.echo(
            f"model load: {loaded - started:.3f} s\n"
            f"tagging:    {tagged - loaded:.3f} s"
            f" ({len(photos) / (tagged - loaded):.1f} images/s)\n"
            f"total:      {time.perf_counter() - started:.3f} s\n"
            f"images:     {len(photos)}",
            err=True,
        )


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; yields what to call for every photo."""
    from rich.progress import Progress

    bar_console = console(stderr=True)
    hidden = quiet or not bar_console.is_terminal
    with Progress(console=bar_console, disable=hidden, transient=True) as bar:
        task = bar.add_task("Tagging", total=total)
        yield lambda: bar.advance(task)


def collect(paths: Sequence[Path], recursive: bool) -> Iterator[Path]:
    """The photos among files and in directories; a named file's content counts too."""

    def complain(error: OSError) -> None:
        click.echo(f"{printable(error.filename)}: cannot be read: {error.strerror}", err=True)

    for path in paths:
        if not path.is_dir():
            if filters.is_photo_name(path.name) or not path.exists() or _is_image(path):
                yield path
            continue
        for directory, below, names in os.walk(path, onerror=complain):
            kept = [name for name in below if filters.is_photo_directory_name(name)]
            below[:] = sorted(kept) if recursive else []
            for name in sorted(names):
                if filters.is_photo_name(name):
                    yield Path(directory, name)


def _is_image(path: Path) -> bool:
    """Whether a file without a photo's suffix begins like an image."""
    try:
        with path.open("rb") as file:
            return recognise(file.read(SIGNATURE_BYTES)) is not None
    except OSError:
        return True  # reading it will tell what is wrong


def _rules(
    configured: Rules, threshold: float | None, top_n: int | None, overrides: Path | None
) -> Rules:
    from photoramd.config.overrides import load_overrides

    changed = configured
    if threshold is not None:
        changed = replace(changed, threshold=threshold)
    if top_n is not None:
        changed = replace(changed, top_n=top_n)
    if overrides is not None:
        changed = replace(changed, overrides=load_overrides(overrides))
    return changed


def _on(configuration: Config, device: str) -> Config:
    """The configuration with the device that was asked for; ``auto`` leaves the configured one."""
    if device == "auto":
        return configuration
    model = structs.replace(configuration.model, device=device)
    return structs.replace(configuration, model=model)


def _tag(
    tagger: Tagger, rules: Rules, photos: Sequence[Path], batch_size: int, max_pixels: int
) -> Iterator[Result]:
    """Results in the order of the photos, decoded ahead and inferred in batches."""
    from photoramd.models.rules import select
    from photoramd.pipeline.inference import Decoded, infer, prepare
    from photoramd.pipeline.lookahead import LookAhead
    from photoramd.system.cpu import available_cores

    def work(path: Path) -> Decoded:
        return prepare(tagger, path, max_pixels)

    rest = iter(photos)
    with LookAhead(work, threads=available_cores(), depth=2 * batch_size) as decoded:
        while True:
            for _, path in zip(range(decoded.room), rest, strict=False):
                decoded.submit(path)
            if not len(decoded):
                return
            batch = [decoded.take() for _ in range(min(batch_size, len(decoded)))]
            good = {d.digest: d.pixels for _, d in batch if not isinstance(d, PhotoramdError)}
            scores, failed = infer(tagger, good)
            for path, item in batch:
                error = item if isinstance(item, PhotoramdError) else failed.get(item.digest)
                if isinstance(item, PhotoramdError) or error is not None:
                    yield Result(path, error=error.message if error else None)
                else:
                    yield Result(path, select(tagger.vocabulary, scores[item.digest], rules))


def _write(result: Result, tagger: Tagger, configuration: loader.Config) -> None:
    """Add the tags to the photo's sidecar; there is no ledger without a database."""
    from photoramd.metadata.plan import Origin
    from photoramd.pipeline.writer import write_once

    origin = Origin(tagger.name, tagger.revision)
    above = Path(os.path.realpath(result.path)).parents
    lightroom_names = any(
        watch.path in above and watch.sidecar_names == "lightroom" for watch in configuration.watch
    )
    try:
        write_once(result.path, result.tags, origin, unix_time(), lightroom_names=lightroom_names)
    except PhotoramdError as error:
        result.warnings.append(f"tags not written: {error}")


def _render(results: Sequence[Result], output_format: str, confidence: bool) -> str:
    if output_format == "json":
        return json.dumps([_plain(r, confidence) for r in results], indent=2) + "\n"
    if output_format == "csv":
        return _csv(results, confidence)
    lines = [_text(result.tags, confidence) for result in results]
    if len(results) > 1:
        lines = [f"{printable(r.path)}\t{line}" for r, line in zip(results, lines, strict=True)]
    return "".join(f"{line}\n" for line in lines)


def _plain(result: Result, confidence: bool) -> dict[str, object]:
    plain: dict[str, object] = {
        "file": str(result.path),
        "tags": [tag.name for tag in result.tags],
    }
    if confidence:
        plain["confidences"] = [round(tag.confidence, 4) for tag in result.tags]
    if result.error is not None:
        plain["error"] = result.error
    return plain


def _text(tags: Sequence[Tag], confidence: bool) -> str:
    return SEPARATOR.join(
        f"{tag.name} ({tag.confidence:.2f})" if confidence else tag.name for tag in tags
    )


def _csv(results: Sequence[Result], confidence: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "tags", *(["confidences"] if confidence else [])])
    for result in results:
        row = [printable(result.path), SEPARATOR.join(tag.name for tag in result.tags)]
        if confidence:
            row.append(SEPARATOR.join(f"{tag.confidence:.4f}" for tag in result.tags))
        writer.writerow(row)
    return text.getvalue()


def _print(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PhotoramdError(
            f"cannot be written: {error.strerror}", path=output, remedy="name another --output"
        ) from error
