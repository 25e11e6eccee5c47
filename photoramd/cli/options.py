"""Collect a command's options in one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

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
