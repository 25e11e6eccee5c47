"""Ask what the processor can do, and how much of it this process may use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_GROUP = re.compile(r"^\d+:([^:\n]*):/(.*)$", re.MULTILINE)  # controllers, path: cgroups(7)

# Linux's names: AVX512-BF16, AMX and Arm's BF16. Without one of them bfloat16 is emulated,
# several times slower than float32.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})

# oneDNN, which multiplies for torch, can be limited to some instruction sets; these values allow
# bfloat16 (https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html).
_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITH_BFLOAT16 = re.compile(r"(ALL|DEFAULT|AVX512_CORE_(BF16|FP16|AMX.*)|AVX10.*|)", re.IGNORECASE)


def has_bfloat16(cpuinfo: Path = _CPUINFO, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the processor multiplies bfloat16 itself; False if that is unknown.

    Args:
        cpuinfo: Linux's description of the processor.
        environment: Variables that may forbid instruction sets.
    """
    cap = next((environment[name] for name in _CAPS if name in environment), "")
    if not _WITH_BFLOAT16.fullmatch(cap):
        return False
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        # x86 and Arm, in this order; all processors of a machine are assumed to be alike.
        if key.strip() in ("flags", "Features"):
            return not _BFLOAT16.isdisjoint(value.split())
    return False


def available_cores(cgroup: Path = _OWN_CGROUP, root: Path = _CGROUPS) -> int:
    """Return how many processors this process may use, within its control groups' quotas."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *map(round, _quotas(cgroup, root))]))


def _quotas(cgroup: Path, root: Path) -> Iterator[float]:
    """Yield the quotas of the control groups around this process, in processors.

    Formats: "cpu.max" in the Linux kernel's cgroup-v2.rst, quota and period in microseconds; and
    for version 1, which older NAS systems have, the two files in sched-bwc.rst. In version 1
    each controller has a tree of its own, or a link to one that it shares, and a line in
    /proc/self/cgroup.
    """
    try:
        groups = _GROUP.findall(cgroup.read_text())
    except (OSError, ValueError):
        return
    for controllers, own in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        group = top / own
        while group.is_relative_to(top):
            try:
                quota, period = map(int, _limits(group, bool(controllers)))
                if quota > 0:
                    yield quota / period
            except (OSError, ValueError, ZeroDivisionError):
                pass  # none, as the topmost group of version 2, or "max"
            group = group.parent


def _limits(group: Path, is_first_version: bool) -> list[str]:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if is_first_version else ("cpu.max",)
    return " ".join((group / name).read_text() for name in names).split()
