"""Measurements, and what they are made of. See docs/benchmarks.md."""

STANDARD = ("decode", "inference", "pipeline", "scan", "write", "query", "memory", "instructions")
"""What ``python -m benchmarks suite`` measures, in this order."""

BENCHMARKS = (
    *STANDARD,
    "suite",
    "ahead",
    "cluster",
    "table",
    "check",
    "contained",
    "daemon",
    "fixtures",
    "gallery",
    "million",
    "quality",
    "ram_plus",
    "raw",
    "reduction",
    "scale",
    "similar",
    "thumbnails",
    "unload",
    "worker",
)
"""Every module with a main; the others are what benchmarks are made of."""
