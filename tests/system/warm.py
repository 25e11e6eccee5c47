"""Start daemons from a process that has loaded the model: a tenth of a second each.

    python -m tests.system.warm CONFIG

For every line of its input it forks a process that goes on as `photoramd run` does, prints
the id of that, and waits for its end. What is loaded is what `photoramd run` would load.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from photoramd import cli
from photoramd.config import loader
from photoramd.daemon import assembly


def main() -> None:
    configuration = loader.load(Path(sys.argv[1]), need_watch=True)
    tagger = assembly.load_tagger(configuration)
    assembly.load_tagger = lambda _: tagger
    sys.argv = ["photoramd", "--config", sys.argv[1], "run"]
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                cli.main()
            finally:
                os._exit(1)
        print(child, flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
