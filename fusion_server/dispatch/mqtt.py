"""Alerts to an MQTT 5 broker, each acknowledged by it before it counts as delivered."""

from __future__ import annotations

import importlib.util
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fusion_server.dispatch.documents import Revisions
from fusion_server.dispatch.endpoint import TlsFiles, tls_context
from fusion_server.dispatch.formats import (
    Identity,
    Publication,
    check_topic,
    home_assistant_discovery,
    mqtt_publications,
)
from fusion_server.dispatch.secretfile import read_secret
from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name
from shotline.errors import InputError, StorageError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["MqttBroker", "MqttSink"]

_AT_LEAST_ONCE = 1
_KEEPALIVE_S = 60
_LOOP_S = 0.5
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho then forgets it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class MqttBroker:
    """Publishes to one broker: connects, publishes, waits for every acknowledgement, disconnects.

    Alerts are rare, so no connection is kept: none can be dead without anybody noticing.

    Parameters
    ----------
    url : str
        ``mqtt://host:port`` or ``mqtts://host:port``.
    username : str | None
    password_file : Path | None
        Readable by its owner only.
    files : TlsFiles
        For ``mqtts``.
    timeout_s : float
        For all of one alert's messages together.
    expiry_s : float
        After which the broker forgets a retained message that expires.
    monotonic_s : callable
        Seconds that only go forward.

    Raises
    ------
    InputError
        paho-mqtt is not installed, the URL is not such an address, or a file cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password_file: Path | None = None,
        files: TlsFiles | None = None,
        timeout_s: float = 15.0,
        expiry_s: float = 86_400.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if importlib.util.find_spec("paho") is None:
            raise InputError("MQTT needs 'paho-mqtt', which is not installed; run: pip install 'shotline[outputs]'")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"the broker's address is not a URL: {error}", field="url") from error
        if parts.scheme not in _PORTS or not host or parts.path.strip("/"):
            raise InputError("the broker's address is not one such as mqtts://broker.example.org:8883", field="url")
        if parts.username or parts.password:
            raise InputError("the broker's address has a password in it; use username and password_file", field="url")
        self._host, self._port = host, port or _PORTS[parts.scheme]
        self._username = username
        self._password = None if password_file is None else read_secret(password_file, "the password")
        self._context = None
        if parts.scheme == "mqtts":
            self._context = tls_context(files or TlsFiles())
            self._context.sslsocket_class = _ClosingSocket
        self._timeout_s = timeout_s
        self._expiry_s = expiry_s
        self._monotonic_s = monotonic_s

    @property
    def where(self) -> str:
        """Host and port."""
        return f"{self._host}:{self._port}"

    def publish(self, publications: Sequence[Publication]) -> None:
        """Publish messages and return when the broker has acknowledged each of them.

        Raises
        ------
        DeliveryError
            It has not.
        """
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

        refused: list[str] = []
        waiting: set[int] = set()
        connected: list[bool] = []

        def on_connect(_client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
            if reason.is_failure:
                refused.append(f"refused the connection: {reason}")
            else:
                connected.append(True)

        def on_publish(_client: Client, _data: object, mid: int, reason: Any, _properties: object) -> None:
            if reason.is_failure:
                refused.append(f"refused a message: {reason}")
            waiting.discard(mid)

        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = self._timeout_s
        if self._username is not None:
            client.username_pw_set(self._username, self._password)
        if self._context is not None:
            client.tls_set_context(self._context)
        client.on_connect, client.on_publish = on_connect, on_publish
        deadline_s = self._monotonic_s() + self._timeout_s

        def turn_until(done: Callable[[], bool]) -> None:
            while not done():
                if refused:
                    raise DeliveryError(f"{self.where} {refused[0]}", retryable=True)
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0:
                    raise DeliveryError(
                        f"{self.where} did not acknowledge within {self._timeout_s:g} s", retryable=True
                    )
                code = client.loop(min(_LOOP_S, left_s))
                if code != MQTTErrorCode.MQTT_ERR_SUCCESS and not refused:
                    raise DeliveryError(f"lost the connection to {self.where}: {code.name}", retryable=True)

        try:
            client.connect(self._host, self._port, keepalive=_KEEPALIVE_S)
            turn_until(lambda: bool(connected))
            for publication in publications:
                sent = client.publish(
                    publication.topic,
                    publication.payload,
                    qos=_AT_LEAST_ONCE,
                    retain=publication.retain,
                    properties=self._properties(publication),
                )
                waiting.add(sent.mid)
            turn_until(lambda: not waiting)
            if refused:
                raise DeliveryError(f"{self.where} {refused[0]}", retryable=True)
            client.disconnect()
        except OSError as error:
            words = error.strerror or str(error) or type(error).__name__
            raise DeliveryError(f"cannot reach {self.where}: {words}", retryable=True) from error
        finally:
            client.loop(0.0)
            if (socket := client.socket()) is not None:
                socket.close()

    def _properties(self, publication: Publication) -> Any:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        untyped: Any = Properties
        properties = untyped(PacketTypes.PUBLISH)
        properties.ContentType = publication.media_type
        if publication.expires:
            properties.MessageExpiryInterval = round(self._expiry_s)
        return properties


class MqttSink:
    """Publish each alert; the first time also what Home Assistant needs to find it.

    Parameters
    ----------
    broker : MqttBroker
    identity : Identity
    revisions : callable
        Tells whether a revision is the newest of its incident.
    topic : str
        The beginning of every topic.
    home_assistant : bool
    discovery_prefix : str
        Where Home Assistant looks.
    name : str
        Name of the sink.

    Raises
    ------
    InputError
        The topic cannot be one.
    """

    def __init__(
        self,
        broker: MqttBroker,
        identity: Identity,
        *,
        revisions: Revisions,
        topic: str = "shotline",
        home_assistant: bool = True,
        discovery_prefix: str = "homeassistant",
        name: str = "mqtt",
    ) -> None:
        self._name = check_sink_name(name)
        self._broker = broker
        self._identity = identity
        self._revisions = revisions
        self._topic = check_topic(topic)
        self._home_assistant = home_assistant
        self._prefix = check_topic(discovery_prefix)
        self._discovered = False

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Publish one alert and wait until the broker has acknowledged all of it."""
        record = alert.record
        try:
            newest = all(other.revision <= record.revision for other in self._revisions(record.id))
        except StorageError as error:
            raise DeliveryError(f"cannot read the other revisions: {error}", retryable=True) from error
        publications = mqtt_publications(
            alert, self._identity, topic=self._topic, newest=newest, home_assistant=self._home_assistant
        )
        if self._home_assistant and not self._discovered:
            found = home_assistant_discovery(self._identity, topic=self._topic, prefix=self._prefix)
            publications = [*found, *publications]
        self._broker.publish(publications)
        self._discovered = True
