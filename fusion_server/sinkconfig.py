"""Configuration of where alerts go: a section for each kind of sink."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from shotline.config import ConfigModel

__all__ = [
    "PATHS_OF_SINKS",
    "ConsoleSinkSection",
    "CotSinkSection",
    "FolderSinkSection",
    "HttpSinkSection",
    "JsonlSinkSection",
    "MqttSinkSection",
    "NotifySinkSection",
    "SinkSection",
    "SyslogSinkSection",
    "WebhookSinkSection",
]

_SINK_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_SinkName = Annotated[str, Field(pattern=_SINK_NAME)]
_STREAM_URL = r"^(tcp|tls|udp)://.+:[0-9]+$"
_TOPIC_PATTERN = r"^[^ +#$/][^ +#]*$"
_CA_WORDS = "certificates of the authority that signed the other side's, PEM; absent = those of this machine"
_Format = Literal["cap", "eido", "cloudevents"]
PATHS_OF_SINKS = (
    "path",
    "secret_file",
    "token_file",
    "password_file",
    "address_file",
    "ca_file",
    "certificate_file",
    "key_file",
)


class ConsoleSinkSection(ConfigModel):
    """Alerts on standard output, a block of text each."""

    kind: Literal["console"] = Field(title="kind", description="`console`")
    name: _SinkName = Field(
        default="console", title="name", description="unique among sinks; receipts are kept under it"
    )


class JsonlSinkSection(ConfigModel):
    """Alerts appended to a file, a line of JSON each."""

    kind: Literal["jsonl"] = Field(title="kind", description="`jsonl`")
    name: _SinkName = Field(default="jsonl", title="name", description="unique among sinks; receipts are kept under it")
    path: str = Field(title="file", description="file to append to; its folder must exist", min_length=1)


class WebhookSinkSection(ConfigModel):
    """Alerts posted to an HTTP endpoint, signed."""

    kind: Literal["webhook"] = Field(title="kind", description="`webhook`")
    name: _SinkName = Field(
        default="webhook", title="name", description="unique among sinks; receipts are kept under it"
    )
    url: str = Field(title="address", description="where to post to", pattern=r"^https?://.+$", max_length=2048)
    secret_file: str = Field(
        title="signing secret",
        description="file made by `shotline keys webhook`, readable by its owner only",
        min_length=1,
    )
    timeout_s: float = Field(
        default=15.0, title="timeout", description="seconds to wait for an answer", gt=0.0, le=120.0
    )
    plain_http: bool = Field(
        default=False, title="allow http", description="post to http:// beyond this machine, on a network you trust"
    )
    envelope: Literal["standard", "cloudevents"] = Field(
        default="standard", title="envelope", description="`standard`, or `cloudevents` for a CloudEvent as the body"
    )


class HttpSinkSection(ConfigModel):
    """Alerts posted to an HTTP endpoint as documents: CAP 1.2, NENA EIDO or CloudEvents."""

    kind: Literal["http"] = Field(title="kind", description="`http`")
    name: _SinkName = Field(default="http", title="name", description="unique among sinks; receipts are kept under it")
    url: str = Field(title="address", description="where to post to", pattern=r"^https?://.+$", max_length=2048)
    format: _Format = Field(title="format", description="`cap`, `eido` or `cloudevents`")
    token_file: str | None = Field(
        default=None,
        title="token",
        description="file with a bearer token, readable by its owner only; absent = none is sent",
        min_length=1,
    )
    timeout_s: float = Field(
        default=15.0, title="timeout", description="seconds to wait for an answer", gt=0.0, le=120.0
    )
    plain_http: bool = Field(
        default=False, title="allow http", description="post to http:// beyond this machine, on a network you trust"
    )


class FolderSinkSection(ConfigModel):
    """Alerts written into a folder, a file for each revision."""

    kind: Literal["folder"] = Field(title="kind", description="`folder`")
    name: _SinkName = Field(
        default="folder", title="name", description="unique among sinks; receipts are kept under it"
    )
    path: str = Field(title="folder", description="must exist", min_length=1)
    format: _Format = Field(title="format", description="`cap`, `eido` or `cloudevents`")


class CotSinkSection(ConfigModel):
    """Alerts to TAK, as Cursor on Target events."""

    kind: Literal["cot"] = Field(title="kind", description="`cot`")
    name: _SinkName = Field(default="cot", title="name", description="unique among sinks; receipts are kept under it")
    url: str = Field(
        title="address",
        description="`tls://host:8089`, `tcp://host:8087` or `udp://host:4242`",
        pattern=_STREAM_URL,
    )
    ca_file: str | None = Field(default=None, title="authority", description=_CA_WORDS, min_length=1)
    certificate_file: str | None = Field(
        default=None, title="certificate", description="ours, PEM; TAK servers ask for one", min_length=1
    )
    key_file: str | None = Field(
        default=None, title="key", description="of our certificate, PEM, if it is in a file of its own", min_length=1
    )
    confirm: bool = Field(
        default=True,
        title="confirm",
        description="wait until the server answers a ping after the event; false where it is no TAK server",
    )
    stale_s: float = Field(
        default=3600.0, title="stale", description="seconds that the mark stays on the screens", ge=10.0, le=604_800.0
    )
    timeout_s: float = Field(
        default=15.0, title="timeout", description="seconds to wait for an answer", gt=0.0, le=120.0
    )


class MqttSinkSection(ConfigModel):
    """Alerts to an MQTT 5 broker, found by Home Assistant."""

    kind: Literal["mqtt"] = Field(title="kind", description="`mqtt`")
    name: _SinkName = Field(default="mqtt", title="name", description="unique among sinks; receipts are kept under it")
    url: str = Field(
        title="broker",
        description="`mqtts://host:8883` or `mqtt://host:1883`",
        pattern=r"^mqtts?://.+$",
        max_length=512,
    )
    username: str | None = Field(default=None, title="user", description="absent = none", min_length=1)
    password_file: str | None = Field(
        default=None, title="password", description="file readable by its owner only; with username", min_length=1
    )
    ca_file: str | None = Field(default=None, title="authority", description=_CA_WORDS, min_length=1)
    topic: str = Field(
        default="shotline",
        title="topic",
        description="that all topics begin with",
        pattern=_TOPIC_PATTERN,
        max_length=200,
    )
    keep_s: float = Field(
        default=86_400.0,
        title="keep",
        description="seconds that the broker keeps the state of an incident for those who come later",
        ge=60.0,
        le=31_536_000.0,
    )
    home_assistant: bool = Field(
        default=True, title="Home Assistant", description="publish what it needs to find the alerts"
    )
    discovery_prefix: str = Field(
        default="homeassistant", title="discovery", description="where it looks", pattern=_TOPIC_PATTERN, max_length=200
    )
    timeout_s: float = Field(
        default=15.0, title="timeout", description="seconds for all messages of an alert", gt=0.0, le=120.0
    )

    @model_validator(mode="after")
    def _a_user_for_the_password(self) -> MqttSinkSection:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file is given and username is not; give both")
        return self


class NotifySinkSection(ConfigModel):
    """Alerts as text to people: e-mail, text messages, chats, through apprise."""

    kind: Literal["notify"] = Field(title="kind", description="`notify`")
    name: _SinkName = Field(
        default="notify", title="name", description="unique among sinks; receipts are kept under it"
    )
    address_file: str = Field(
        title="address", description="file with one apprise URL, readable by its owner only", min_length=1
    )


class SyslogSinkSection(ConfigModel):
    """Alerts to a syslog collector (RFC 5424)."""

    kind: Literal["syslog"] = Field(title="kind", description="`syslog`")
    name: _SinkName = Field(
        default="syslog", title="name", description="unique among sinks; receipts are kept under it"
    )
    url: str = Field(
        title="address",
        description="`tls://host:6514`, `tcp://host:601` or `udp://host:514`",
        pattern=_STREAM_URL,
    )
    ca_file: str | None = Field(default=None, title="authority", description=_CA_WORDS, min_length=1)
    facility: Literal[
        "user", "daemon", "auth", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
    ] = Field(default="local4", title="facility", description="`user`, `daemon`, `auth` or `local0` to `local7`")
    timeout_s: float = Field(
        default=15.0, title="timeout", description="seconds to wait for an answer", gt=0.0, le=120.0
    )


SinkSection = (
    ConsoleSinkSection
    | JsonlSinkSection
    | WebhookSinkSection
    | HttpSinkSection
    | FolderSinkSection
    | CotSinkSection
    | MqttSinkSection
    | NotifySinkSection
    | SyslogSinkSection
)
