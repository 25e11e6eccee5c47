"""Damage real files, and see that each costs only itself: make fuzz MINUTES=5.

    python -m tests.fuzz --minutes 5 --seed 1 --corpus DIRECTORY --keep DIRECTORY

Photos of all formats, sidecars and names are damaged at random and given to the real workers. What
must not happen is counted and kept: an error that is no photo's (a bug), a good photo that fails
afterwards, an original or a keyword of the user's that is not there any more, a worker that is
lost. A lost worker is contained, and costs its photo; it is worth a look, and a report to whoever
makes the decoder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import Campaign


def main() -> int:
    """Run for a time; return whether something happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="a directory with more files to begin with")
    parser.add_argument("--keep", type=Path, help="where files that did something are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        campaign = Campaign(Path(directory), options.seed, options.corpus, options.keep)
        with campaign:
            campaign.run(60 * options.minutes)
    print(campaign.report())
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
