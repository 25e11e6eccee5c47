"""Kill the daemon at every step of an edit and its undo, go on in a new process, and look.

Run by test_crashes.py in a process of its own, because it forks; see crash_driver.py.

    python -m tests.system.edit_driver SAMPLE_PHOTO DIRECTORY STRAND STRANDS sidecar|embed

Prints one JSON object a kill point.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from photoramd.config.schema import Config, Debounce, State, Tags, Watch
from photoramd.daemon import assembly
from photoramd.database.edits import edit_progress, request_edit, request_undo
from photoramd.database.mend import mend_sets
from photoramd.models import registry
from photoramd.search import queries
from tests.support.xmp import subjects
from tests.system import warm_workers
from tests.system.crash_driver import packet, scan


def look(config: Config, album: Path, edit: int) -> dict[str, Any]:
    """What the file, the ledger and the queries say, and how far an edit is."""
    with closing(queries.open_readonly(config.state.path)) as connection:
        progress = edit_progress(connection, edit)
        ledger = connection.execute(
            "SELECT value, rejected_at IS NOT NULL, is_leaving FROM ledger"
            " WHERE field LIKE '%dc:subject' ORDER BY value"
        ).fetchall()
        given = connection.execute("SELECT is_leaving FROM given_tags").fetchall()
        details = queries.photo(connection, album / "a.jpg")
    assert details is not None
    return {
        "keywords": sorted(subjects(packet(album, config.watch[0].write))),
        "progress": [progress.pending, progress.done, progress.failed],
        "ledger": ledger,
        "given": given,
        "tags": sorted(tag.name for tag in details.tags),
        "users": list(details.user_tags),
        "sets": mend_sets(config.state.path),
    }


def killed_and_completed(config: Config, point: int, ask: Callable[[], int]) -> tuple[bool, int]:
    """Ask for something, carry it out until killed, and once more; return whether it was killed."""
    edit = ask()
    # What comes before is as in any scan: from the first change (`Editing._apply`) on.
    killed = os.WIFSIGNALED(scan(config, point, after="_apply"))
    assert scan(config, None) == 0
    return killed, edit


def main() -> None:
    warm_workers.prepare()
    sample, directory = Path(sys.argv[1]), Path(sys.argv[2])
    strand, strands, write = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    tagger = registry.load("embedded", threads=1)
    assembly.load_tagger = lambda _: tagger
    album = directory / "album"
    album.mkdir()
    shutil.copyfile(sample, album / "a.jpg")
    config = Config(
        watch=(Watch(path=album, write=write),),
        debounce=Debounce(quiet_seconds=0.01, max_wait_seconds=1.0, batch_size=2),
        tags=Tags(overrides=None),
        state=State(path=directory / "photoramd.db"),
    )
    assert scan(config, None) == 0
    database = config.state.path
    # Of some 80, every twelfth: an undo is killed halfway between, and the other mode between
    # these, so together they have every third.
    first, stride = (1, 12) if write == "sidecar" else (4, 12)
    for point in count(first + strand * stride, strands * stride):
        # The album is again as it was after each, so the next one begins with the same.
        was_killed, edit = killed_and_completed(
            config, point, lambda: request_edit(database, [1], add=["Oma"], reject=["building"])
        )
        edited = look(config, album, edit)
        was_killed_again, undo = killed_and_completed(
            config,
            point + stride // 2,
            lambda edit=edit: request_undo(database, edit),  # type: ignore[misc]
        )
        undone = look(config, album, undo)
        killed = was_killed or was_killed_again
        print(json.dumps({"point": point, "killed": killed, "edited": edited, "undone": undone}))
        if not killed:
            return


if __name__ == "__main__":
    main()
