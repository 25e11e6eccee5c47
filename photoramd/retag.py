"""Asking for tags once more: photos whose tags were taken back, or chosen with old settings."""

from __future__ import annotations

from collections.abc import Sequence

from photoramd.database import Database
from photoramd.store import Job


def mark(database: Database, jobs: Sequence[Job]) -> None:
    """Have the keywords of photos chosen and written anew, undone ones too.

    Stored scores are used where there are some; what the user took out of a file stays out.
    The pipeline does the work (`Pipeline.choose_again`, in the same process).

    Raises:
        StoreError: The database failed.
    """
    with database.transaction() as db:
        db.executemany(
            """UPDATE photos SET undone_at = NULL, settings = NULL, next_attempt = 0,
                   attempts = 0, state = CASE WHEN state = 'failed' OR result_id IS NULL
                                              THEN 'pending' ELSE state END
               WHERE id = ? AND state <> 'missing'""",
            [(job.id,) for job in jobs],
        )
