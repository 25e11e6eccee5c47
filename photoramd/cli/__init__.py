"""The command line. Every command is a small module, imported when it is used.

Shows `main`, the program, and `cli`, the group of commands. Errors become text and an exit code
here and nowhere else.

Must not know how anything is done: a command parses its options, calls, and prints.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any, TextIO

import click
from click.shell_completion import CompletionItem

from photoramd import __version__
from photoramd.cli.options import NamedPath
from photoramd.errors import ExitCode, PhotoramdError
from photoramd.system.ending import end

COMMANDS = {
    "run": "Watch the configured directories and tag new photos, until stopped.",
    "scan": "Tag what is new in directories, once.",
    "tag": "Print the tags of photos, without database or daemon.",
    "query": "Find photos by tags, dates, cameras, places and more.",
    "tags": "List tags and how many photos have each.",
    "duplicates": "List groups of photos that show the same picture, or nearly the same.",
    "edit": "Add, reject and take back single tags, of up to 1,000 photos at once.",
    "undo": "Take back the tags that were written for photos.",
    "clean": "Remove sidecars that photoramd made for photos that are gone.",
    "show": "Show what is known of a photo.",
    "retag": "Choose and write the tags of photos anew, with the present settings.",
    "status": "Show what is done, waiting and wrong.",
    "serve": "Show the photos in a browser, and to programs.",
    "worker": "Run the model for daemons on other machines.",
    "doctor": "Check everything that the daemon needs, while it runs or before.",
    "config": "Write, check and show the configuration.",
    "model": "List, describe, fetch, verify, judge, compare and calibrate models.",
    "db": "Check, copy and restore the database, forget missing photos.",
    "completion": "Print what makes bash, zsh or fish complete commands, options and tags.",
}


@dataclass(frozen=True)
class Settings:
    """The options before the command."""

    config_path: Path | None
    verbose: bool


class _ReaderGoneError(Exception):
    """The reader of our output (head, less) has ended. click would exit with 1: no images found."""


@contextmanager
def _told_of_a_gone_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGoneError from error


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are needed.

    ``photoramd query`` must not wait for torch, nor ``--help`` for anything.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"photoramd.cli.{cmd_name}")
        command: click.Command = module.command
        _accept_config(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches  # only a mistake need wait for it

            close = get_close_matches(args[0], COMMANDS, n=1)
            if close:
                ctx.fail(f"There is no command '{args[0]}'. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _told_of_a_gone_reader():  # --help and --version print here
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _told_of_a_gone_reader():
            return super().invoke(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands, and the options before them."""
        names = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # A group would import every command for its help.
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _accept_config(command: click.Command) -> None:
    """Let a command and those below it take ``--config``, as the options before it do."""
    if not any("--config" in each.opts for each in command.params):
        command.params.append(
            click.Option(
                ["--config"],
                type=NamedPath(dir_okay=False),
                metavar="FILE",
                hidden=True,  # it is among the options before the command
                expose_value=False,
                callback=_set_config,
            )
        )
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _accept_config(each)


def _set_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    # A shell that asks for completions has not called the group, which makes the settings.
    context.find_root().params["config_path"] = value
    if context.obj is not None:
        context.obj = replace(context.obj, config_path=value)


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    "config_path",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="The configuration file. Default: the user's, else /etc/photoramd/config.toml.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log details.")
@click.version_option(__version__, prog_name="photoramd")
@click.pass_context
def cli(context: click.Context, config_path: Path | None, verbose: bool) -> None:
    """Tag the photos on a NAS, once each, and find them.

    Without a command it says what to do next.

    \b
    Exit codes:
      0   success
      1   no images found
      2   invalid arguments
      3   model missing, or not the pinned bytes
      4   other runtime error
      78  configuration error
      130 interrupted (Ctrl-C)
    """
    context.obj = Settings(config_path, verbose)
    if context.invoked_subcommand is None:
        from photoramd.cli.next_steps import next_steps

        click.echo("\n".join(next_steps(config_path)))


def main() -> None:
    """Run the command line, or complete it for a shell, and end the process."""
    shell = os.environ.get("_PHOTORAMD_COMPLETE")
    if shell is not None:
        from photoramd.cli.shells import complete

        complete(shell, cli)
        return
    _open_standard_streams()
    # numpy's OpenBLAS starts threads that wait actively for a tenth of a second, at each start.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        code = error.exit_code
        with _unless_nobody_reads(sys.stderr):
            error.show()
    except PhotoramdError as error:
        code = error.exit_code
        with _unless_nobody_reads(sys.stderr):
            _show(error)
    except SystemExit as ended:
        code = ended.code  # a stop while something was loaded
        if isinstance(code, str):
            with _unless_nobody_reads(sys.stderr):
                click.echo(code, err=True)
            code = 1
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except (_ReaderGoneError, BrokenPipeError):
        _drop(sys.stdout)
        code = ExitCode.SUCCESS
    except Exception as error:
        if isinstance(error, OSError) and error.errno == ENOSPC and error.filename is None:
            # Errors about files have names; this one is about redirected output.
            click.echo(f"photoramd: the output cannot be written ({error.strerror})", err=True)
            _drop(sys.stdout)
        else:
            # A bug: print the traceback, which helps to fix it, and exit with the right code.
            import traceback

            traceback.print_exc()
            click.echo("photoramd: this is a fault in photoramd; please report the above", err=True)
        code = PhotoramdError.exit_code
    end(code if isinstance(code, int) else 0)


def _open_standard_streams() -> None:
    """Open those that were closed at the start, or what is opened next gets their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    # Where it takes no letters beyond ASCII they become escapes, as standard error has them.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")


def _show(error: PhotoramdError) -> None:
    from photoramd.cli.output import Color, styled

    click.echo(f"{styled('photoramd:', Color.BAD)} {error}", err=True)
    if error.remedy:
        click.echo(f"  {error.remedy}", err=True)


@contextmanager
def _unless_nobody_reads(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _drop(stream)


def _drop(stream: TextIO) -> None:
    """Drop buffered output, which Python would fail to write at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
