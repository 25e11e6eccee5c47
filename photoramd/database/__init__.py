"""The state of photoramd in SQLite: photos, queue, scores, keywords, ledger, roots, requests.

Shows `connection.Database`, which the owning process opens, and what works on it: `photos.Photos`
(which files are known), `queue.Queue` (what waits, until when), `results.Results` (scores and
keywords), `ledger.Ledger` (what was written), `roots.HealthStore`, `requests.Requests`. Other
processes use `readonly.open_readonly`, `requests.submit`, `lock.holder`, `figures` (what only the
daemon knows), `prune` and `backups`.
In a second file: `features.Features` keeps what similar photos are found by, `vectors` reads it.
`description` says what tables and columns mean, and which are stable.

Must not know how photos are found, decoded, tagged or written, nor what users search for: it
stores and returns what others pass to it.
"""
