"""Layers for inference on CPUs, shared by networks.

Shows `linear.Linear` with its precision, `attention.attend`, `norm.Norm`, `quantized` (int8) and
`state_dict.Weights`.

Must not know which network uses them.
"""
