"""Run a benchmark by name: ``python -m benchmarks NAME [ARGUMENTS]``."""

from __future__ import annotations

import importlib
import sys

from benchmarks import BENCHMARKS


def main() -> None:
    """Dispatch to the benchmark's own main."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        names = ",".join(sorted(BENCHMARKS))
        print(f"usage: python -m benchmarks {{{names}}} [--help] ...", file=sys.stderr)
        sys.exit(2)
    module = importlib.import_module(f"benchmarks.{sys.argv[1]}")
    sys.argv[0] = f"python -m benchmarks {sys.argv[1]}"
    sys.exit(module.main(sys.argv[2:]))


main()
