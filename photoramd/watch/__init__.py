"""Find photos and wait until they are whole.

Shows `supervisor.Supervisor` (the roots and their watches), `reconciler.Reconciler` (scans),
`watcher.Watcher` (events), `stability.StabilityTracker` with `debouncer.Debouncer` (how long a
file must be quiet), `filters.Filter`, `roots.Root` and `collect.collect`.

Must not know how photos are decoded, tagged or written; it ends where a row is queued.
"""
