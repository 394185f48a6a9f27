"""Configuration of the server: a closed TOML file, every mistake named with its line, paths relative to the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from fusion_server.accessconfig import (
    AccessMode,
    AccessSection,
    OidcRoleSection,
    OidcSection,
    ReviewSection,
    is_loopback,
)
from fusion_server.associate import AssociateSettings
from fusion_server.clips import ClipSettings
from fusion_server.engine import FusionSettings
from fusion_server.incidents import IncidentSettings
from fusion_server.locate import Height, LocateSettings
from fusion_server.registry import Registry
from fusion_server.retentionconfig import RetentionSection
from fusion_server.sinkconfig import PATHS_OF_SINKS, ConsoleSinkSection, SinkSection
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.config import ENDPOINT_PATTERN, ConfigModel, UtcText, is_this_machine, line_of, load_config
from shotline.domain import NODE_ID_PATTERN, Site
from shotline.errors import ConfigError, InputError, Problem
from shotline.geodesy import LocalFrame
from shotline.timebase import EventClock, parse_utc

if TYPE_CHECKING:
    from fusion_server.scorecard import Area, ScorecardSettings

__all__ = [
    "AuditSection",
    "ClipsSection",
    "ConsoleSection",
    "FrameSection",
    "FusionSection",
    "HttpSection",
    "IdentitySection",
    "NetworkCheckSection",
    "NodeSection",
    "ReplayClockSection",
    "ScorecardSection",
    "ServerConfig",
    "ServerSection",
    "SystemClockSection",
    "WeatherSection",
    "load_server_config",
]


class ServerSection(ConfigModel):
    """Where nodes connect, and where everything is kept."""

    bind: str = Field(
        default="tcp://127.0.0.1:5570",
        title="endpoint for nodes",
        description="ZeroMQ endpoint that nodes connect to; tcp://*:5570 is every address of this machine and wants "
        "keys; port 0 is any free port",
        pattern=ENDPOINT_PATTERN,
    )
    database: str = Field(
        default="shotline.db",
        title="history",
        description="path of a SQLite file, or a URL such as postgresql+psycopg://user@host/shotline",
        min_length=1,
    )
    curve_secret_file: str | None = Field(
        default=None,
        title="CURVE key of the server",
        description="file made by `shotline keys new`; absent = nodes connect in the clear",
        min_length=1,
    )
    allow_list: str | None = Field(
        default=None,
        title="allow-list",
        description="file of the nodes' public keys, made by `shotline keys enrol`; with curve_secret_file",
        min_length=1,
    )
    plain_nodes: bool = Field(
        default=False,
        title="allow nodes without keys",
        description="let nodes connect in the clear from beyond this machine, on a network you trust",
    )
    rate_per_s: float = Field(
        default=200.0,
        title="rate",
        description="messages a second taken from one node in the long run; the rest is sent again later",
        ge=10.0,
        le=100_000.0,
    )
    burst: int = Field(
        default=5_000, title="burst", description="messages taken from one node at once", ge=100, le=1_000_000
    )
    future_limit_s: float = Field(
        default=2.0,
        title="future limit",
        description="seconds after the server's time beyond which a detection is refused: its clock is wrong",
        ge=0.1,
        le=60.0,
    )
    silent_after_s: float = Field(
        default=60.0, title="silence", description="seconds after which a node counts as silent", ge=5.0, le=86_400.0
    )
    test_alerts: bool = Field(
        default=False, title="exercise", description="mark everything that is sent as TEST, in an exercise or a trial"
    )

    @model_validator(mode="after")
    def _keys_or_this_machine(self) -> ServerSection:
        if (self.curve_secret_file is None) != (self.allow_list is None):
            raise ValueError("curve_secret_file and allow_list go together; give both or neither")
        if self.curve_secret_file is not None and self.plain_nodes:
            raise ValueError("plain_nodes = true, but curve_secret_file is given; remove one of them")
        if self.curve_secret_file is None and not self.plain_nodes and not is_this_machine(self.bind):
            raise ValueError(
                f"nodes would connect to '{self.bind}' in the clear, from other machines too; give curve_secret_file "
                "and allow_list (docs/security.md), or bind to tcp://127.0.0.1:5570, or on a network that you trust "
                "set plain_nodes = true"
            )
        return self


class HttpSection(ConfigModel):
    """The API and the page."""

    enabled: bool = Field(default=True, title="serve HTTP", description="whether the API and the page are served")
    host: str = Field(
        default="127.0.0.1",
        title="address",
        description="address to listen on; 0.0.0.0 is every one, and wants [access] mode accounts",
        min_length=1,
    )
    port: int = Field(
        default=8080, title="port", description="TCP port to listen on; 0 is any free port", ge=0, le=65_535
    )


class ConsoleSection(ConfigModel):
    """What the live page shows besides what the server knows."""

    basemap: str | None = Field(
        default=None,
        title="basemap",
        description="streets under the map: a `.geojson` file in degrees, or one `.pmtiles` archive; absent = none",
        min_length=1,
    )


class IdentitySection(ConfigModel):
    """Who speaks in alerts that other systems read."""

    name: str = Field(
        default="shotline.invalid",
        title="name",
        description="of this system, like a host name of yours: unique, the same for ever; ids elsewhere are made "
        "with it",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$",
        max_length=200,
    )
    operator: str = Field(
        default="Shotline",
        title="operator",
        description="who runs it, for people to read",
        min_length=1,
        max_length=200,
    )
    incident_type: str | None = Field(
        default=None,
        title="type of incident",
        description="code in NENA's registry of incident types that your centre takes for gunfire; for format eido",
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=64,
    )
    agency_role: str = Field(
        default="Dispatching",
        title="role of the operator",
        description="word of NENA's registry of agency roles; for format eido",
        min_length=1,
        max_length=64,
    )
    agency_type: str = Field(
        default="psap",
        title="type of the operator",
        description="word of IANA's registry `urn:emergency:service:responder`, as in `police`; for format eido",
        min_length=1,
        max_length=64,
    )


class FrameSection(ConfigModel):
    """WGS-84 origin of the local frame. Absent: positions are metres in an arbitrary Cartesian frame."""

    lat_deg: float = Field(title="latitude", description="degrees north of the origin", ge=-90.0, le=90.0)
    lon_deg: float = Field(title="longitude", description="degrees east of the origin", ge=-180.0, le=180.0)
    height_m: float = Field(
        default=0.0,
        title="height",
        description="metres of the origin above the WGS-84 ellipsoid",
        ge=-500.0,
        le=9_000.0,
    )


class WeatherSection(ConfigModel):
    """The air that sound travels through, until a weather feed says otherwise."""

    temperature_c: float = Field(
        default=15.0, title="temperature", description="air temperature in degrees Celsius", ge=-90.0, le=60.0
    )
    wind_speed_mps: float = Field(default=0.0, title="wind speed", description="metres per second", ge=0.0, le=60.0)
    wind_from_deg: float = Field(
        default=0.0,
        title="wind direction",
        description="degrees clockwise from north that it blows from",
        ge=0.0,
        le=360.0,
    )
    humidity_percent: float = Field(default=60.0, title="humidity", description="relative, percent", ge=0.0, le=100.0)
    temperature_sigma_c: float | None = Field(
        default=None,
        title="error of the temperature",
        description="1-sigma, degrees, as it holds along the path of the sound; absent = what is usual",
        ge=0.0,
        le=30.0,
    )
    wind_sigma_mps: float | None = Field(
        default=None,
        title="error of the wind",
        description="1-sigma of each component, metres per second; absent = what is usual",
        ge=0.0,
        le=30.0,
    )


class NodeSection(ConfigModel):
    """One surveyed node: either x_m and y_m in the local frame, or lat_deg and lon_deg."""

    id: str = Field(title="node id", description="as the node calls itself", pattern=NODE_ID_PATTERN, max_length=64)
    x_m: float | None = Field(default=None, title="east", description="metres east in the local frame", ge=-1e6, le=1e6)
    y_m: float | None = Field(
        default=None, title="north", description="metres north in the local frame", ge=-1e6, le=1e6
    )
    z_m: float = Field(
        default=0.0, title="up", description="metres up in the local frame; with x_m and y_m", ge=-1e4, le=1e4
    )
    lat_deg: float | None = Field(
        default=None, title="latitude", description="degrees north, WGS-84", ge=-90.0, le=90.0
    )
    lon_deg: float | None = Field(
        default=None, title="longitude", description="degrees east, WGS-84", ge=-180.0, le=180.0
    )
    height_m: float | None = Field(
        default=None,
        title="height",
        description="metres above the WGS-84 ellipsoid, with lat_deg and lon_deg; absent = that of the origin",
        ge=-500.0,
        le=9_000.0,
    )
    sigma_m: float = Field(
        default=1.0,
        title="survey error",
        description="one standard deviation of the position, metres per axis",
        ge=0.0,
        le=100.0,
    )

    @model_validator(mode="after")
    def _one_position(self) -> NodeSection:
        metres = {"x_m", "y_m", "z_m"} & self.model_fields_set
        degrees = {"lat_deg", "lon_deg", "height_m"} & self.model_fields_set
        if metres and degrees:
            raise ValueError(f"node '{self.id}' has {_list(metres | degrees)}; give metres or degrees, not both")
        if (self.x_m is None or self.y_m is None) and (self.lat_deg is None or self.lon_deg is None):
            raise ValueError(f"node '{self.id}' has no position; give x_m and y_m, or lat_deg and lon_deg")
        return self


class SystemClockSection(ConfigModel):
    """Event time is the system clock: the live case."""

    kind: Literal["system"] = Field(default="system", title="kind", description="`system`")


class ReplayClockSection(ConfigModel):
    """Event time is that of a recording, played at a pace."""

    kind: Literal["replay"] = Field(title="kind", description="`replay`")
    event_epoch_utc: UtcText = Field(title="recorded instant", description="ISO 8601 with Z, in quotes")
    wall_epoch_utc: UtcText = Field(
        title="wall instant", description="when the recorded instant is reached; ISO 8601 with Z"
    )
    factor: float = Field(default=1.0, title="pace", description="recorded seconds per second", gt=0.0, le=1000.0)
    scene: str = Field(
        default="replay",
        title="scene",
        description="name in each incident and alert, which marks it REPLAY",
        min_length=1,
        max_length=64,
    )


class FusionSection(ConfigModel):
    """How shots are found and located; what each does to what you see is in docs/parameters-by-symptom.md."""

    min_nodes: int = Field(
        default=4, title="nodes", description="nodes at distinct places that a shot must rest on", ge=4, le=50
    )
    min_log_evidence: float = Field(
        default=3.0,
        title="least evidence",
        description="log odds that a shot must reach; higher means fewer alerts, true and false",
        ge=-20.0,
        le=100.0,
    )
    sure_log_evidence: float = Field(
        default=7.0,
        title="sure evidence",
        description="log odds at which a shot is told at once, before the silence of other nodes is known",
        ge=-20.0,
        le=200.0,
    )
    lateness_s: float = Field(
        default=10.0,
        title="lateness",
        description="seconds after its sound that a detection may come and still change an incident",
        ge=1.0,
        le=60.0,
    )
    hearing_range_m: float = Field(
        default=2000.0, title="hearing range", description="metres beyond which no shot is heard", ge=100.0, le=10_000.0
    )
    path_sigma_s: float = Field(
        default=0.007,
        title="path error",
        description="1-sigma of travel times against a straight line, seconds; about 0.007 among houses",
        ge=0.0001,
        le=0.1,
    )
    systematic_sigma_m: float = Field(
        default=1.0,
        title="systematic error",
        description="1-sigma per axis, metres, of what all arrivals of a fix share",
        ge=0.0,
        le=100.0,
    )
    shots_per_km2_hour: float = Field(
        default=1.0,
        title="prior rate",
        description="shots per square kilometre and hour expected beforehand; a tenth asks for 2.3 more evidence",
        gt=0.0,
        le=10_000.0,
    )
    class_least_log_odds: float = Field(
        default=-1.0,
        title="word against",
        description="log odds that a trained network takes from an arrival that it thinks no shot, at the most; lower "
        "trusts it more, and loses guns that it never heard",
        ge=-20.0,
        le=0.0,
    )
    least_probability: float = Field(
        default=0.02,
        title="least probability",
        description="probability of gunfire below which an incident is held back, and looked at again",
        ge=0.0,
        le=1.0,
    )
    incident_gap_s: float = Field(
        default=10.0,
        title="gap",
        description="longest silence, seconds, between two shots of one incident",
        ge=0.5,
        le=60.0,
    )
    incident_reach_m: float = Field(
        default=50.0,
        title="reach",
        description="metres up to which two shots, their errors aside, are of one incident",
        ge=1.0,
        le=500.0,
    )
    height: Annotated[Height, Field(strict=False)] = Field(
        default=Height.GROUND, title="height", description="what is assumed of the source's height"
    )
    mast_m: float = Field(
        default=8.0,
        title="masts",
        description="metres that a microphone usually stands over the ground near it, for ground and free height",
        ge=0.0,
        le=200.0,
    )
    height_m: float = Field(
        default=0.0, title="height of the source", description="metres in the local frame, for known height"
    )
    site_bias_file: str | None = Field(
        default=None,
        title="site bias",
        description="signed record of `shotline calibrate site-bias learn`: excess delays of paths, to locate with; "
        "absent = none",
        min_length=1,
    )


class ClipsSection(ConfigModel):
    """The short clips of sound that nodes are asked for, around the detections of located incidents."""

    ask: bool = Field(default=True, title="ask", description="false = no node is asked, and no sound is taken")
    most_per_node: int = Field(
        default=4, title="clips", description="clips of one node for one incident at most", ge=1, le=4
    )
    in_replay: bool = Field(default=False, title="replays", description="ask in a replay too")


class AuditSection(ConfigModel):
    """The audit log, and the key that signs its roots and bundles of evidence."""

    key_file: str | None = Field(
        default=None,
        title="signing key",
        description="file made by `shotline evidence key`, readable by its owner only; absent = no root is signed",
        min_length=1,
    )
    root_every_h: float = Field(
        default=1.0, title="roots", description="hours between two signed roots", ge=0.01, le=8_760.0
    )


class NetworkCheckSection(ConfigModel):
    """The network checks itself by what it locates."""

    enabled: bool = Field(
        default=True,
        title="network self-check",
        description="judge each node's clock, place and microphone by what all located (docs/network-check.md)",
    )
    quarantine: bool = Field(
        default=True,
        title="quarantine",
        description="locate without a node that two windows found wrong; false = say so and use it all the same",
    )


class ScorecardSection(ConfigModel):
    """What the scorecard counts apart."""

    areas_file: str | None = Field(
        default=None,
        title="areas",
        description="GeoJSON of named areas (docs/scorecard.md); absent = everything together",
        min_length=1,
    )


_Sink = Annotated[SinkSection, Field(discriminator="kind")]
_Clock = Annotated[SystemClockSection | ReplayClockSection, Field(discriminator="kind")]


class ServerConfig(ConfigModel):
    """The whole file."""

    server: ServerSection = Field(default_factory=ServerSection, title="server", description="the server itself")
    http: HttpSection = Field(default_factory=HttpSection, title="http", description="API and page")
    console: ConsoleSection = Field(default_factory=ConsoleSection, title="console", description="the live page")
    identity: IdentitySection = Field(
        default_factory=IdentitySection, title="identity", description="who speaks in alerts"
    )
    access: AccessSection = Field(default_factory=AccessSection, title="access", description="who gets in")
    oidc: OidcSection | None = Field(default=None, title="oidc", description="an identity provider")
    oidc_roles: Annotated[tuple[OidcRoleSection, ...], Field(strict=False)] = Field(
        default=(), title="oidc_roles", description="roles by what the provider calls them"
    )
    review: ReviewSection = Field(default_factory=ReviewSection, title="review", description="decisions of people")
    frame: FrameSection | None = Field(default=None, title="frame", description="origin of the local frame")
    weather: WeatherSection = Field(default_factory=WeatherSection, title="weather", description="the air")
    nodes: Annotated[tuple[NodeSection, ...], Field(strict=False)] = Field(
        default=(), title="nodes", description="surveyed nodes"
    )
    fusion: FusionSection = Field(default_factory=FusionSection, title="fusion", description="finding and locating")
    clips: ClipsSection = Field(default_factory=ClipsSection, title="clips", description="sound asked of nodes")
    network_check: NetworkCheckSection = Field(
        default_factory=NetworkCheckSection, title="network_check", description="the network checks itself"
    )
    audit: AuditSection = Field(default_factory=AuditSection, title="audit", description="audit log and signing key")
    retention: RetentionSection = Field(
        default_factory=RetentionSection, title="retention", description="what is deleted, and when"
    )
    scorecard: ScorecardSection = Field(
        default_factory=ScorecardSection, title="scorecard", description="what became of what was told"
    )
    sinks: Annotated[tuple[_Sink, ...], Field(strict=False)] = Field(
        default=(ConsoleSinkSection(kind="console"),),
        title="sinks",
        description="where alerts go; absent = the console",
    )
    clock: _Clock = Field(default_factory=SystemClockSection, title="clock", description="event time")

    def to_frame(self) -> LocalFrame | None:
        """Return the local frame; None for an arbitrary Cartesian one."""
        if self.frame is None:
            return None
        return LocalFrame(self.frame.lat_deg, self.frame.lon_deg, self.frame.height_m)

    def to_registry(self) -> Registry:
        """Return the sites in the local frame.

        Raises
        ------
        InputError
            A node is there twice, or is in degrees without a frame.
        """
        frame = self.to_frame()
        return Registry(_site(node, frame) for node in self.nodes)

    def to_weather(self) -> WeatherTimeline:
        """Return the weather, the same for all time."""
        return WeatherTimeline.constant(
            Weather(
                temperature_c=self.weather.temperature_c,
                wind_speed_mps=self.weather.wind_speed_mps,
                wind_from_deg=self.weather.wind_from_deg,
                humidity_percent=self.weather.humidity_percent,
                temperature_sigma_c=self.weather.temperature_sigma_c,
                wind_sigma_mps=self.weather.wind_sigma_mps,
            )
        )

    def to_fusion(self) -> FusionSettings:
        """Return the settings of fusion."""
        section = self.fusion
        return FusionSettings(
            lateness_s=section.lateness_s,
            future_s=self.server.future_limit_s,
            sure_log_evidence=section.sure_log_evidence,
            associate=AssociateSettings(
                min_nodes=section.min_nodes,
                min_log_evidence=section.min_log_evidence,
                shots_per_km2_hour=section.shots_per_km2_hour,
                class_least_log_odds=section.class_least_log_odds,
                path_sigma_s=section.path_sigma_s,
            ),
            incidents=IncidentSettings(
                gap_s=section.incident_gap_s,
                reach_m=section.incident_reach_m,
                least_probability=section.least_probability,
            ),
            locate=LocateSettings(
                path_sigma_s=section.path_sigma_s,
                systematic_sigma_m=section.systematic_sigma_m,
                hearing_range_m=section.hearing_range_m,
                height=section.height,
                mast_m=section.mast_m,
                height_m=section.height_m,
            ),
        )

    def to_clips(self) -> ClipSettings | None:
        """Return how much sound to ask for; None: none."""
        if not self.clips.ask or (self.scene and not self.clips.in_replay):
            return None
        return ClipSettings(most_per_node=self.clips.most_per_node)

    def to_event_clock(self) -> EventClock:
        """Return event time from wall time."""
        if isinstance(self.clock, SystemClockSection):
            return EventClock()
        return EventClock(
            event_epoch_ns=parse_utc(self.clock.event_epoch_utc),
            wall_epoch_ns=parse_utc(self.clock.wall_epoch_utc),
            factor=self.clock.factor,
        )

    def to_scorecard(self) -> ScorecardSettings:
        """Return how the scorecard is counted."""
        from fusion_server.scorecard import CoverageRules, ScorecardSettings

        fusion = self.fusion
        return ScorecardSettings(
            coverage=CoverageRules(min_nodes=fusion.min_nodes, hearing_range_m=fusion.hearing_range_m),
            two_persons=self.review.two_persons,
            scene=self.scene,
        )

    def to_areas(self) -> tuple[Area, ...]:
        """Return the areas that are counted apart.

        Raises
        ------
        InputError
            Their file cannot be read, or holds no areas.
        """
        from fusion_server.scorecard import parse_areas

        path = self.scorecard.areas_file
        if path is None:
            return ()
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot read the file: {error.strerror}", source=path) from error
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8 text (byte {error.start})", source=path) from error
        return parse_areas(text, frame=self.to_frame(), source=path)

    @property
    def scene(self) -> str:
        """Name of the recording that is replayed; "" when live."""
        return self.clock.scene if isinstance(self.clock, ReplayClockSection) else ""


def load_server_config(path: Path) -> ServerConfig:
    """Read the server's configuration; relative paths in it are taken from the folder of the file.

    Raises
    ------
    ConfigError
        With every mistake and its line.
    """
    config = load_config(path, ServerConfig)
    problems = tuple(_cross_problems(config, path))
    if problems:
        raise ConfigError.from_problems(problems)
    return _resolved(config, path.parent)


def _site(node: NodeSection, frame: LocalFrame | None) -> Site:
    if node.lat_deg is None or node.lon_deg is None:
        return Site(node.id, node.x_m or 0.0, node.y_m or 0.0, node.z_m, node.sigma_m)
    if frame is None:
        raise InputError(f"node '{node.id}' is in degrees but there is no [frame]; add the origin, or give metres")
    height_m = frame.height_m if node.height_m is None else node.height_m
    return Site(node.id, *frame.to_enu_m(node.lat_deg, node.lon_deg, height_m), node.sigma_m)


def _cross_problems(config: ServerConfig, path: Path) -> list[Problem]:
    """Return the mistakes that no section can see alone."""
    text = path.read_text(encoding="utf-8")
    problems: list[Problem] = []

    def problem(table: str, index: int, key: str, message: str) -> None:
        field = f"{table}.{index}.{key}"
        problems.append(Problem(message, str(path), field, line_of(text, field)))

    for field, message in _access_problems(config):
        problems.append(Problem(message, str(path), field, line_of(text, field)))
    first: dict[str, int] = {}
    for index, node in enumerate(config.nodes):
        if node.id in first:
            problem("nodes", index, "id", f"node '{node.id}' is there twice; give each node one site")
        first.setdefault(node.id, index)
        if node.lat_deg is not None and config.frame is None:
            problem(
                "nodes", index, "lat_deg", f"node '{node.id}' is in degrees but there is no [frame]; add the origin"
            )
    if config.console.basemap is not None and config.frame is None:
        words = "streets are in degrees but there is no [frame]; add the origin, or remove the basemap"
        problems.append(Problem(words, str(path), "console.basemap", line_of(text, "console.basemap")))
    names = [sink.name for sink in config.sinks]
    for index, name in enumerate(names):
        if name in names[:index]:
            problem(
                "sinks", index, "name", f"two sinks are named '{name}'; receipts are kept by name, give each its own"
            )
    for index, sink in enumerate(config.sinks):
        form = getattr(sink, "format", sink.kind)
        if form in ("cap", "eido", "cot") and config.frame is None:
            problem("sinks", index, "kind", f"{form} needs degrees but there is no [frame]; add the origin")
        if form == "eido" and config.identity.incident_type is None:
            problem("sinks", index, "format", "eido needs a type of incident; give [identity] incident_type")
    return problems


def _access_problems(config: ServerConfig) -> list[tuple[str, str]]:
    """Return fields of access and review that contradict others, each with what is wrong."""
    problems: list[tuple[str, str]] = []
    accounts = config.access.mode is AccessMode.ACCOUNTS
    if not accounts and config.http.enabled and not is_loopback(config.http.host):
        words = f"'{config.http.host}' is reached from other machines, and nobody would be asked who they are; use "
        problems.append(("http.host", words + '127.0.0.1, or set [access] mode = "accounts" (docs/access.md)'))
    if config.review.two_persons and not accounts:
        words = "two persons can be told apart only by accounts; "
        problems.append(("review.two_persons", words + 'set [access] mode = "accounts"'))
    if config.oidc is not None and not accounts:
        problems.append(("oidc", 'bearer tokens are asked for only with accounts; set [access] mode = "accounts"'))
    if config.oidc_roles and config.oidc is None:
        problems.append(("oidc_roles.0.claim", "there is no [oidc] whose roles these are; add it, or remove them"))
    return problems


def _resolved(config: ServerConfig, folder: Path) -> ServerConfig:
    def resolve(path: str) -> str:
        return str(folder / path)

    server = config.server
    database = server.database if "://" in server.database else resolve(server.database)
    secret_file = None if server.curve_secret_file is None else resolve(server.curve_secret_file)
    allow_list = None if server.allow_list is None else resolve(server.allow_list)
    key_file = None if config.audit.key_file is None else resolve(config.audit.key_file)
    areas_file = None if config.scorecard.areas_file is None else resolve(config.scorecard.areas_file)
    bias_file = None if config.fusion.site_bias_file is None else resolve(config.fusion.site_bias_file)
    basemap = None if config.console.basemap is None else resolve(config.console.basemap)
    sinks = tuple(
        sink.model_copy(
            update={
                field: resolve(path) for field in PATHS_OF_SINKS if (path := getattr(sink, field, None)) is not None
            }
        )
        for sink in config.sinks
    )
    return config.model_copy(
        update={
            "server": server.model_copy(
                update={"database": database, "curve_secret_file": secret_file, "allow_list": allow_list}
            ),
            "oidc": None
            if config.oidc is None
            else config.oidc.model_copy(update={"jwks_file": resolve(config.oidc.jwks_file)}),
            "fusion": config.fusion.model_copy(update={"site_bias_file": bias_file}),
            "audit": config.audit.model_copy(update={"key_file": key_file}),
            "scorecard": config.scorecard.model_copy(update={"areas_file": areas_file}),
            "console": config.console.model_copy(update={"basemap": basemap}),
            "sinks": sinks,
        }
    )


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
