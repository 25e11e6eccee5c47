"""Taggers: models that turn pixels into scores, and rules that turn scores into keywords.

Shows `registry.load`, the protocol `tagger.Tagger`, `vocabulary.Vocabulary`, `rules.Rules` with
`rules.select`, `isolated.tagger.UnloadingTagger` (a model in a process of its own),
`remote.tagger.RemoteTagger` (one on other machines), `availability` (of these two), `features`
(what pictures are compared by, of taggers that know it) and `weights` (pinned, verified files).
A model's module imports torch; nothing else here does.

Must not know photo files, the database, or the configuration.
"""
