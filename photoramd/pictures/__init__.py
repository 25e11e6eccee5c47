"""Small pictures of photos for people to look at: kept ones, else made by a worker.

Shows `provider.Pictures`, and `subjects.find_subject` for the photos of the database. Must not know
who asks, how pictures are sent, or what is in them.
"""
