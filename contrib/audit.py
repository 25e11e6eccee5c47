#!/usr/bin/env python3
"""Ask for known weaknesses of everything that is pinned, with ``audit.py PIP-AUDIT``.

Exits with 0 if every package was asked about and none has an open one, with 1 if one has, and
with 3 if not every package could be asked about: no answer is no good news. pip-audit alone
ends with 0 there too.

A weakness that does not concern photoramd is accepted in pyproject.toml, with a reason and a
date on which the question is put again:

    [[tool.photoramd.accepted-weaknesses]]
    id = "GHSA-…"
    reason = "…"
    until = 2027-01-31
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = ("constraints.txt", "contrib/release-tools.txt")
TIMEOUT_SECONDS = 600
GOOD, WEAK, UNKNOWN = 0, 1, 3


def main() -> None:
    """Audit all files of pins; ends the process."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    accepted = project["tool"].get("photoramd", {}).get("accepted-weaknesses", [])
    worst = GOOD
    for file in FILES:
        lines, code = judge(ask(sys.argv[1], file), accepted, datetime.now(UTC).date())
        print(f"{file}: {lines[0]}")
        for line in lines[1:]:
            print(f"  {line}")
        # A weakness that was found matters more than packages without an answer.
        worst = WEAK if WEAK in (worst, code) else max(worst, code)
    if worst == UNKNOWN:
        print("This is no pass: run it where PyPI's advisories can be reached.")
    sys.exit(worst)


def ask(program: str, file: str) -> dict[str, Any] | str:
    """pip-audit's report about one file, or why there is none."""
    try:
        done = subprocess.run(
            [program, "--requirement", file, "--no-deps", "--disable-pip", "--format", "json",
             "--progress-spinner", "off"],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_SECONDS} seconds"
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return report


def judge(
    report: dict[str, Any] | str, accepted: Iterable[dict[str, Any]], today: date
) -> tuple[list[str], int]:
    """What a report means: a summary and details, and the exit code."""
    if isinstance(report, str):
        return ["NOT AUDITED: the service did not answer", report], UNKNOWN
    open_until = {each["id"]: each["until"] for each in accepted}
    dependencies = report["dependencies"]
    weak, silent = [], []
    for each in dependencies:
        if "skip_reason" in each:
            silent.append(f"no answer about {each['name']}: {each['skip_reason']}")
        for weakness in each.get("vulns", ()):
            names = {weakness["id"], *weakness.get("aliases", ())}
            if any(open_until.get(name, date.min) >= today for name in names):
                continue
            fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
            weak.append(f"{each['name']} {each['version']}: {weakness['id']}, mended in {fixed}")
    if weak:
        return [f"{len(weak)} known weaknesses", *weak, *silent], WEAK
    if silent or not dependencies:
        asked = len(dependencies) - len(silent)
        summary = f"NOT AUDITED: {asked} of {len(dependencies)} packages were answered for"
        return [summary, *silent[:3], *(["…"] if len(silent) > 3 else [])], UNKNOWN
    return [f"{len(dependencies)} packages, no known weakness"], GOOD


if __name__ == "__main__":
    main()
