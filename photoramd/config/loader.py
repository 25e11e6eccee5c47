"""Find, read and validate the configuration file; return frozen values.

The schema is in `photoramd.config.schema`. Each problem names file, key, value and what is
allowed; `examine` collects all of them, `load` raises the first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli

from photoramd.config import cluster, gallery, hooks
from photoramd.config.schema import Config, Tags
from photoramd.config.tables import Key, Table, format_value, tables
from photoramd.errors import ConfigError, ModelError, printable
from photoramd.models.weights.catalog import known_model
from photoramd.system import paths

_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """What `examine` found.

    Attributes:
        path: The file, or None where there is none and the defaults apply.
        config: The values, every path absolute; None if there are problems.
        problems: The errors, each naming key, value and what is allowed.
        warnings: What may be wrong.
        given: The keys that the file sets, such as ``watch[0].path``.
    """

    path: Path | None
    config: Config | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    given: frozenset[str]

    def accept(self) -> Config:
        """Return the values.

        Raises:
            ConfigError: There are problems; the message is the first one.
        """
        if self.config is not None:
            return self.config
        more = len(self.problems) - 1
        remedy = f"photoramd config check names {more} more" if more else None
        raise ConfigError(self.problems[0], path=self.path, remedy=remedy)


def load(path: Path | None = None, *, need_file: bool = True, need_watch: bool = False) -> Config:
    """Read the configuration.

    Args:
        path: The file; None looks in the usual places.
        need_file: Whether a missing file is an error; otherwise the defaults apply.
        need_watch: Whether it is an error that no directory is watched.

    Raises:
        ConfigError: The file is missing or has errors.
    """
    return examine(path, need_file=need_file, need_watch=need_watch).accept()


def examine(path: Path | None = None, *, need_file: bool = True, need_watch: bool = True) -> Report:
    """Read the configuration and collect everything that is wrong with it.

    Raises:
        ConfigError: The file is missing, cannot be read, or is not TOML.
    """
    found = paths.find_config(path)
    if found is None and need_file:
        raise ConfigError(
            f"there is no configuration file, neither {paths.searched()}",
            remedy="photoramd config init writes one",
        )
    document = _read(found) if found else {}
    problems = list(_check_document(document))
    if need_watch and not document.get("watch"):
        problems.append("watch: missing; add a section [[watch]] with the path of a directory")
    given = frozenset(_given(document))
    if problems:
        return Report(found, None, tuple(problems), (), given)
    config = msgspec.convert(document, Config, dec_hook=_decode_path)
    config, problems = _resolve(config, found, given)
    if not problems:
        problems = [*_check_watches(config), *_check_rest(config, given)]
    if problems:
        return Report(found, None, tuple(problems), (), given)
    return Report(found, _with_real_paths(config), (), warnings(config), given)


def _with_real_paths(config: Config) -> Config:
    """Return the configuration with symbolic links in watched directories' paths resolved.

    Otherwise a photo that two paths lead to would be two photos in the database.
    """
    watch = tuple(
        msgspec.structs.replace(each, path=Path(os.path.realpath(each.path)))
        for each in config.watch
    )
    return msgspec.structs.replace(config, watch=watch)


def warnings(config: Config) -> tuple[str, ...]:
    """Return what is not an error, but may keep photos from being tagged."""
    found = []
    for index, watch in enumerate(config.watch):
        key = f"watch[{index}].path: {printable(watch.path)}"
        kind = paths.kind_of(watch.path)
        if kind == "missing":
            found.append(f"{key} is not there now; it is watched as soon as it appears")
        elif kind == "unreachable" or not os.access(watch.path, os.R_OK | os.X_OK):
            found.append(f"{key} is not readable for this user")
    try:
        known_model(config.model.name).require(
            device=config.model.device, precision=config.model.precision
        )
    except ModelError as error:
        found.append(f"{error}; {error.remedy}")
    if missing := hooks.missing_program(config.hooks):
        found.append(f"hooks.tagged: {missing}")
    found += cluster.warnings(config.cluster, config.model.idle_unload_minutes)
    return tuple(found)


# --- From bytes to values ---


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        remedy = f"photoramd config init --path {printable(path)} writes one"
        raise ConfigError("no such file", path=path, remedy=remedy) from error
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            path=path,
            remedy="check its owner and mode with ls -l",
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError("larger than 1 MiB, surely no configuration", path=path)
    try:
        return tomli.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"not UTF-8 in line {line}", path=path, remedy="save it with UTF-8 encoding"
        ) from error
    except (ValueError, RecursionError) as error:
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(
            f"not valid TOML: {detail}",
            path=path,
            remedy="https://toml.io shows the syntax; texts stand in quotes",
        ) from error


def _decode_path(kind: type, value: Any) -> Any:
    """`msgspec.convert`'s hook for the one type it does not know."""
    if kind is not Path:
        raise NotImplementedError
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a path")
    return Path(value)


def _given(document: dict[str, Any]) -> Iterator[str]:
    for section, content in document.items():
        for index, entry in enumerate(content if isinstance(content, list) else [content]):
            where = f"{section}[{index}]" if isinstance(content, list) else section
            if isinstance(entry, dict):
                yield from (f"{where}.{name}" for name in entry)


# --- Form: every section and key by itself ---


def _check_document(document: dict[str, Any]) -> Iterator[str]:
    known = {table.name: table for table in tables()}
    for section, content in document.items():
        table = known.get(section)
        if table is None:
            yield f"{section}: {_unknown(section, list(known), 'section')}"
        elif table.example:
            yield from _check_texts(section, table, content)
        elif not table.repeated:
            yield from _check_section(section, table, content)
        elif not isinstance(content, list):
            yield f"{section}: written {table.header}, with two brackets, for it can be repeated"
        else:
            for index, entry in enumerate(content):
                yield from _check_section(f"{section}[{index}]", table, entry)


def _check_section(where: str, table: Table, content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"{where}: {_shown(content)} is not a section; allowed: {table.header} with keys"
        return
    known = {key.name: key for key in table.keys}
    for name, value in content.items():
        key = known.get(name)
        if key is None:
            yield f"{where}.{name}: {_unknown(name, list(known), 'key')}"
        else:
            yield from _check_value(f"{where}.{name}", key, value)
    for key in table.keys:
        if key.default is msgspec.NODEFAULT and key.name not in content:
            yield f"{where}.{key.name}: missing; allowed: {key.allowed}"


def _check_texts(where: str, table: Table, content: Any) -> Iterator[str]:
    """Check a section of texts under names that the user chooses."""
    if not isinstance(content, dict):
        yield f"{where}: {_shown(content)} is not a section; allowed: such as {table.example}"
        return
    for name, value in content.items():
        if not isinstance(value, str) or not value.strip():
            yield f"{where}.{name}: {_shown(value)} is not allowed; allowed: a text"
        elif not re.fullmatch(r"[\w.-]+", name):
            yield f"{where}.{name}: a name has letters, digits, - _ and . only"


def _check_value(where: str, key: Key, value: Any) -> Iterator[str]:
    try:
        msgspec.convert(value, key.type, dec_hook=_decode_path)
    except msgspec.ValidationError:
        yield f"{where}: {_shown(value)} is not allowed; allowed: {key.allowed}"


def _unknown(name: str, known: list[str], kind: str) -> str:
    """Describe an unknown name, with the nearest known one or where it belongs."""
    from difflib import get_close_matches  # takes longer to import than a file to read

    for close in get_close_matches(name, known, n=1):
        return f"unknown {kind}; did you mean {close}?"
    elsewhere = [key.dotted for table in tables() for key in table.keys if key.name == name]
    if elsewhere:
        return f"unknown {kind}; did you mean {' or '.join(elsewhere)}?"
    return f"unknown {kind}; allowed: {', '.join(known)}"


def _shown(value: Any) -> str:
    """Return a value in a message, as TOML where it can be, not too long."""
    simple = isinstance(value, bool | int | float | str | list)
    text = format_value(value) if simple else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- Meaning: values together, and the file system ---


def _resolve(config: Config, path: Path | None, given: frozenset[str]) -> tuple[Config, list[str]]:
    """Return the values with absolute paths and computed defaults, and the problems found."""
    problems: list[str] = []

    def absolute(value: Path, key: str) -> Path:
        # Unlike `Path.expanduser`, this leaves an unknown home as it is instead of raising.
        expanded = Path(os.path.expanduser(value))
        if not expanded.is_absolute():
            problems.append(
                f"{key}: {_shown(str(value))} is a relative path; allowed: an absolute path, "
                "or one below ~"
            )
        # Only "..", which may cross a symbolic link, needs a look at the disk; "//x" is "/x".
        return expanded.resolve() if ".." in expanded.parts else Path("/", *expanded.parts[1:])

    watch = tuple(
        msgspec.structs.replace(each, path=absolute(each.path, f"watch[{index}].path"))
        for index, each in enumerate(config.watch)
    )
    if "state.path" in given:
        database = absolute(config.state.path, "state.path")
    else:
        database = paths.default_database(path)

    def files(section: Any, name: str, keys: Sequence[str]) -> Any:
        """Return a section whose paths of files are absolute, where they are given."""
        given = {key: getattr(section, key) for key in keys}
        return msgspec.structs.replace(
            section,
            **{k: os.fspath(absolute(Path(v), f"{name}.{k}")) for k, v in given.items() if v},
        )

    if "gallery.cache" in given:
        cache = absolute(config.gallery.cache, "gallery.cache")
    else:
        cache = paths.default_cache(path)
    overrides = _overrides(config.tags.overrides, path, "tags.overrides" in given)
    resolved = msgspec.structs.replace(
        config,
        watch=watch,
        tags=msgspec.structs.replace(config.tags, overrides=overrides),
        state=msgspec.structs.replace(config.state, path=database),
        gallery=msgspec.structs.replace(
            files(config.gallery, "gallery", ["token_file"]), cache=cache
        ),
        **{name: files(getattr(config, name), name, keys) for name, keys in cluster.PATHS.items()},
    )
    return resolved, problems


def _overrides(name: Path | None, path: Path | None, is_given: bool) -> Path | None:
    """Return the overrides file; if one is named but missing, the path where it should be."""
    if name is None:
        return None
    base = path.absolute().parent if path else None
    found = paths.find_overrides(name, base)
    return base / name if found is None and is_given and base else found


def _check_watches(config: Config) -> Iterator[str]:
    reals: list[Path] = []
    for index, watch in enumerate(config.watch):
        key = f"watch[{index}].path: {printable(watch.path)}"
        if paths.kind_of(watch.path) == "other":
            yield f"{key} is not a directory"
        real = Path(os.path.realpath(watch.path))
        for other, other_real in enumerate(reals):
            name = f"watch[{other}].path ({printable(config.watch[other].path)})"
            if real == other_real:
                yield f"{key} is the same directory as {name}; remove one of them"
            elif real.is_relative_to(other_real):
                yield f"{key} is inside {name}, which covers it; remove one of them"
            elif other_real.is_relative_to(real):
                yield f"{key} contains {name}; remove one of them"
        reals.append(real)


def _check_rest(config: Config, given: frozenset[str]) -> Iterator[str]:
    quiet, longest = config.debounce.quiet_seconds, config.debounce.max_wait_seconds
    if longest < quiet:
        yield (
            f"debounce.max_wait_seconds: {format_value(longest)} is less than "
            f"debounce.quiet_seconds; allowed: {format_value(quiet)} or more"
        )
    yield from _check_vocabulary(config.tags)
    yield from hooks.problems(config.hooks)
    yield from gallery.problems(config.gallery)
    yield from cluster.problems(config.cluster, config.worker)
    model = config.model
    yield from cluster.model_problems(config.cluster, model.name, model.precision, model.device)
    database = config.state.path
    if paths.kind_of(database) == "directory":
        yield f"state.path: {printable(database)} is a directory; allowed: the path of a file"
    yield from _check_disk("state.path", database, database.parent)
    # Where it would be does not matter to those who have no gallery.
    if "gallery.cache" in given or config.gallery.thumbnails:
        yield from _check_cache(config.gallery.cache)


def _check_cache(cache: Path) -> Iterator[str]:
    if paths.kind_of(cache) == "other":
        yield f"gallery.cache: {printable(cache)} is a file; allowed: the path of a directory"
    yield from _check_disk("gallery.cache", cache, cache)


def _check_disk(key: str, path: Path, directory: Path) -> Iterator[str]:
    kind = paths.filesystem_type(directory)
    if paths.is_network_type(kind):
        yield (
            f"{key}: {printable(path)} is on a file system of type {kind}, where a database is "
            "not safe; allowed: a disk of this machine"
        )


def _check_vocabulary(tags: Tags) -> Iterator[str]:
    if tags.overrides is None and not tags.parent:
        return
    # The rules of keywords have a heavier import than most commands need.
    from photoramd.config.overrides import load_overrides
    from photoramd.keywords import KEYWORD_RULES, is_keyword

    if tags.parent and not is_keyword(tags.parent):
        yield f"tags.parent: {_shown(tags.parent)} is not allowed; {KEYWORD_RULES}"
    if tags.overrides is not None:
        try:
            load_overrides(tags.overrides)
        except ConfigError as error:
            yield f"tags.overrides: {error}"
