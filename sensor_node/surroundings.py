"""What a machine offers a node before there is a configuration: sound inputs, chronyd, gpsd, a name."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from sensor_node.capture import InputDevice, find_input, list_inputs, stable_name
from sensor_node.chrony import clock_state, read_tracking
from sensor_node.gpsd import GpsdClient, Version
from shotline.domain import NODE_ID_PATTERN
from shotline.errors import EdgeError, InputError
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["Surroundings", "device_name", "id_from_hostname", "look_around"]

_NOBODYS_NAMES = frozenset({"localhost", "raspberrypi", "debian", "dietpi"})
_LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found.

    Parameters
    ----------
    inputs : tuple of InputDevice
    chrony, gpsd : str
        What is to be said of them.
    has_gpsd : bool
    hostname : str
    inputs_problem : str
        Why there are no inputs; "" when they could be listed.
    """

    inputs: tuple[InputDevice, ...]
    chrony: str
    gpsd: str
    has_gpsd: bool
    hostname: str
    inputs_problem: str = ""

    @property
    def hardware(self) -> tuple[InputDevice, ...]:
        """Inputs that are the hardware itself."""
        return tuple(device for device in self.inputs if device.is_hardware)


def look_around(*, live: bool) -> Surroundings:
    """Ask PortAudio, chronyd and gpsd; what does not answer is said, not raised.

    Parameters
    ----------
    live : bool
        False asks none of them: a node that plays files needs only a name.
    """
    hostname = socket.gethostname()
    if not live:
        return Surroundings((), "", "", False, hostname)
    inputs: tuple[InputDevice, ...] = ()
    inputs_problem = ""
    try:
        inputs = tuple(list_inputs())
    except EdgeError as error:
        inputs_problem = str(error)
    has_gpsd, gpsd = _gpsd()
    return Surroundings(inputs, _chrony(), gpsd, has_gpsd, hostname, inputs_problem)


def id_from_hostname(hostname: str) -> str | None:
    """Return a node id made of a host's name; None when the name is one that every new system has."""
    name = hostname.partition(".")[0][:_LONGEST_ID]
    return name if name.lower() not in _NOBODYS_NAMES and re.match(NODE_ID_PATTERN, name) else None


def device_name(device: InputDevice, inputs: tuple[InputDevice, ...]) -> str:
    """Return the shortest name that means this device now and, where that can be, after its number changed."""
    for name in (stable_name(device.name), device.name):
        try:
            if find_input(inputs, name) == device:
                return name
        except EdgeError:
            continue
    return device.name


def _chrony() -> str:
    try:
        tracking = read_tracking()
    except (EdgeError, InputError) as error:
        return str(error)
    if not tracking.synchronised:
        return "chronyd answers, but knows no time yet"
    state = clock_state(tracking, time.time_ns())
    return f"chronyd follows {tracking.reference} ({state.value}), at most {tracking.bound_ns / 1e6:.3g} ms off"


def _gpsd(port: int = 2947, patience_s: float = 2.0) -> tuple[bool, str]:
    with GpsdClient(port=port, least_wait_s=patience_s) as client:
        deadline_ns = time.monotonic_ns() + ns_from_seconds(patience_s)
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            if any(isinstance(message, Version) for message in client.poll(left_ns / NS_PER_S)):
                return True, f"gpsd {client.state.release} answers"
            if not client.state.connected:
                return False, client.state.problem
    return False, f"something listens on port {port}, but does not greet as gpsd does"
