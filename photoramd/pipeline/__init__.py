"""Take photos from the queue through decoding, the model and the writer.

Shows `pipeline.Pipeline` (one batch at a time), `writer.Writer` with `planner.WriteSettings`,
`undo.undo`, `inference` (from a file to scores), `scorer.Scorer` (stored scores first),
`lookahead.LookAhead` and `direct` (without a database).

Must not know how photos are found, or when the loop runs.
"""
