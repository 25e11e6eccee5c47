"""What commands have in common: options in one value, and parts that must be installed."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click

from photoramd.errors import PIP, ToolError

T = TypeVar("T")


class NamedPath(click.Path):
    """A path that has a name: of an empty one, as of an unset variable, Python makes ".".

    Args:
        exists: Whether it must be there.
        dir_okay: Whether it may be a directory.
        file_okay: Whether it may be a file.
    """

    def __init__(
        self, *, exists: bool = False, dir_okay: bool = True, file_okay: bool = True
    ) -> None:
        super().__init__(exists=exists, dir_okay=dir_okay, file_okay=file_okay, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return it as a Path; an empty one is refused."""
        if not os.fspath(value):
            self.fail("A path must not be empty.", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A range of numbers that lets neither nan nor inf through, as click's does."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it as a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to count with.", param, ctx)
        return number


def collected(kind: Callable[..., T]) -> Callable[[Callable[[Any, T], None]], Callable[..., None]]:
    """Call a command with click's object and one value that holds all its options.

    Args:
        kind: A dataclass whose attributes have the options' names.
    """

    def decorate(command: Callable[[Any, T], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(context: Any, **options: Any) -> None:
            command(context, kind(**options))

        return call

    return decorate


def require_extra(what: str, extra: str, packages: Sequence[str]) -> None:
    """Look for the packages of an extra, without importing them.

    Args:
        what: What needs them.
        extra: The name of the extra.
        packages: Their import names.

    Raises:
        ToolError: One is not installed.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ToolError(
            f"{what} needs what is not installed: {', '.join(missing)}",
            remedy=f"{PIP} 'photoramd[{extra}]'",
        )
