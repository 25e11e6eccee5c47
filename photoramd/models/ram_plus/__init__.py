"""RAM++ (Recognize Anything Plus): Swin encoder, tag decoder, tagger, int8 calibration.

Shows `tagger.RamPlusTagger` and `calibration.Calibration`.

Must not know where its keywords are written.
"""
