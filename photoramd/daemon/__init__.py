"""The daemon: one loop, assembled from a configuration, controlled by signals and systemd.

Shows `session.Session` (loops one after another), `assembly.assemble` (one loop for a command),
`loop.Daemon`, `hooks.Announcer` (what it tells others) and
`sd_notify.connect`. Where the model runs elsewhere, `remote_model` knows how.

Must not know how a photo is decoded, tagged or written: it calls the parts in turn.
"""
