"""Complete a command line for bash, zsh and fish.

The shells' scripts call photoramd with the line up to the cursor in ``COMP_WORDS`` and print what
it offers, a line for each: a kind and a value. The kinds are click's (``plain``, ``file``, ``dir``)
and ``open``, behind which something still has to be typed, so that no space follows.

click's own scripts are not enough: bash splits a word at colons, and so at ``taken:2024``; values
with spaces are not quoted; and fish cuts them at commas.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import click
from click.shell_completion import CompletionItem, ShellComplete

VARIABLE = "_PHOTORAMD_COMPLETE"
"""Set in the environment to the shell's name when it asks."""

_BASH = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value"); compopt -o nospace ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(COMP_WORDS=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \\
        %(complete_var)s=bash "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local kind value
    local -a plain open
    while IFS=, read -r kind value; do
        case $kind in
            plain) plain+=("$value") ;;
            open) open+=("$value") ;;
            file) _path_files ;;
            dir) _path_files -/ ;;
        esac
    done < <(COMP_WORDS="${(j: :)words[1,CURRENT]}" \\
        %(complete_var)s=zsh "${(Q)words[1]}" 2>/dev/null)
    (( $#open )) && _describe -V field open -U -S ''
    (( $#plain )) && _describe -V value plain -U
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    for line in (env COMP_WORDS=(commandline -cp | string collect) \\
            %(complete_var)s=fish %(prog_name)s 2>/dev/null)
        set -l item (string split -m 1 , -- $line)
        switch $item[1]
            case plain open
                printf '%%s\\n' $item[2]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line up to the cursor.

    Attributes:
        words: The words before the one that is being typed, without their quotes.
        typed: The word that is being typed, likewise; empty where a new one begins.
        kept: How many of its characters bash takes for an earlier word.
        quote: The quote that is open, or nothing.
    """

    words: list[str]
    typed: str
    kept: int
    quote: str


def split(text: str, breaks: str = "") -> Line:
    """Split a command line as shells do.

    Args:
        text: The line up to the cursor.
        breaks: Characters that end a word for the completion in bash, besides white space and
            quotes: the variable COMP_WORDBREAKS, see bash(1).
    """
    words: list[str] = []
    word, quote, kept, is_begun = "", "", 0, False
    characters = iter(text)
    for character in characters:
        if character.isspace() and not quote:
            if is_begun:
                words.append(word)
            word, kept, is_begun = "", 0, False
            continue
        is_begun = True
        if character == quote or (not quote and character in "'\""):
            quote = "" if quote else character
            kept = len(word)
        elif character == "\\" and quote != "'":
            following = next(characters, "")
            word += following if not quote or following in '"\\$`' else f"\\{following}"
        else:
            word += character
            if not quote and character in breaks:
                # Readline leaves these with what follows them, as rl_special_prefixes.
                kept = len(word) - (character in "@$")
    return Line(words, word, kept, quote)


_QUOTED: dict[str, Callable[[str], str]] = {
    "": shlex.quote,
    "'": lambda value: value.replace("'", "'\\''"),
    '"': lambda value: re.sub(r'[\\"$`]', r"\\\g<0>", value),
}
"""What bash reads as a value, by the quote that is open: a tag may look like a command."""


class _Complete(ShellComplete):
    """Answers a shell; a shell's own rules are in the classes below."""

    @property
    def func_name(self) -> str:
        # That of zsh's file, which is called whenever zsh has read it.
        return f"_{self.prog_name}"

    def get_completion_args(self) -> tuple[list[str], str]:
        line = self._line()
        return line.words[1:], line.typed

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        try:
            return super().get_completions(args, incomplete)
        except Exception:
            return []  # such as a wrong option before it: nothing may disturb what is being typed

    def format_completion(self, item: CompletionItem[str]) -> str:
        kind = "open" if item.type == "plain" and item.value.endswith(":") else item.type
        return f"{kind},{self._value(item)}"

    def _line(self) -> Line:
        return split(os.environ["COMP_WORDS"], os.environ.get("COMP_WORDBREAKS", ""))

    def _value(self, item: CompletionItem[str]) -> str:
        raise NotImplementedError


class _Bash(_Complete):
    """bash puts a value into the line as it is, in place of what it takes for the last word."""

    name = "bash"
    source_template: ClassVar[str] = _BASH

    def _value(self, item: CompletionItem[str]) -> str:
        line, value = self._line(), item.value
        if value.startswith(line.typed[: line.kept]):
            value = value[line.kept :]
        return _QUOTED[line.quote](value)


class _Zsh(_Complete):
    """zsh quotes values; a colon parts them from their meaning."""

    name = "zsh"
    source_template: ClassVar[str] = _ZSH

    def _value(self, item: CompletionItem[str]) -> str:
        value = item.value.replace("\\", "\\\\").replace(":", "\\:")
        return f"{value}:{_one_line(item.help)}" if item.help else value


class _Fish(_Complete):
    """fish quotes values; a tab parts them from their meaning."""

    name = "fish"
    source_template: ClassVar[str] = _FISH

    def _value(self, item: CompletionItem[str]) -> str:
        return f"{item.value}\t{_one_line(item.help)}" if item.help else item.value


SHELLS: dict[str, type[_Complete]] = {each.name: each for each in (_Bash, _Zsh, _Fish)}


def complete(shell: str, program: click.Command) -> None:
    """Print what may stand at the end of the command line; nothing for an unknown shell.

    Args:
        shell: Who asks.
        program: The group of all commands.
    """
    if shell in SHELLS:
        # Without its locale the shell's characters are UTF-8 all the same.
        click.echo(_made(shell, program).complete().encode("utf-8", "surrogateescape"))


def script(shell: str, program: click.Command) -> str:
    """Return the script that makes a shell complete photoramd's command lines.

    Args:
        shell: One of `SHELLS`.
        program: The group of all commands.
    """
    return _made(shell, program).source()


def _made(shell: str, program: click.Command) -> _Complete:
    return SHELLS[shell](program, {}, "photoramd", VARIABLE)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
