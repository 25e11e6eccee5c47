"""A package index with FAKE wheels of PyTorch, named as its builds for processors are."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write_index(directory: Path) -> None:
    """Write a directory that a web server makes an index of: see PEP 503."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name, version in re.findall(r"^(torch|torchvision)==(\S+)", pins, re.MULTILINE):
        project = directory / name
        project.mkdir(parents=True)
        wheel = _write_wheel(project, name, f"{version}+cpu")
        (project / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')


def _write_wheel(directory: Path, name: str, version: str) -> Path:
    """A wheel with nothing in it but its description; what it needs is on no such index."""
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Requires-Dist: typing-extensions\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = directory / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{info}/{file}", text)
        record = "".join(f"{info}/{file},,\n" for file in [*files, "RECORD"])
        wheel.writestr(f"{info}/RECORD", record)
    return path
