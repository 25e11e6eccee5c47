"""Keywords in sidecars and inside photos: read, merge, plan, verify.

Shows `plan_sidecar.plan_sidecar` and `plan_embedding.plan_photo`, which return a `plan.Plan` and
write nothing, `merge.merge`, `sidecar` (which file), `xmp_keywords` (how a keyword is spelled in
XMP), `fields` (the keyword fields), `embedded.read_keywords`, `taken.with_time` and
`exiftool.ExifTool`.

Must not know the database, models, or when something is written.
"""
