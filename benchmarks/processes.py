"""What Linux knows of other processes: proc(5)."""

from __future__ import annotations

import os
from pathlib import Path


def processor_seconds(process: int) -> float:
    """Return the processor time that a process and its threads have used: fields 14 and 15."""
    stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    # The name before may have parentheses and white space.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    return next(int(line.split()[1]) for line in lines.splitlines() if "VmRSS" in line) / 1024


def mapped_mib(process: int) -> dict[str, float]:
    """Return the sums over all mappings by their names, such as Rss and Pss; slower.

    See proc_pid_smaps(5).
    """
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
