"""Run a benchmark by name: ``python -m benchmarks NAME [ARGUMENTS]``."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

# What benchmarks are made of, not benchmarks themselves.
_PARTS = {"__main__", "photos", "ram_plus_reference", "random_weights", "samples"}


def main() -> None:
    """Dispatch to the benchmark's own main."""
    names = sorted({module.name for module in pkgutil.iter_modules(benchmarks.__path__)} - _PARTS)
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: python -m benchmarks {{{','.join(names)}}} [--help] ...", file=sys.stderr)
        sys.exit(2)
    module = importlib.import_module(f"benchmarks.{sys.argv[1]}")
    sys.argv[0] = f"python -m benchmarks {sys.argv[1]}"
    module.main(sys.argv[2:])


main()
