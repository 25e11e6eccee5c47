"""Photo files and their pixels: recognize, open and decode them without trusting them.

Shows `opener.open_photo` (the header), `decoder.decode` (upright RGB), `looks.look_at` (size, and
what EXIF says), `wall_clock.moment`, `formats` (suffixes and signatures), `budget.MemoryRoom` and
`raw` (camera RAW: what its preview must contain).

Must not know models, keywords, the database, or what becomes of the pixels.
"""
