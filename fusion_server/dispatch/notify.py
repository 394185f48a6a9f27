"""Alerts to people: e-mail, text messages and chats, through apprise."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from fusion_server.dispatch.formats import headline, long_text, short_text
from fusion_server.dispatch.secretfile import read_secret
from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name
from shotline.errors import InputError

__all__ = ["NotifySink"]

_SHORT_CHARACTERS = 1000


class NotifySink:
    """Send each alert as a text to one address.

    Parameters
    ----------
    address_file : Path
        Holds one apprise URL, and can be read by its owner only: such URLs have passwords in them.
    name : str
        Name of the sink.

    Raises
    ------
    InputError
        apprise is not installed, the file cannot be used, or apprise does not know such an address. The address itself
        is never in the message.
    """

    def __init__(self, address_file: Path, *, name: str = "notify") -> None:
        self._name = check_sink_name(name)
        if importlib.util.find_spec("apprise") is None:
            raise InputError(
                f"sink '{name}' needs 'apprise', which is not installed; run: pip install 'shotline[outputs]'"
            )
        import apprise

        address = read_secret(address_file, "the address")
        if len(address.split()) != 1:
            raise InputError(
                "the file has more than one address; give each its own sink, so that each has its own receipts",
                source=address_file,
            )
        # No storage: apprise keeps nothing on this machine.
        self._apprise: Any = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Shotline", storage_mode="memory"))
        if not self._apprise.add(address):
            raise InputError(
                "apprise does not know such an address; see its list of services for how it is written",
                source=address_file,
            )
        self._service = str(self._apprise[0].service_name)
        self._short = int(self._apprise[0].body_maxlen) < _SHORT_CHARACTERS

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Send one text: lines with a title where there is room, one line where there is not."""
        body, title = (short_text(alert), "") if self._short else (long_text(alert), headline(alert))
        if not self._apprise.notify(body=body, title=title, body_format="text"):
            raise DeliveryError(
                f"{self._service} did not take the text; apprise's own log says why (logger 'apprise')", retryable=True
            )
