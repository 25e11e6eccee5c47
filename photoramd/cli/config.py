"""``photoramd config``: write, check and show the configuration."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from photoramd.cli.options import NamedPath
from photoramd.cli.output import print_json
from photoramd.cli.values import complete_model
from photoramd.config import loader as configuration
from photoramd.config.sample import sample
from photoramd.config.schema import Config
from photoramd.config.tables import format_value, tables
from photoramd.errors import ConfigError, UsageError, printable
from photoramd.models.weights.catalog import known_model
from photoramd.system import paths

_FILE = NamedPath(dir_okay=False)


@click.group(name="config")
def command() -> None:
    """Write, check and show the configuration."""


def _file(context: click.Context, path: Path | None) -> Path | None:
    """Return the file that the command's own option names, else the global one."""
    return path or getattr(context.obj, "config_path", None)


@command.command()
@click.option("--path", type=_FILE, help="Where to write it. Default: where photoramd looks.")
@click.option(
    "--photos",
    type=NamedPath(),
    multiple=True,
    metavar="DIR",
    help="A directory to watch; may be repeated.",
)
@click.option(
    "--model",
    shell_complete=complete_model,
    help="The model; photoramd model list tells which there are.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@click.pass_context
def init(
    context: click.Context,
    path: Path | None,
    photos: tuple[Path, ...],
    model: str | None,
    force: bool,
) -> None:
    """Write a commented sample of the configuration file."""
    target = _file(context, path) or paths.default_config()
    for each in photos:
        if "\\x" in printable(each):
            raise UsageError("a configuration file cannot hold this name", path=each)
    if model is not None:
        known_model(model)
    try:
        _write(target, sample([each.absolute() for each in photos], model=model), force)
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}",
            path=target,
            remedy="--path writes to another place",
        ) from error
    click.echo(f"Wrote {printable(target)}")
    steps = "" if photos else " set the path of your photos under [[watch]] in it, then"
    click.echo(f"Next:{steps}")
    option = "" if target == paths.find_config() else f" --config {printable(target)}"
    click.echo(f"  photoramd{option} config check")


def _write(target: Path, text: str, overwrite: bool) -> None:
    """Write a file that everybody may read, as a whole, replacing one only if told to.

    Raises:
        ConfigError: There is a file, and ``overwrite`` is false.
        OSError: It cannot be written.
    """
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
        # Root's umask may be strict, but the daemon has a user of its own.
        target.parent.chmod(0o755)
    if overwrite:
        # The file may be a link to another place of its owner's.
        target = Path(os.path.realpath(target))
    else:
        _reserve(target)
    descriptor, name = tempfile.mkstemp(prefix=".config-", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _reserve(target: Path) -> None:
    """Create an empty file, unless something has that name."""
    try:
        target.open("x").close()
    except FileExistsError as error:
        raise ConfigError(
            "exists already, and was left as it is",
            path=target,
            remedy="--force overwrites it, --path writes to another place",
        ) from error


@command.command()
@click.option("--config", "path", type=_FILE, help="The file to check.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def check(context: click.Context, path: Path | None, as_json: bool) -> None:
    """List what is wrong with the configuration. Exits with 78 if anything is."""
    try:
        report = configuration.examine(_file(context, path))
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"file": error.path, "problems": [error.message], "warnings": []})
        context.exit(error.exit_code)
    name = printable(report.path or "")
    warnings = [*report.warnings, *_wrong_searches(report.config)]
    if as_json:
        print_json({"file": name, "problems": report.problems, "warnings": warnings})
    else:
        for problem in report.problems:
            click.echo(f"{name}: {problem}")
        for warning in warnings:
            click.echo(f"{name}: warning: {warning}")
        if not report.problems:
            click.echo(f"{name}: good")
    if report.problems:
        context.exit(ConfigError.exit_code)


def _wrong_searches(config: Config | None) -> Iterator[str]:
    """Yield what is wrong with saved searches; they cost nothing but themselves."""
    from photoramd.search.parser import parse

    for name, text in ({} if config is None else config.searches).items():
        try:
            parse(text, searches=config.searches if config else {})
        except UsageError as error:
            yield f"searches.{name}: {error.message}; {error.remedy}"


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def show(context: click.Context, as_json: bool) -> None:
    """Print the configuration in effect, as TOML. Defaults are marked."""
    report = configuration.examine(_file(context, None), need_file=False, need_watch=False)
    config = report.accept()
    name = None if report.path is None else printable(report.path)
    if as_json:
        values = msgspec.to_builtins(config, enc_hook=_encode_path)
        print_json({"file": name, "given": sorted(report.given), "config": values})
        return
    click.echo(f"# {name}" if name else "# There is no configuration file: these are defaults.")
    click.echo("\n".join(_effective(config, report.given)))


def _encode_path(value: Path) -> str:
    return printable(value)


def _effective(config: Config, given: frozenset[str]) -> Iterator[str]:
    """Yield the lines of a TOML file with every key."""
    for table in tables():
        content = getattr(config, table.name)
        if table.example:
            yield ""
            yield table.header
            yield from (f"{name} = {format_value(text)}" for name, text in content.items())
            continue
        for index, section in enumerate(content if table.repeated else [content]):
            where = f"{table.name}[{index}]" if table.repeated else table.name
            yield ""
            yield table.header
            for key in table.keys:
                value = getattr(section, key.name)
                if value is None:
                    yield f"# {key.name} is not set"
                    continue
                mark = "" if f"{where}.{key.name}" in given else "  # default"
                yield f"{key.name} = {format_value(value)}{mark}"
