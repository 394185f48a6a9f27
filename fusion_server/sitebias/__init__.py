"""Site bias: how much later than the straight line a sound comes to a node from a place, learned from known places.

Learning needs scipy and is in `fusion_server.sitebias.learn`; a server only asks what was learned.
"""

from fusion_server.sitebias.control import ControlShot, air_errors, control_rows
from fusion_server.sitebias.correct import locate_batch_with_delays, locate_with_delays
from fusion_server.sitebias.delays import PathDelays
from fusion_server.sitebias.rows import AirErrors, ControlRows, DelayScales
from fusion_server.sitebias.table import SiteBiasTable

__all__ = [
    "AirErrors",
    "ControlRows",
    "ControlShot",
    "DelayScales",
    "PathDelays",
    "SiteBiasTable",
    "air_errors",
    "control_rows",
    "locate_batch_with_delays",
    "locate_with_delays",
]
