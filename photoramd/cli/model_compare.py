"""``photoramd model compare``: compare the tags of photos in two precisions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import echo_comparison, print_json
from photoramd.cli.photos import collect_photos, load_model, scored
from photoramd.cli.values import complete_model
from photoramd.config import loader
from photoramd.errors import NoImagesError
from photoramd.images import formats

if TYPE_CHECKING:
    from photoramd.cli import Settings

_PRECISIONS = click.Choice(["float32", "bfloat16", "int8"])


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of the command, by their names."""

    paths: tuple[Path, ...]
    name: str | None
    precision: str
    against: str
    limit: int
    as_json: bool


@click.command()
@click.argument("paths", nargs=-1, required=True, type=NamedPath(exists=True))
@click.option(
    "--model",
    "name",
    shell_complete=complete_model,
    help="The model. Default: the configured one.",
)
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
@collected(CompareOptions)
def compare(settings: Settings, options: CompareOptions) -> None:
    """Tag photos in two precisions, and tell how the tags differ.

    PATHS are photos or directories; they are only read. The models are loaded one after the
    other, so there need not be memory for both, and decode the photos once each.
    """
    configuration = loader.load(settings.config_path, need_file=False)
    photos = collect_photos(options.paths)
    if not photos:
        raise NoImagesError(
            "no images found",
            remedy=f"photoramd reads {', '.join(sorted(formats.photo_suffixes()))}",
        )
    from photoramd.daemon.assembly import rules
    from photoramd.models import comparison
    from photoramd.pipeline.direct import compare_scores

    precision, against = options.precision, options.against
    model = options.name or configuration.model.name
    max_pixels = configuration.decode.max_pixels
    chosen = comparison.spread(photos, options.limit)
    # Missing files are reported now, not after minutes with the other precision.
    load_model(model, precision, configuration.model)
    tagger = load_model(model, against, configuration.model)
    truth = {each.digest: each for each in scored(tagger, chosen, max_pixels, against)}
    slow = sum(each.seconds for each in truth.values()) / len(truth)
    del tagger
    tagger = load_model(model, precision, configuration.model)
    again = scored(tagger, [each.path for each in truth.values()], max_pixels, precision)
    found, fast = compare_scores(tagger, truth, again, rules(configuration))
    figures = found.as_dict()
    if options.as_json:
        seconds = {f"seconds_{against}": slow, f"seconds_{precision}": fast}
        print_json({"model": model, "precision": precision, "against": against} | figures | seconds)
        return
    click.echo(f"{model}, {precision} against {against}, {found.photos} photos")
    echo_comparison(found)
    click.echo(f"  {'seconds a photo, ' + against:44} {slow:.3f}")
    click.echo(f"  {'seconds a photo, ' + precision:44} {fast:.3f}")
