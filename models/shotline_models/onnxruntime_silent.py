"""ONNX Runtime without its telemetry: import it from here, and from nowhere else.

Its wheels from 1.32 on write a session file into the temporary folder when they are imported and can report to their
maker. A node tells nobody but its server. The variable is read when the library is loaded, so it comes first.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime"]

onnxruntime.disable_telemetry_events()
