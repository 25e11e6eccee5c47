"""Decide which paths count: photos in a watched directory that are not excluded.

Left out are what other programs put beside photos (half-copied files, thumbnails, snapshots,
recycle bins), everything hidden, photoramd's own temporary files, and what the user excludes.

The user's patterns are close to those of gitignore, relative to the watched directory:

- A pattern without a slash, or with one only at its end, matches a name at any depth:
  ``*.gif``, ``Export/``. One with a slash is anchored at the watched directory: ``2019/raw``.
- ``*`` and ``?`` stand for anything but a slash, ``[abc]`` and ``[!abc]`` for one character;
  ``**/`` stands for any number of directories, ``/**`` for everything inside. A backslash
  takes the meaning from the next character.
- A pattern that matches a directory leaves out everything below it; one that ends in a slash
  matches directories only.
- Unlike in gitignore, case does not count (``*.gif`` also means ``A.GIF``), nor does the way
  an accented letter is composed, ``#`` begins no comment (``#recycle`` is a name on a NAS),
  and ``!`` cannot take something back: such a pattern is an error.

Paths are ``str`` with undecodable bytes as surrogates, as ``os.fsdecode`` and ``os.scandir``
give them.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

from photoramd.errors import ConfigError
from photoramd.images.formats import WITH_RAW, photo_suffixes

# Hidden names cover `.syncthing.*`, rsync's `.name.XXXXXX`, `._*`, `.stfolder`, `.stversions`,
# `.Trash*` and TEMPORARY_PREFIX.
_IGNORED_PREFIXES = (".", "~syncthing~")
_IGNORED_SUFFIXES = (".part", ".tmp", "_exiftool_tmp")
# Thumbnails, deleted files and snapshots, as Synology, QNAP, Windows and Linux name them.
_IGNORED_DIRECTORIES = frozenset(
    {
        "@eaDir",
        "#recycle",
        "#snapshot",
        "@Recycle",
        "@Recently-Snapshot",
        "$RECYCLE.BIN",
        "lost+found",
        "__MACOSX",
    }
)
# The libraries of Lightroom, Apple Photos and Aperture are databases of these programs.
_IGNORED_DIRECTORY_SUFFIXES = (".lrdata", ".photoslibrary", ".aplibrary", *_IGNORED_SUFFIXES)


def is_photo_name(name: str, suffixes: Collection[str] | None = None) -> bool:
    """Return whether a file of this name, without its directory, can be a photo to tag.

    Args:
        name: Its name.
        suffixes: Those that count; None: `photo_suffixes`.
    """
    suffixes = photo_suffixes() if suffixes is None else suffixes
    # The suffix comes first: it alone settles most of the other files. It also rules out
    # _IGNORED_SUFFIXES, since none of them ends in a photo's suffix.
    dot = name.rfind(".")
    return name[dot:].lower() in suffixes and not name.startswith(_IGNORED_PREFIXES)


def is_photo_directory_name(name: str) -> bool:
    """Return whether photos in a directory of this name are tagged."""
    return not (
        name in _IGNORED_DIRECTORIES
        or name.startswith(_IGNORED_PREFIXES)
        or name.lower().endswith(_IGNORED_DIRECTORY_SUFFIXES)
    )


class Filter:
    """Which paths below one watched directory count. Safe to share between threads.

    Args:
        root: The watched directory. Its own path may be hidden or match a pattern.
        exclude: The user's patterns; see the module.

    Raises:
        ConfigError: A pattern is empty or negated.
    """

    def __init__(self, root: str | os.PathLike[str], exclude: Sequence[str] = ()) -> None:
        self._suffixes = photo_suffixes()
        self._left_out = WITH_RAW - self._suffixes
        self._root = os.fspath(root).rstrip("/") + "/"
        self._excluded = _compile(exclude) if exclude else None
        # The files of a directory come one after the other, so the last answer is remembered.
        self._last: tuple[str | None, bool] = (None, False)

    def wants(self, path: str | os.PathLike[str]) -> bool:
        """Return whether the file at an absolute path is a photo to tag, by its path alone."""
        return self._judge(os.fspath(path), self._suffixes)

    def leaves_out(self, path: str | os.PathLike[str]) -> bool:
        """Return whether the file at a path is a RAW that is not tagged for want of a decoder."""
        return self._judge(os.fspath(path), self._left_out)

    def _judge(self, text: str, suffixes: Collection[str]) -> bool:
        parent, _, name = text.rpartition("/")
        if not is_photo_name(name, suffixes):
            return False
        last_parent, entered = self._last
        if parent != last_parent:
            entered = self.enters(parent)
            self._last = (parent, entered)
        return entered and not self._excludes(text, is_directory=False)

    def enters(self, directory: str | os.PathLike[str]) -> bool:
        """Return whether photos may be below this absolute path: the root, or a directory in it."""
        text = os.fspath(directory).rstrip("/")
        if not text.startswith(self._root):
            return text + "/" == self._root
        names = text[len(self._root) :].split("/")
        return all(map(is_photo_directory_name, names)) and not self._excludes(
            text, is_directory=True
        )

    def _excludes(self, path: str, *, is_directory: bool) -> bool:
        if self._excluded is None:
            return False
        relative = _comparable(path[len(self._root) :])
        return self._excluded.match(relative + "/" if is_directory else relative) is not None


def _comparable(text: str) -> str:
    # macOS writes decomposed names, keyboards type composed ones.
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _compile(patterns: Sequence[str]) -> re.Pattern[str]:
    """Return one expression for all patterns; directories are matched with a slash at their end."""
    return re.compile("|".join(map(_translate, patterns)), re.IGNORECASE | re.DOTALL)


def _translate(pattern: str) -> str:
    text = _comparable(pattern)
    if not text.strip("/"):
        raise ConfigError(
            f'exclude: the pattern "{pattern}" is empty',
            remedy='name what to leave out, such as "Export/**" or "*.gif"',
        )
    if text.startswith("!"):
        raise ConfigError(
            f'exclude: the pattern "{pattern}" begins with "!", which is not supported',
            remedy=r'write narrower patterns; for a name that begins with "!" write "\!"',
        )
    only_directories = text.endswith("/")
    parts = text.strip("/").split("/")
    # Only a slash at the beginning or between names anchors a pattern.
    anchor = "" if "/" in text.rstrip("/") else "(?:.*/)?"
    # What matched must be the whole path or one of the directories on it.
    end = "/" if only_directories else r"(?:/|\Z)"
    try:
        return re.compile(f"{anchor}{_translate_parts(parts)}{end}").pattern
    except re.error as error:
        raise ConfigError(
            f'exclude: the pattern "{pattern}" is malformed: {error}',
            remedy=r"put a backslash before a bracket that stands for itself",
        ) from error


def _translate_parts(parts: Sequence[str]) -> str:
    *directories, last = parts
    expressions = [
        "(?:[^/]+/)*" if part == "**" else _translate_name(part) + "/" for part in directories
    ]
    return "".join(expressions) + (".*" if last == "**" else _translate_name(last))


def _translate_name(name: str) -> str:
    expressions: list[str] = []
    position = 0
    while position < len(name):
        for token, translate in _TOKENS:
            if found := token.match(name, position):
                expressions.append(translate(found))
                position = found.end()
                break
    return "".join(expressions)


def _translate_class(found: re.Match[str]) -> str:
    characters = re.escape(found["characters"]).replace(r"\-", "-")
    return f"[^/{characters}]" if found["negated"] else f"[{characters}]"


def _translate_literal(found: re.Match[str]) -> str:
    return re.escape(found["character"])


_TOKENS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"\*+"), lambda _: "[^/]*"),
    (re.compile(r"\?"), lambda _: "[^/]"),
    # A closing bracket that comes first is one of the characters.
    (re.compile(r"\[(?P<negated>[!^]?)(?P<characters>\]?[^]]*)]"), _translate_class),
    (re.compile(r"\\?(?P<character>.)", re.DOTALL), _translate_literal),
]
