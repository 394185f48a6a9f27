"""Incidents with sound: FLAC clips of impulses where the record says that they arrived, in a history."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from alert_samples import detection_of, health, incident, node_statuses, registry
from numpy.typing import NDArray

from fusion_server.api import LiveFeed, create_app
from fusion_server.api.access import Gate
from fusion_server.clips import CollectedClip, RefusedClip
from fusion_server.history import History
from fusion_server.http_server import HttpServer
from fusion_server.incidents import make_incident
from fusion_server.locate import LocateSettings, locate
from fusion_server.registry import Registry
from shotline.domain import DetectionId, IncidentState, Location, Shot, Site
from shotline.records import (
    AlternativeRecord,
    ArrivalRecord,
    HypothesisRecord,
    IncidentRecord,
    ShotRecord,
    SilenceRecord,
    WeatherRecord,
    incident_record,
)
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S
from shotline_recordings import pittsburgh

RATE_HZ = 16_000
BEFORE_NS = NS_PER_S // 2
CLIP_S = 2
WEATHER = WeatherRecord(
    temperature_c=14.0,
    wind_speed_mps=3.5,
    wind_from_deg=240.0,
    humidity_percent=60.0,
    temperature_sigma_c=1.0,
    wind_sigma_mps=None,
)


def impulses(onsets_s: Iterable[float], *, rng: np.random.Generator, level: float = 0.5) -> NDArray[np.int16]:
    """Two seconds of noise with a blast of 2 ms and its tail at each instant."""
    at_s = np.arange(CLIP_S * RATE_HZ) / RATE_HZ
    sound = rng.normal(0.0, 0.004, at_s.size)
    for onset_s in onsets_s:
        after_s = np.maximum(at_s - onset_s, 0.0)
        began = at_s >= onset_s
        blast = (1.0 - after_s / 0.002) * np.exp(-after_s / 0.0015)
        tail = 0.12 * np.exp(-after_s / 0.06) * rng.normal(0.0, 1.0, at_s.size)
        sound += level * began * (blast + tail)
    return np.rint(np.clip(sound, -1.0, 1.0) * 32_767).astype(np.int16)


def flac(sound: NDArray[np.int16], rate_hz: int = RATE_HZ) -> bytes:
    """The file that a node sends."""
    out = io.BytesIO()
    soundfile.write(out, sound, rate_hz, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def explained(record: IncidentRecord) -> IncidentRecord:
    """The incident with all that a fix says of itself: air, silences, what else was considered."""
    shots = tuple(_explained(shot) for shot in record.shots)
    return msgspec.structs.replace(record, shots=shots)


def _explained(shot: ShotRecord) -> ShotRecord:
    last = shot.arrivals[-1]
    echo_ns = parse_utc(last.time_utc) + 120_000_000
    echo = msgspec.structs.replace(
        last,
        detection=f"{last.node}/5f/{5000 + echo_ns % 1000}",
        time_utc=format_utc(echo_ns, digits=9),
        residual_s=round((last.residual_s or 0.0) + 0.12, 6),
        used=False,
        reason="echo: 120 ms after the arrival used",
    )
    return msgspec.structs.replace(
        shot,
        weather=WEATHER,
        weight=0.93,
        log_evidence=31.4,
        passed_over=(echo,),
        silent=(SilenceRecord(node="roof-08", distance_m=251.8, probability=0.74),),
        alternatives=(AlternativeRecord(time_utc=shot.time_utc, x_m=shot.x_m + 40, y_m=shot.y_m - 30, weight=0.07),),
        lost=(
            HypothesisRecord(
                time_utc=shot.time_utc,
                x_m=shot.x_m - 120,
                y_m=shot.y_m + 50,
                nodes=4,
                log_evidence=12.25,
                reason="fewer nodes explain it",
            ),
        ),
    )


def clip_of(
    record: IncidentRecord,
    arrival: ArrivalRecord,
    sound: Callable[[list[float]], NDArray[np.int16]],
    *,
    digest_ok: bool | None = True,
    rate_hz: int = RATE_HZ,
) -> CollectedClip:
    """The clip of a detection; `sound` is given when the node heard something, in seconds from the clip's start."""
    start_ns = parse_utc(arrival.time_utc) - BEFORE_NS
    heard_ns = [
        parse_utc(item.time_utc)
        for shot in record.shots
        for item in (*shot.arrivals, *shot.passed_over)
        if item.node == arrival.node
    ]
    file = flac(sound([(time_ns - start_ns) / NS_PER_S for time_ns in sorted(heard_ns)]), rate_hz)
    return CollectedClip(
        uid=DetectionId.parse(arrival.detection),
        incident_id=record.id,
        received_ns=start_ns + 4 * NS_PER_S,
        start_time_ns=start_ns,
        sample_rate_hz=rate_hz,
        sha256=hashlib.sha256(file).digest(),
        digest_ok=digest_ok,
        flac=file,
    )


def recorded_shots(root: Path) -> tuple[IncidentRecord, list[CollectedClip], tuple[Site, ...]]:
    """Real shots of the Pittsburgh set, located from their pulses, and what six of the recorders heard."""
    (scene,) = pittsburgh.load(root, only=["FP1/test_001"]).scenes
    detections = {detection.uid: detection for detection in scene.detections}
    sites = Registry(scene.sites)
    shots = []
    for pulses in scene.pulse_sets:
        arrivals = [sites.arrival(detections[uid]) for uid in pulses.detections]
        time_ns = detections[pulses.detections[0]].arrival_time_ns
        found = locate(
            [item for item in arrivals if item], weather=scene.weather.at(time_ns), settings=LocateSettings()
        )
        assert isinstance(found, Location)
        shots.append(Shot(found, 0.98, weather=scene.weather.at(time_ns)))
    made = make_incident("fp1", shots, revision=1, state=IncidentState.REVISED, as_of_ns=time_ns + 9 * NS_PER_S)
    record = incident_record(made, None)
    clips = []
    for recording in scene.recordings:
        arrival = next(item for item in record.shots[0].arrivals if item.node == recording.node and item.used)
        start_ns = parse_utc(arrival.time_utc) - BEFORE_NS
        sound, rate_hz = soundfile.read(recording.path, dtype="int16")
        first = round((start_ns - recording.start_time_ns) * rate_hz / NS_PER_S)
        file = flac(sound[first : first + CLIP_S * rate_hz], rate_hz)
        clips.append(
            CollectedClip(
                uid=DetectionId.parse(arrival.detection),
                incident_id=record.id,
                received_ns=start_ns,
                start_time_ns=recording.start_time_ns + round(first * NS_PER_S / rate_hz),
                sample_rate_hz=rate_hz,
                sha256=hashlib.sha256(file).digest(),
                digest_ok=None,
                flac=file,
            )
        )
    return record, clips, scene.sites


def keep(history: History, record: IncidentRecord, *, refused: str = "roof-06", seed: int = 1) -> None:
    """Keep an incident, its detections, a clip of each node used in the first round; one node refuses."""
    rng = np.random.default_rng(seed)
    history.append_incident(record)
    for shot in record.shots:
        history.store([detection_of(arrival) for arrival in shot.arrivals])
    used = [arrival for arrival in record.shots[0].arrivals if arrival.used]
    for arrival in used:
        level = rng.uniform(0.1, 0.9)
        if arrival.node == refused:
            refusal = RefusedClip(
                uid=DetectionId.parse(arrival.detection),
                incident_id=record.id,
                received_ns=parse_utc(arrival.time_utc),
                reason="clip_interrupted",
                detail="sound was lost around the onset",
            )
            history.append_clips([refusal])
            continue
        ok = {"roof-02": None, "roof-03": False}.get(arrival.node, True)
        made = clip_of(record, arrival, lambda at_s, level=level: impulses(at_s, rng=rng, level=level), digest_ok=ok)
        history.append_clips([made])


@dataclass
class SoundServer:
    """A server under test, and what goes into it."""

    history: History
    live: LiveFeed
    server: HttpServer

    def stop(self) -> None:
        """End it."""
        self.live.close()
        self.server.close()
        self.history.close()


def serve(*, gate: Gate | None = None, history: History | None = None, sites: Iterable[Site] = ()) -> SoundServer:
    """Serve a history, in memory unless given, with nine roofs and more."""
    history, live = history or History.open("sqlite://"), LiveFeed()
    history.touch_nodes(node_statuses(time.time_ns()))
    app = create_app(
        history=history, registry=Registry([*registry(), *sites]), frame=None, health=health, live=live, gate=gate
    )
    return SoundServer(history, live, HttpServer(app, "127.0.0.1", 0))


def town(nodes: int, rounds: int, *, seed: int = 2) -> tuple[IncidentRecord, tuple[Site, ...]]:
    """An incident that very many nodes heard."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-700.0, 700.0, (nodes, 2))
    sites = tuple(Site(f"pole-{index + 1:03}", *map(float, place)) for index, place in enumerate(places))
    record = incident(5, rounds=rounds)
    first = record.shots[0].arrivals[0]

    def arrivals(shot: ShotRecord, round_index: int) -> tuple[ArrivalRecord, ...]:
        made = []
        for index, site in enumerate(sites):
            residual_s = float(rng.normal(0.0, 0.004))
            delay_s = float(np.hypot(site.x_m - shot.x_m, site.y_m - shot.y_m)) / 340.0 + residual_s
            time_ns = parse_utc(shot.time_utc) + round(delay_s * NS_PER_S)
            made.append(
                msgspec.structs.replace(
                    first,
                    node=site.node,
                    detection=f"{site.node}/5f/{round_index}",
                    time_utc=format_utc(time_ns, digits=9),
                    residual_s=residual_s,
                    used=index % 11 != 3,
                    reason="" if index % 11 != 3 else "35 ms (4.4 sigma) later, likely an echo or a blocked path",
                )
            )
        return tuple(sorted(made, key=lambda item: item.time_utc))

    shots = tuple(
        msgspec.structs.replace(shot, arrivals=arrivals(shot, index)) for index, shot in enumerate(record.shots)
    )
    return msgspec.structs.replace(record, shots=shots), sites
