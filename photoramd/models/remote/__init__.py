"""Models on other machines: what is said on the wire, and the side that asks.

Shows: `photoramd.models.remote.protocol` to both sides, the tagger to whoever assembles a daemon.
Must not know: ray, torch, files of photos, and the database.
"""
