"""``photoramd completion``: print what makes a shell complete commands."""

from __future__ import annotations

import click

from photoramd.cli.shells import SHELLS, script


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes bash, zsh or fish complete commands, options and tags.

    The installer puts it where each shell looks. For yourself alone:

    \b
      photoramd completion bash > ~/.local/share/bash-completion/completions/photoramd
      photoramd completion zsh > ~/.zfunc/_photoramd
      photoramd completion fish > ~/.config/fish/completions/photoramd.fish

    The directory must be there, and for zsh in its list, by fpath+=~/.zfunc before compinit.
    """
    click.echo(script(shell, context.find_root().command), nl=False)
