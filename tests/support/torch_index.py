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
        add_wheel(directory, name, f"{version}+cpu", "typing-extensions")


def add_wheel(index: Path, name: str, version: str, *needs: str) -> None:
    """Add a FAKE wheel to such a directory, beside others of the same name."""
    project = index / name
    project.mkdir(parents=True, exist_ok=True)
    _write_wheel(project, name, version, needs)
    links = [f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in project.glob("*.whl")]
    (project / "index.html").write_text("\n".join(links))


def _write_wheel(directory: Path, name: str, version: str, needs: tuple[str, ...]) -> None:
    """A wheel with nothing in it but its description."""
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    stem = f"{name.replace('-', '_')}-{version}"
    path = directory / f"{stem}-py3-none-any.whl"
    info = f"{stem}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{info}/{file}", text)
        record = "".join(f"{info}/{file},,\n" for file in [*files, "RECORD"])
        wheel.writestr(f"{info}/RECORD", record)
