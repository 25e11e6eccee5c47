"""Answers to queries from plain rows: each photo is looked at, with no set and no index."""

from __future__ import annotations

import math
import os
import re
import sqlite3
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from photoramd.keywords import comparison_key as key
from photoramd.search.expression import (
    And,
    Expression,
    Field,
    Near,
    Not,
    Or,
    Range,
    Recurring,
    Term,
    Text,
    leaves,
)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _is_like(text: Text, name: str) -> bool:
    """Whether a whole name is as a text says."""
    return _pattern(text).fullmatch(name) is not None


@cache
def _pattern(text: Text) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(key(part)) for part in text.parts), re.DOTALL)


def _is_in(text: Text, name: str) -> bool:
    return _is_like(text, name) if text.is_exact or text.is_pattern else key(text.text) in name


class Rows:
    """All rows of a database, as Python's values."""

    def __init__(self, db: sqlite3.Connection) -> None:
        def table(name: str) -> list[dict[str, Any]]:
            found = db.execute(f"SELECT * FROM {name}")  # noqa: S608
            columns = [column[0] for column in found.description]
            return [dict(zip(columns, row, strict=True)) for row in found]

        self.labels = {row["id"]: key(row["name"]) for row in table("labels")}
        self.edges = {
            (self.labels[row["label_id"]], self.labels[row["parent_id"]])
            for row in table("label_parents")
        }
        self.roots = [_shown(row["path"]) for row in table("roots")]
        directories = {row["id"]: row["path"] for row in table("directories")}
        named = {
            name: {row["id"]: key(row["name"]) for row in table(name)}
            for name in ("cameras", "lenses", "formats")
        }
        results = {row["id"]: row for row in table("results")}
        self.photos = table("photos")
        by_id = {photo["id"]: photo for photo in self.photos}
        for photo in self.photos:
            photo |= {"machine": {}, "own": {}, "rejected": [], "scores": {}, "look": None,
                      "directory": directories[photo["directory_id"]], "has_read": False,
                      "result": results.get(photo["result_id"])}  # fmt: skip
        for row in table("keywords"):
            given = by_id[row["photo_id"]]["machine"]
            given.setdefault(self.labels[row["label_id"]], []).append(row["confidence"])
        for row in table("user_keywords"):
            own = by_id[row["photo_id"]]["own"]
            own.setdefault(self.labels[row["label_id"]], []).append(bool(row["is_above"]))
        for row in table("ledger"):
            if (
                row["rejected_at"] is not None
                and row["field"].removeprefix("photo:") == "dc:subject"
            ):
                by_id[row["photo_id"]]["rejected"].append(key(row["value"]))
        for row in table("scores"):
            for photo in self.photos:
                if photo["result_id"] == row["result_id"]:
                    scores = photo["scores"].setdefault(self.labels[row["label_id"]], [])
                    scores.append(row["score"])
        for row in table("read_sidecars"):
            by_id[row["photo_id"]]["has_read"] = True
        for row in table("looks"):
            row["camera"] = named["cameras"].get(row["camera_id"])
            row["lens"] = named["lenses"].get(row["lens_id"])
            row["format"] = named["formats"][row["format_id"]]
            by_id[row["photo_id"]]["look"] = row

    def answer(
        self, expression: Expression, *, under: Path | None = None, missing: bool = False
    ) -> set[int]:
        """The ids of the photos that match."""
        missing = missing or any(
            isinstance(leaf, Field) and leaf.name in ("is", "state")
            and Text(("missing",), leaf.values[0].is_exact) in leaf.values  # type: ignore[union-attr]
            for leaf in leaves(expression)
        )  # fmt: skip
        found = set()
        for photo in self.photos:
            top = os.fsencode(under).rstrip(b"/") + b"/" if under else b"/"
            is_there = missing or photo["state"] != "missing"
            if (
                is_there
                and (photo["directory"] + b"/").startswith(top)
                and self._holds(photo, expression)
            ):
                found.add(photo["id"])
        return found

    def _holds(self, photo: dict[str, Any], expression: Expression) -> bool:
        if isinstance(expression, Not):
            return not self._holds(photo, expression.operand)
        if isinstance(expression, And):
            return all(self._holds(photo, each) for each in expression.operands)
        if isinstance(expression, Or):
            return any(self._holds(photo, each) for each in expression.operands)
        if isinstance(expression, Term):
            expression = Field("tag", (Text(expression.parts),), expression.confidence)
        return any(self._has(photo, expression, value) for value in expression.values)

    def _has(self, photo: dict[str, Any], field: Field, value: Any) -> bool:
        name, look, text = field.name, photo["look"] or {}, value
        if name in ("tag", "auto", "user"):
            return self._is_tagged(photo, field, value)
        if name == "rejected":
            return any(_is_like(text, each) for each in photo["rejected"])
        if name == "by":
            return bool(photo["machine"] if text.text == "machine" else photo["own"])
        if name == "score":
            return any(each in value for given in photo["machine"].values() for each in given)
        if name == "scored":
            return any(
                (_is_like(text, label) or _is_like(text, label.rpartition(": ")[2]))
                and any(score in (field.confidence or Range()) for score in scores)
                for label, scores in photo["scores"].items()
            )
        if name in ("path", "folder", "name", "ext", "root"):
            return self._is_at(photo, name, text)
        if name in ("taken", "added", "tagged", "changed"):
            return _is_within(photo, look, name, value)
        if name in ("camera", "lens"):
            return look.get(name) is not None and _is_in(text, look[name])
        if name == "type":
            return look.get("format") == text.text
        if name in ("iso", "f", "mm", "exposure", "width", "height"):
            return look.get(name) is not None and look[name] in value
        if name == "mp":
            return bool(look) and look["width"] * look["height"] / 1e6 in value
        if name == "size":
            return photo["size"] in value
        if name in ("is", "state"):
            return _is_a(photo, look, text.text)
        if name in ("has", "no"):
            return _knows(photo, look, text.text) == (name == "has")
        if name == "reason":
            is_queued = photo["state"] not in ("written", "missing")
            return is_queued and photo["reason"] is not None and _is_in(text, key(photo["reason"]))
        if name in ("model", "revision"):
            return photo["result"] is not None and _is_like(text, key(photo["result"][name]))
        if name == "near":
            return self._is_near(look, value)
        assert name == "same"
        other = self._named(text.text)
        return photo is other or bool(
            photo["result"]
            and other["result"]
            and photo["result"]["digest"] == other["result"]["digest"]
        )

    def _is_tagged(self, photo: dict[str, Any], field: Field, text: Text) -> bool:
        wanted = {label for label in self.labels.values() if _is_like(text, label)}
        if not text.is_exact:
            while more := {child for child, parent in self.edges if parent in wanted} - wanted:
                wanted |= more
        given = [each for label in wanted for each in photo["machine"].get(label, ())]
        if field.confidence is not None:
            return any(each in field.confidence for each in given)
        own = [above for label in wanted for above in photo["own"].get(label, ())]
        is_own = any(not above or not text.is_exact for above in own)
        return {"tag": bool(given) or is_own, "auto": bool(given), "user": is_own}[field.name]

    def _is_at(self, photo: dict[str, Any], name: str, text: Text) -> bool:
        directory, file = _shown(photo["directory"]), _shown(photo["name"])
        if name == "name":
            return _is_in(text, key(file))
        if name == "ext":
            suffix = photo["name"].rpartition(b".")[2].lower()
            if len(suffix) > 8 or not re.fullmatch(rb"[a-z0-9]*", suffix):
                suffix = b""
            dotless = Text((text.parts[0].removeprefix("."), *text.parts[1:]))
            return _is_like(dotless, suffix.decode())
        if name == "folder":
            return any(_is_in(text, key(part)) for part in directory.split("/") if part)
        if name == "root":
            return any(
                (directory + "/").startswith(root + "/")
                and (_is_like(text, key(root)) or _is_like(text, key(root.rpartition("/")[2])))
                for root in self.roots
            )
        folders = key(directory) + "/"
        whole = folders + key(file)
        parts = [key(part) for part in text.parts]
        start = "" if parts[0].startswith("/") else "/"
        if text.is_pattern:
            pattern = ".*".join(map(re.escape, parts)) + r"\Z" * text.is_exact
            places = range(len(folders) - 1) if start else range(1)
            return any(
                re.match(re.escape(start) + pattern, whole[place:], re.DOTALL) for place in places
            )
        if text.is_exact:
            return whole == parts[0] if not start else whole.endswith("/" + parts[0])
        if not start:
            return whole.startswith(parts[0])
        place = whole.find("/" + parts[0])
        return 0 <= place < len(folders) - 1

    def _is_near(self, look: dict[str, Any], near: Near) -> bool:
        lat, lon = near.lat, near.lon
        if lat is None or lon is None:
            other = self._named(near.path)["look"]
            lat, lon = other["lat"], other["lon"]
        if not look or look["lat"] is None or look["lon"] is None:
            return False
        here, there = _point(lat, lon), _point(look["lat"], look["lon"])
        return 2 * 6_371_008.8 * math.asin(min(1.0, math.dist(here, there) / 2)) <= near.metres

    def _named(self, path: str) -> dict[str, Any]:
        directory, name = os.path.split(os.fsencode(path))
        (found,) = (p for p in self.photos if (p["directory"], p["name"]) == (directory, name))
        return found


def _point(lat: float, lon: float) -> tuple[float, float, float]:
    a, b = math.radians(lat), math.radians(lon)
    return math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)


def _is_within(photo: dict[str, Any], look: dict[str, Any], name: str, value: Any) -> bool:
    if name == "taken":
        seconds = look.get("taken")
    else:
        column, unit = {"added": ("found_at", 1), "tagged": ("tagged_at", 1),
                        "changed": ("mtime_ns", 1e9)}[name]  # fmt: skip
        unix = photo[column]
        seconds = None
        if unix is not None:  # what this machine's clock showed then
            whole = math.floor(unix / unit)
            shown = datetime.fromtimestamp(whole).replace(tzinfo=UTC)
            seconds = shown.timestamp() + (unix / unit - whole)
    if seconds is None:
        return False
    if isinstance(value, Range):
        return seconds in value
    assert isinstance(value, Recurring)
    day = datetime.fromtimestamp(math.floor(seconds), UTC)
    wanted = (value.year, day.year), (value.month, day.month), (value.day, day.day)
    return all(part is None or part == own for part, own in wanted)


def _is_a(photo: dict[str, Any], look: dict[str, Any], what: str) -> bool:
    if what == "untagged":
        return not photo["machine"] and not photo["own"]
    if what == "undone":
        return photo["undone_at"] is not None
    if what == "raw":
        return look.get("format") == "raw"
    if what not in ("portrait", "landscape", "square", "panorama"):
        return bool(photo["state"] == what)
    if not look:
        return False
    width, height = look["width"], look["height"]
    return {
        "portrait": height > width * 1.02,
        "landscape": width > height * 1.02,
        "square": height / 1.02 <= width <= height * 1.02,
        "panorama": max(width, height) >= 2 * min(width, height),
    }[what]


def _knows(photo: dict[str, Any], look: dict[str, Any], what: str) -> bool:
    return {
        "gps": look.get("lat") is not None and look.get("lon") is not None,
        "taken": look.get("taken") is not None,
        "camera": look.get("camera") is not None,
        "tag": bool(photo["machine"] or photo["own"]),
        "sidecar": photo["has_read"]
        or (photo["place"] is not None and photo["sidecar"] is not None),
    }[what]
