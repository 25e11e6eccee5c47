"""The embedded model: a classifier, a detector and heads for people and places.

Shows `tagger.EmbeddedTagger`.

Must not know where its keywords are written.
"""
