"""Weights of models: which files, where they are, and that they are the pinned bytes.

Shows `catalog` (the pins), `store.default_store`, `verified` (what is refused: other bytes than
the pinned ones), `converted` and `convert` (copies that load quickly), `download`, `install`.

Must not know networks: a file is bytes with a digest.
"""
