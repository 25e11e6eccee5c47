"""The gallery: pages, an API and metrics over HTTP, for people and programs.

It reads the database beside the daemon, through `photoramd.search`, and writes nothing but
requests, which the daemon carries out. Photos are opened by their ids, beneath watched directories,
and decoded by contained workers.

Shows: `app.make_app`, `server.serve`. Must not know: how photos are tagged or written, the daemon,
the command line.
"""
