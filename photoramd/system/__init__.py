"""Linux: files, processes, processors, memory, signals, mounts and logging.

Shows `atomic` (replace a file), `files` (open it safely), `child` (child processes),
`process_group` (programs of others), `mounts`, `paths` (photoramd's own places), `cpu`,
`memory`, `container` (whether this is one, and what starts the daemon there), `users`,
`signals.Interrupts`, `ending` (the process's) and `log.configure`.

Must not know photos, keywords, models or the database: a fingerprint of a file is all it sees.
"""
