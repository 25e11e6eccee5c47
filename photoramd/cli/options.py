"""What commands have in common: options in one value, and parts that must be installed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from photoramd.errors import PIP, ToolError

T = TypeVar("T")


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
