"""Alerts to an HTTP endpoint, signed as the Standard Webhooks specification 1.0.0 says (symmetric, ``v1``).

References
----------
[StandardWebhooks] https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from fusion_server.dispatch.formats import CLOUDEVENT_TYPE, Identity, cloudevent
from fusion_server.dispatch.httppost import HttpEndpoint
from fusion_server.dispatch.sink import Alert, check_sink_name
from shotline.errors import InputError
from shotline.records import IncidentRecord
from shotline.units import NS_PER_S

__all__ = ["SigningSecret", "WebhookSink"]

_PREFIX = "whsec_"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64


class _Payload(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    timestamp: str
    test: bool
    replay: bool
    reminder: int
    data: IncidentRecord


class SigningSecret:
    """The keys a webhook is signed with. The first is current; others are old ones, while receivers change over.

    Parameters
    ----------
    *texts : str
        ``whsec_`` and base64 of 24 to 64 random bytes, each.

    Raises
    ------
    InputError
        A text is not such a secret. The text itself is never in the message.
    """

    def __init__(self, *texts: str) -> None:
        if not texts:
            raise InputError("no signing secret, expected at least one whsec_...")
        self._keys = tuple(_key(text) for text in texts)

    def __repr__(self) -> str:
        return f"SigningSecret({len(self._keys)} keys, hidden)"

    @classmethod
    def load(cls, path: Path) -> SigningSecret:
        """Read the secrets from a file that only its owner can read, one per line.

        Raises
        ------
        InputError
            The file cannot be read, can be read by others, or holds no secret.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise InputError(f"cannot read the signing secret: {error.strerror}", source=path) from error
        if mode & 0o077:
            raise InputError(
                f"the signing secret can be read by others (mode {mode:04o}, expected 0600); run: chmod 600 {path}",
                source=path,
            )
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if not lines:
            raise InputError("the file is empty, expected a secret that starts with whsec_", source=path)
        for number, line in lines:
            try:
                _key(line)
            except InputError as error:
                raise InputError(error.problems[0].message, source=path, line=number) from error
        return cls(*(line for _, line in lines))

    def sign(self, message_id: str, timestamp_s: int, body: bytes) -> str:
        """Return the value of ``webhook-signature``: one ``v1`` signature per key, space-delimited."""
        content = f"{message_id}.{timestamp_s}.".encode() + body
        signatures = (hmac.digest(key, content, hashlib.sha256) for key in self._keys)
        return " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures)


def _key(text: str) -> bytes:
    if not text.startswith(_PREFIX):
        raise InputError(
            f"the signing secret does not start with {_PREFIX}; write {_PREFIX} and base64 of 32 random bytes"
        )
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the signing secret is not base64 after {_PREFIX}: {error}") from error
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise InputError(f"the signing secret has {len(key)} bytes, expected {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES}")
    return key


class WebhookSink:
    """POST each alert as JSON to one endpoint.

    The id of a message is made of incident, revision and sink, and is the same in every attempt: a receiver that has
    seen it may answer 200 and forget it. Redirects are not followed.

    Parameters
    ----------
    url : str
        ``https://...``; ``http://`` only to this machine unless ``plain_http`` says otherwise.
    secret : SigningSecret
    name : str
        Name of the sink.
    timeout_s : float
        For connecting, and for each wait on the answer.
    plain_http : bool
        Accept an endpoint whose traffic others on the network can read.
    envelope_for : Identity | None
        Post a CloudEvent from this system; None posts the plain payload.
    now_ns : callable
        Wall clock, UTC nanoseconds.

    Raises
    ------
    InputError
        The URL is not one that alerts can go to.
    """

    def __init__(
        self,
        url: str,
        secret: SigningSecret,
        *,
        name: str = "webhook",
        timeout_s: float = 15.0,
        plain_http: bool = False,
        envelope_for: Identity | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._name = check_sink_name(name)
        self._secret = secret
        self._envelope_for = envelope_for
        self._now_ns = now_ns
        self._endpoint = HttpEndpoint(
            url, what="the signature is what authenticates", timeout_s=timeout_s, plain_http=plain_http
        )

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def message_id(self, record: IncidentRecord) -> str:
        """Return the id of the message for one revision; it has no full stop, as the specification asks."""
        return f"{record.id.replace('.', '-')}_{record.revision}_{self._name}"

    def send(self, alert: Alert) -> None:
        """POST one alert; a 2xx answer is delivery."""
        record = alert.record
        body, media_type = self._body(alert)
        message_id, timestamp_s = self.message_id(record), self._now_ns() // NS_PER_S
        if alert.reminder:
            message_id += f"_reminder{alert.reminder}"
        headers = {
            "Content-Type": media_type,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": self._secret.sign(message_id, timestamp_s, body),
        }
        self._endpoint.post(body, headers)

    def _body(self, alert: Alert) -> tuple[bytes, str]:
        if self._envelope_for is not None:
            return cloudevent(alert, self._envelope_for), CLOUDEVENT_TYPE
        record = alert.record
        payload = _Payload(
            type=f"incident.{record.state}",
            timestamp=record.as_of_utc,
            test=alert.test,
            replay=alert.replay,
            reminder=alert.reminder,
            data=record,
        )
        return msgspec.json.encode(payload), "application/json"
