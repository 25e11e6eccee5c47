"""``photoramd tag``: tag photos as the photoram command line did.

Options, output formats and exit codes are those of photoram, so that scripts written for it
keep working; the options of photils-cli are accepted, too.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from photoramd.cli.answers import TaggedFile
from photoramd.cli.options import FiniteRange, NamedPath, collected
from photoramd.cli.output import progress_bar, waiting
from photoramd.cli.photos import collect_photos
from photoramd.clock import unix_time
from photoramd.config import loader, schema
from photoramd.errors import NoImagesError, PhotoramdError, UsageError, printable
from photoramd.images import formats
from photoramd.photo import Tag

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.schema import Config
    from photoramd.models.rules import Rules
    from photoramd.models.tagger import Tagger

SEPARATOR = " | "

_LOOKED_AT_BYTES = 4096
"""Of a file that is to be replaced: what is no text shows it by then."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one photo, as it is printed."""

    path: Path
    tags: Sequence[Tag] = ()
    error: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TagOptions:
    """The options of the command, by their names."""

    paths: tuple[Path, ...]
    threshold: float | None
    top_n: int | None
    confidence: bool
    output_format: str
    output: Path | None
    recursive: bool
    write_metadata: bool
    overrides: Path | None
    batch_size: int | None
    timings: bool
    quiet: bool
    device: str
    image: Path | None
    output_file: Path | None
    with_confidence: bool


@click.command("tag")
@click.argument("paths", nargs=-1, metavar="FILE...", type=NamedPath())
@click.option(
    "-t",
    "--threshold",
    type=FiniteRange(0, 1),
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
@click.option("-o", "--output", type=NamedPath(dir_okay=False), help="Write to this file.")
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
    type=NamedPath(exists=True, dir_okay=False),
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
@click.option("-i", "--image", type=NamedPath(), hidden=True)
@click.option("--output_file", type=NamedPath(dir_okay=False), hidden=True)
@click.option("--with_confidence", is_flag=True, hidden=True)
@click.pass_obj
@collected(TagOptions)
def command(settings: Settings, options: TagOptions) -> None:
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
    paths = options.paths if options.image is None else (options.image, *options.paths)
    if not paths:
        raise UsageError("no photo named", remedy="photoramd tag FILE...; see photoramd tag --help")
    configuration = loader.load(settings.config_path, need_file=False)
    photos = collect_photos(paths, recursive=options.recursive)
    if not any(os.path.lexists(photo) for photo in photos):
        raise NoImagesError(
            f"no images found in {', '.join(printable(path) for path in paths)}",
            remedy=f"photoramd reads {', '.join(sorted(formats.photo_suffixes()))}",
        )
    output = options.output or options.output_file
    if output is not None:
        _require_replaceable(output, photos)
    from photoramd.daemon.assembly import load_tagger, rules
    from photoramd.pipeline.direct import tag_photos

    keyword_rules = _rules(rules(configuration), options)
    with nullcontext() if options.quiet else waiting("Loading the model"):
        tagger = load_tagger(_on(configuration, options.device))
    loaded = time.perf_counter()
    results = []
    tagging = tag_photos(
        tagger,
        keyword_rules,
        photos,
        batch_size=options.batch_size or configuration.debounce.batch_size,
        max_pixels=configuration.decode.max_pixels,
    )
    with progress_bar("Tagging", len(photos), is_hidden=options.quiet) as show:
        for done_photos, tagged in enumerate(tagging, 1):
            error = None if tagged.error is None else tagged.error.message
            result = Result(tagged.path, tagged.tags, error)
            if options.write_metadata and result.error is None:
                _write(result, tagger, configuration)
            results.append(result)
            show(done_photos)
    done = time.perf_counter()
    for result in results:
        for text in [*([result.error] if result.error else []), *result.warnings]:
            click.echo(f"{printable(result.path)}: {text}", err=True)
    confidence = options.confidence or options.with_confidence
    text = _render(results, options.output_format, confidence)
    _print(text, output)
    if options.timings:
        click.echo(
            f"model load: {loaded - started:.3f} s\n"
            f"tagging:    {done - loaded:.3f} s"
            f" ({len(photos) / (done - loaded):.1f} images/s)\n"
            f"total:      {time.perf_counter() - started:.3f} s\n"
            f"images:     {len(photos)}",
            err=True,
        )


def _rules(configured: Rules, options: TagOptions) -> Rules:
    from photoramd.config.overrides import load_overrides

    changed = configured
    if options.threshold is not None:
        changed = replace(changed, threshold=options.threshold)
    if options.top_n is not None:
        changed = replace(changed, top_n=options.top_n)
    if options.overrides is not None:
        changed = replace(changed, overrides=load_overrides(options.overrides))
    return changed


def _on(configuration: Config, device: str) -> Config:
    """Return the configuration with another device; ``auto`` keeps the configured one."""
    if device == "auto":
        return configuration
    model = structs.replace(configuration.model, device=device)
    return structs.replace(configuration, model=model)


def _write(result: Result, tagger: Tagger, configuration: schema.Config) -> None:
    """Add the tags to the photo's sidecar; there is no ledger without a database."""
    from photoramd.metadata.plan import Origin
    from photoramd.pipeline.writer import write_once
    from photoramd.system.beneath import named

    origin = Origin(tagger.name, tagger.revision)
    above = Path(os.path.realpath(result.path)).parents
    lightroom_names = any(
        watch.path in above and watch.sidecar_names == "lightroom" for watch in configuration.watch
    )
    try:
        photo = named(result.path)
        write_once(photo, result.tags, origin, unix_time(), lightroom_names=lightroom_names)
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


def _plain(result: Result, confidence: bool) -> TaggedFile:
    plain = TaggedFile(file=str(result.path), tags=[tag.name for tag in result.tags])
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


def _require_replaceable(output: Path, photos: Sequence[Path]) -> None:
    """Refuse to write tags over what they cannot be: a shell may make a photo the value of -o.

    Raises:
        UsageError: It is a photo, a sidecar, or a file that is no text.
    """
    target = Path(os.path.realpath(output))
    kinds = {*formats.photo_suffixes(), ".xmp"}
    is_photo = not kinds.isdisjoint({output.suffix.lower(), target.suffix.lower()})
    if is_photo or any(os.path.realpath(each) == os.fspath(target) for each in photos):
        raise UsageError(
            f"{printable(output)} is the name of a photo or a sidecar, which tags would replace",
            remedy="name another --output, such as tags.json",
        )
    try:
        with target.open("rb") if target.is_file() else io.BytesIO() as there:
            there.read(_LOOKED_AT_BYTES).decode()
    except UnicodeDecodeError as error:
        if error.start < _LOOKED_AT_BYTES - 4:
            raise UsageError(
                f"{printable(output)} is there, and is not what an earlier run wrote",
                remedy="name another --output, or remove it",
            ) from error
    except OSError:
        pass  # whoever writes it finds out


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
