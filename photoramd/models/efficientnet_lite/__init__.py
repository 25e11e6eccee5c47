"""The embedded model: EfficientNet-Lite0.

Shows `tagger.ImagenetTagger`.

Must not know where its keywords are written.
"""
