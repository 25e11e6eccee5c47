"""A model in a process of its own, so that ending it returns all memory to the system.

Shows `tagger.UnloadingTagger`; `client` starts and asks the process, `worker` runs in it.

Must not know which model it is.
"""
