"""Queries of users: expressions of tags, their translation into SQL, and the answers.

Shows `queries`: `parse`, `find`, `count`, `photo`, `counts`, `reasons`, `roots`, `tags`, `suggest`
and `advise`, for a connection from `open_readonly`. For a second file, of `StoredVectors`:
`similar.Similar` (the pictures most like one) and `near_duplicates.near_duplicates`. For
Prometheus: `metrics.exposition`.

Must not know the daemon or any command: it reads a database that another process may be writing
to, and never writes.
"""
