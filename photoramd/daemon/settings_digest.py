"""Tell settings of keywords apart: photos with another digest get their keywords chosen anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from photoramd.models.rules import Rules


def settings_digest(chosen: Rules, fields: Sequence[str]) -> str:
    """Return a digest of the settings that decide about keywords and fields."""
    names = ("threshold", "top_n", "overrides", "allow", "deny", "parent")
    values = {name: getattr(chosen, name) for name in names}
    content = [values, sorted(fields)]
    text = json.dumps(content, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else dict(value)  # type: ignore[call-overload]
