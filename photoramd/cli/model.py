"""``photoramd model``: list, describe, fetch, import and verify models, and more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from photoramd.cli import model_calibrate, model_compare, model_eval
from photoramd.cli.options import NamedPath
from photoramd.cli.output import console, print_json
from photoramd.cli.values import complete_model
from photoramd.errors import ModelError, printable
from photoramd.models.weights import catalog, converted, verified
from photoramd.models.weights.catalog import Model, PinnedFile
from photoramd.models.weights.store import default_store
from photoramd.models.weights.verified import Progress

_MEASURED_STEP_BYTES = 1 << 20
"""No progress is shown for fewer bytes: they take no time."""


@click.group("model")
def command() -> None:
    """List, describe, fetch, verify, judge, compare and calibrate models."""


command.add_command(model_compare.compare)
command.add_command(model_calibrate.calibrate)
command.add_command(model_eval.evaluate)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_name = click.argument("name", default=catalog.EMBEDDED.name, shell_complete=complete_model)


@command.command("list")
@_json
def list_models(as_json: bool) -> None:
    """List the models, and whether their files are there."""
    models = [_describe(model) for model in catalog.MODELS.values()]
    if as_json:
        print_json(models)
        return
    width = max(len(model["name"]) for model in models)
    for model in models:
        size = f"{model['size_bytes'] / 1e6:,.0f} MB"
        click.echo(
            f"{model['name']:<{width}}  {model['state']:<13}  {size:>8}  {model['description']}"
        )


@command.command()
@_name
@_json
def info(name: str, as_json: bool) -> None:
    """Describe a model: its files, where they come from, their digests, where they are."""
    weights = _known(name).weights
    model = _describe(_known(name))
    if as_json:
        print_json(model)
        return
    for key in ("name", "description", "license", "state"):
        click.echo(f"{key + ':':<13} {model[key]}")
    for file in model["files"]:
        exact, whole = file["size_is_exact"], file["sha256_is_whole"]
        rest = "" if whole else "… (no more is published; noted whole when it is installed)"
        click.echo(f"\nfile:         {file['file']}")
        click.echo(f"size:         {'' if exact else 'about '}{file['size_bytes']:,} bytes")
        click.echo(f"SHA-256:      {file['sha256']}{rest}")
        click.echo(f"source:       {file['source']}")
        if file["url"]:
            click.echo(f"address:      {file['url']}")
        absent = "not installed"
        if file["file"] == weights.name and model["copies"]:
            absent += "; a converted copy serves in its place"
        click.echo(f"path:         {file['path'] or absent}")
    for copy in model["copies"]:
        click.echo(f"\nconverted copy: {copy['file']} ({copy['precision']})")
        click.echo(f"size:           {copy['size_bytes']:,} bytes")
        click.echo(f"path:           {copy['path']}")


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_model)
@_json
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check every byte of models' files; of all that are installed if none is named.

    Exits with 3 if a file is missing or not the pinned one.
    """
    models = [_known(name) for name in names] or [
        model for model in catalog.MODELS.values() if _state(model) != "not installed"
    ]
    errors: list[ModelError] = []
    reports: list[dict[str, Any]] = []
    with _bars() as begin:
        for model in models:
            present = converted.installed_copies(model.weights)
            # With a copy, the original may be deleted.
            pinned = [pin for pin in model.files if not (present and _is_dropped(pin, model))]
            files = [_verify(pin, begin, errors) for pin in pinned]
            files += [_verify_copy(copy, path, begin, errors) for copy, path in present]
            good = all(file["good"] for file in files)
            reports.append({"name": model.name, "good": good, "files": files})
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            for file in report["files"]:
                _echo_verified(report["name"], file)
    if errors:
        raise errors[0]


def _verify(pin: PinnedFile, begin: Any, errors: list[ModelError]) -> dict[str, Any]:
    report: dict[str, Any] = {"file": pin.name, "good": False, "path": None, "sha256": pin.sha256}
    try:
        path = verified.locate(pin)
        report["path"] = printable(path)
        report["sha256"] = verified.resolve_digest(pin).sha256
        verified.verify(pin, begin(f"verify {pin.name}", 0, path.lstat().st_size))
    except ModelError as error:
        errors.append(error)
        return report | {"problem": error.message}
    return report | {"good": True}


def _is_dropped(pin: PinnedFile, model: Model) -> bool:
    return pin == model.weights and _located(pin) is None


def _verify_copy(
    copy: converted.CopyName, path: Path, begin: Any, errors: list[ModelError]
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "file": copy.file,
        "good": False,
        "path": printable(path),
        "sha256": None,
    }
    try:
        verified = converted.open_copy(copy, begin(f"verify {copy.file}", 0, path.lstat().st_size))
        if verified is None:
            raise ModelError("was deleted meanwhile", path=path)
        with verified:
            return report | {"good": True, "sha256": verified.pin.sha256}
    except OSError as error:
        errors.append(ModelError(f"cannot be read: {error.strerror}", path=path))
    except ModelError as error:
        errors.append(error)
    return report | {"problem": errors[-1].message}


def _echo_verified(name: str, file: dict[str, Any]) -> None:
    if file["good"]:
        click.echo(f"{name}: good ({file['path']}, SHA-256 {file['sha256']})")
    else:
        click.echo(f"{name}: BAD ({file['path'] or file['file']}: {file['problem']})")


@command.command()
@click.argument("name", shell_complete=complete_model)
@click.option(
    "--without-weights",
    is_flag=True,
    help="Only what is needed here when the model runs on other machines.",
)
@_json
def fetch(name: str, without_weights: bool, as_json: bool) -> None:
    """Download a model's files, verify them and install them.

    What is already there and right is not fetched again, and an interrupted download goes on
    where it stopped. HF_TOKEN, HF_ENDPOINT and the variables of proxies count.
    """
    from photoramd.models.weights import install
    from photoramd.models.weights.download import Downloader

    model = _known(name)
    done = []
    try:
        with _bars() as begin:
            downloader = Downloader.from_environment()
            for installed in install.fetch(
                model, default_store(), downloader, begin, has_weights=not without_weights
            ):
                done.append(installed)
                if not as_json:
                    verb = "already installed" if installed.how == "kept" else "installed"
                    click.echo(
                        f"{installed.pin.name}: {verb}, verified ({printable(installed.path)})"
                    )
    except KeyboardInterrupt:
        click.echo("Interrupted; run the command again to go on.", err=True)
        raise
    if as_json:
        print_json(
            [
                {"name": name, "file": each.pin.name, "path": printable(each.path), "how": each.how}
                for each in done
            ]
        )
    elif without_weights:
        click.echo(f"{name}: what is needed here is there; its weights are the workers' affair")
    else:
        _echo_state(model)


@command.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=NamedPath())
@_json
def import_files(files: tuple[Path, ...], as_json: bool) -> None:
    """Install files that were copied from another machine.

    They are recognised by their bytes, whatever their names; `photoramd model info NAME` says
    where they can be had. Exits with 3 if one is not a file of any model.
    """
    from photoramd.models.weights import install

    models: dict[str, Model] = {}
    done: list[dict[str, str]] = []
    errors: list[ModelError] = []
    with _bars() as begin:
        for file in files:
            try:
                model, installed = install.import_file(
                    file, catalog.MODELS.values(), default_store(), begin
                )
            except ModelError as error:
                errors.append(error)
                continue
            models[model.name] = model
            path = printable(installed.path)
            done.append({"name": model.name, "file": installed.pin.name, "path": path})
            if not as_json:
                click.echo(
                    f"{printable(file)}: {installed.pin.name} of {model.name}, installed ({path})"
                )
    if as_json:
        print_json(done)
    else:
        for model in models.values():
            _echo_state(model)
    if errors:
        for other in errors[1:]:
            click.echo(f"photoramd: {other}", err=True)
        raise errors[0]


def _known(name: str) -> Model:
    return catalog.known_model(name, catalog.MODELS)


def _echo_state(model: Model) -> None:
    missing = _missing(model)
    if missing:
        click.echo(f"{model.name}: still missing: {', '.join(missing)}")
    else:
        click.echo(
            f"{model.name} is complete; the configuration chooses it: "
            f'name = "{model.name}" under [model]'
        )


def _describe(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "description": model.description,
        "license": model.license,
        "state": _state(model),
        "size_bytes": sum(pin.needed_bytes for pin in model.files),
        "files": [_describe_file(pin) for pin in model.files],
        "copies": [
            _describe_copy(copy, path) for copy, path in converted.installed_copies(model.weights)
        ],
    }


def _describe_copy(copy: converted.CopyName, path: Path) -> dict[str, Any]:
    return {
        "file": copy.file,
        "precision": copy.precision,
        "size_bytes": path.lstat().st_size,
        "path": printable(path),
    }


def _describe_file(pin: PinnedFile) -> dict[str, Any]:
    path = _located(pin)
    url = pin.url
    if pin.hub is not None:
        url = f"https://huggingface.co/{pin.hub.repository}/resolve/{pin.hub.revision}/{pin.name}"
    return {
        "file": pin.name,
        "size_bytes": pin.needed_bytes,
        "size_is_exact": pin.size_bytes is not None,
        "sha256": pin.sha256,
        "sha256_is_whole": pin.is_full,
        "source": pin.source,
        "url": url or None,
        "path": None if path is None else printable(path),
    }


def _state(model: Model) -> str:
    missing = _missing(model)
    if not missing:
        return "installed"
    return "incomplete" if len(missing) < len(model.files) else "not installed"


def _missing(model: Model) -> list[str]:
    """Return the names of missing files; a converted copy replaces the weights."""
    missing = [pin for pin in model.files if _located(pin) is None]
    return [
        pin.name
        for pin in missing
        if not (pin == model.weights and converted.installed_copies(model.weights))
    ]


def _located(pin: PinnedFile) -> Path | None:
    try:
        return verified.locate(pin)
    except ModelError:
        return None


@contextmanager
def _bars() -> Iterator[Any]:
    """Show progress bars on a terminal; elsewhere print a line when something long begins."""
    if not sys.stderr.isatty():
        yield _announce
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console(stderr=True), transient=True) as bars:

        def begin(what: str, done_bytes: int, total_bytes: int) -> Progress:
            if total_bytes < _MEASURED_STEP_BYTES:
                return _ignore
            task = bars.add_task(what, completed=done_bytes, total=total_bytes)
            return lambda count: bars.advance(task, count)

        yield begin


def _announce(what: str, done_bytes: int, total_bytes: int) -> Progress:
    if total_bytes >= _MEASURED_STEP_BYTES:
        resumed = f", {done_bytes / 1e6:,.0f} MB are there already" if done_bytes else ""
        click.echo(f"{what} ({total_bytes / 1e6:,.0f} MB{resumed})", err=True)
    return _ignore


def _ignore(_bytes: int) -> None:
    """Ignore progress."""
