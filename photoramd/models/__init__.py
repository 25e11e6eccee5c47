"""Taggers: models that turn pixels into scores for the labels of a vocabulary.

A tagger is loaded once and stays resident. Nothing here imports torch; the modules of
the models do, when `load` asks for one of them.
"""
