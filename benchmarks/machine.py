"""What the benchmarks run on, without anything that names the machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from PIL import features

from photoramd.system.cpu import available_cores

_PACKAGES = (
    "photoramd",
    "onnxruntime",
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "pillow-heif",
    "lxml",
    "msgspec",
    "safetensors",
    "watchdog",
)

# What networks and decoders choose their code by; Linux's names, of x86 and of Arm.
_CAPABILITIES = (
    "sse4_2",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "asimd",
    "sve",
    "i8mm",
    "bf16",
)

_ROOT = Path(__file__).resolve().parent.parent


def describe() -> dict[str, str | int | float]:
    """Processor, memory, system and versions, by name."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "cores for this process": available_cores(),
        "capabilities": " ".join(name for name in _CAPABILITIES if name in flags),
        "memory GiB": round(pages * page_bytes / 2**30, 1),
        # Only the numbers: what follows them may name a provider or a host.
        "kernel": f"{platform.system()} {_numbers(platform.release())}",
        "load before": round(os.getloadavg()[0], 2),
        **versions(),
    }


def versions() -> dict[str, str]:
    """Of Python, of the libraries that do the work, and of the sources."""
    found = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libjpeg-turbo": features.version("libjpeg_turbo") or "absent",
        "zlib": features.version("zlib") or "absent",
        "C library": " ".join(platform.libc_ver()),
        "valgrind": program_version("valgrind", "--version"),
        "exiftool": program_version("exiftool", "-ver"),
        "revision": _revision(),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def program_version(program: str, option: str) -> str:
    """What a program says; ``absent`` if it is missing."""
    path = shutil.which(program)
    if path is None:
        return "absent"
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def devices() -> dict[str, str]:
    """The classes of devices: what each is, or why it is absent. Imports torch."""
    import torch

    cuda = "absent: torch finds no CUDA device"
    if torch.cuda.is_available():
        cuda = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    mps = "present" if torch.backends.mps.is_available() else "absent: torch finds no MPS device"
    cpu = f"torch uses {torch.backends.cpu.get_cpu_capability()}"
    return {"cpu": cpu, "cuda": cuda, "mps": mps}


def _cpuinfo() -> dict[str, str]:
    """The first processor of proc(5)'s cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _numbers(release: str) -> str:
    match = re.match(r"[\d.]+", release)
    return match[0].rstrip(".") if match else "unknown"


def _revision() -> str:
    """Of the sources, with a mark if they were changed since."""
    done = subprocess.run(
        ["git", "-C", _ROOT, "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def command(name: str, arguments: list[str]) -> str:
    """How a benchmark was started, for the record."""
    return " ".join(["python -m benchmarks", name, *arguments])


def python() -> str:
    """The interpreter that runs this, for further processes."""
    return sys.executable
