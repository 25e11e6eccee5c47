"""Read the file that maps labels to the user's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from photoramd.errors import ConfigError
from photoramd.keywords import KEYWORD_RULES, is_keyword, normalise

if TYPE_CHECKING:
    pass


def load_overrides(path: Path) -> dict[str, str]:
    """Read a JSON object that maps labels to replacements.

    Raises:
        ConfigError: The file cannot be read or is not such an object.
    """
    allowed = 'a JSON object of texts, such as {"tabby": "our cat", "lens cap": ""}'
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the overrides: {error.strerror}",
            path=path,
            remedy=f"create the file or correct its name; it holds {allowed}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the overrides are not JSON: {error}", path=path, remedy=f"make it {allowed}"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"the overrides are a JSON {_json_name(content)}, not an object",
            path=path,
            remedy=f"make it {allowed}",
        )
    for label, replacement in content.items():
        if not isinstance(replacement, str):
            raise ConfigError(
                f"the override of {label!r} is a {_json_name(replacement)}, not a text",
                path=path,
                remedy=f"make it {allowed}; an empty text drops the label",
            )
        if normalise(replacement) and not is_keyword(normalise(replacement)):
            raise ConfigError(
                f"the override of {label!r} is no keyword: {replacement!r}",
                path=path,
                remedy=KEYWORD_RULES,
            )
    return content


def _json_name(value: object) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
