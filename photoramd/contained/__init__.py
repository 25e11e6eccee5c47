"""Parse what others made in processes that can do nothing else.

Shows `contained.Contained`, which has photos decoded and writes planned in worker processes, and
what holds for those. Must not know the database, or what becomes of a photo.
"""
