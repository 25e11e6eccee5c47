"""What the processor can do, and how much of it this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

# Linux's names: AVX512-BF16, AMX and Arm's BF16. Without one of them bfloat16 is emulated,
# several times slower than float32.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 numbers by itself; False if that is unknown."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        # x86 and Arm, in this order; all processors of a machine are taken to be alike.
        if key.strip() in ("flags", "Features"):
            return not _BFLOAT16.isdisjoint(value.split())
    return False


def available_cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0))
