"""ONNX Runtime, which tells its maker nothing: import it from here only.

Since version 1.29 what its maker publishes for Linux keeps a number of the machine in
``~/.cache/Microsoft``, and reports processor, models and errors with it over the network. That
stays away where this variable is set before it is loaded, which its Privacy.md promises.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # after the variable

__all__ = ["onnxruntime"]
