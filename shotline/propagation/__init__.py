"""How a sound gets from a source to a microphone: the one definition of the physics.

Complex gains follow the convention exp(+i omega t), which is that of `numpy.fft`: a delay is exp(-i omega tau).
"""

from __future__ import annotations

from shotline.propagation.air import absorption_db_per_m, travel_time_s

__all__ = ["absorption_db_per_m", "travel_time_s"]
