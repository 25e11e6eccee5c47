"""The names of the orders that photos may come in."""

from __future__ import annotations

from typing import Literal, get_args

Sort = Literal["path", "taken", "added", "score", "random"]
SORTS: tuple[str, ...] = get_args(Sort)
