"""A shot, six nodes with keys and sound in memory, a server: located, asked for, given, checked, kept, shown."""

from __future__ import annotations

import hashlib
import io
import json
import math
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import zmq

from fusion_server.app import ServerApp
from fusion_server.config import ServerConfig
from sensor_node.classifier import ImpulseRules
from sensor_node.clips import ClipDesk, ClipLimits, sound_of
from sensor_node.connection import CurveClientKeys
from sensor_node.detector import DetectorSettings, NodeIdentity, NodePipeline
from sensor_node.flac import flac_encoder
from sensor_node.framing import AudioBlock
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.ring import SoundRing
from sensor_node.sampleclock import FixedRateClock
from sensor_node.spool import MemorySpool, SpoolCounts
from shotline.allowlist import edit_allow_list
from shotline.atmosphere import speed_of_sound_mps
from shotline.config import parse_config
from shotline.domain import ClockState, DetectionId
from shotline.keyfiles import KeyPair
from shotline.messages import Detection, Heartbeat, Hello, encode
from shotline.units import NS_PER_S

pytestmark = pytest.mark.processes

EPOCH_NS = 1_545_180_566_000_000_000
RATE_HZ = 48_000
SECONDS = 6
SITES = {
    "a": (0.0, 0.0),
    "b": (400.0, 0.0),
    "c": (400.0, 400.0),
    "d": (0.0, 400.0),
    "e": (200.0, 500.0),
    "f": (210.0, 20.0),
}
SHOT_M = (150.0, 230.0)
SILENT = "f"
"""The node whose owner lets no sound out."""


def pair() -> KeyPair:
    return KeyPair(*(half.decode() for half in zmq.curve_keypair()))


class LiveNode:
    """What a live node is made of, but the sound card: sound in the ring, detections, a desk, a publisher."""

    def __init__(self, name: str, endpoint: str, keys: CurveClientKeys, now_ns: Callable[[], int]) -> None:
        self.name, self.boot, self.now_ns = name, sum(map(ord, name)), now_ns
        self.ring = SoundRing(30.0, RATE_HZ, 2)
        self.desk = ClipDesk(
            ClipLimits(node=name, sample_rate_hz=RATE_HZ, enabled=name != SILENT),
            sound_of(self.ring, channel=1),
            flac_encoder(RATE_HZ),
        )
        self.spool = MemorySpool()
        self.sent: list[Detection] = []
        self.publisher = Publisher(
            endpoint,
            spool=self.spool,
            hello=self.hello,
            heartbeat=self.heartbeat,
            monotonic_s=lambda: now_ns() / NS_PER_S,
            settings=PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.05),
            curve=keys,
            clip_request=lambda request: self.desk.answer(request, now_ns=now_ns()),
        )

    def hello(self) -> Hello:
        return Hello(
            node=self.name,
            boot=self.boot,
            time_ns=self.now_ns(),
            software_version="test",
            model_id="impulse-rules-1",
            sample_rate_hz=RATE_HZ,
            clock_state=ClockState.PPS,
        )

    def heartbeat(self, counts: SpoolCounts) -> Heartbeat:
        return Heartbeat(
            node=self.name,
            boot=self.boot,
            time_ns=self.now_ns(),
            clock_state=ClockState.PPS,
            unacked=counts.unacked,
        )

    def hear(self, rng: np.random.Generator) -> None:
        """Hear a shot, 2 s after the epoch and its way, among noise."""
        at_s = 2.0 + math.dist(SHOT_M, SITES[self.name]) / speed_of_sound_mps(15.0)
        time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
        late_s = np.maximum(time_s - at_s, 0.0)
        sound = 1e-3 * rng.standard_normal(len(time_s))
        sound += np.where(time_s >= at_s, 0.3 * np.exp(-late_s / 0.002) * np.cos(2 * np.pi * 700.0 * late_s), 0.0)
        frames = np.stack([np.rint(32_768 * sound), rng.integers(-99, 99, len(sound))], axis=1).astype(np.int16)
        for first in range(0, len(frames), 960):
            self.ring.write(
                frames[first : first + 960], adc_time_ns=EPOCH_NS + first * NS_PER_S // RATE_HZ, overflow=False
            )

    def report(self) -> None:
        """Detect, announce the clip's digest, and send: 2 s after the sound, all of it is in memory."""
        samples, _ = self.ring.read(self.ring.capacity_samples)
        pipeline = NodePipeline(
            identity=NodeIdentity(self.name, self.boot),
            sample_rate_hz=RATE_HZ,
            clock=FixedRateClock(EPOCH_NS, RATE_HZ, 1_000, ClockState.PPS),
            classifier=ImpulseRules(),
            settings=DetectorSettings(),
            full_scale_db_spl=None,
        )
        for found in [*pipeline.process(AudioBlock(0, samples[0])), *pipeline.flush()]:
            detection = msgspec.structs.replace(found, clip_sha256=self.desk.digest(found.onset_sample))
            self.desk.remember(detection, onset_ns=EPOCH_NS + found.onset_sample * NS_PER_S // RATE_HZ)
            self.publisher.send(detection)
            self.sent.append(detection)


def server_config(folder: Path, own: KeyPair) -> ServerConfig:
    secret = folder / "server.key_secret"
    secret.write_text(f'curve\n    public-key = "{own.public}"\n    secret-key = "{own.secret}"\n')
    secret.chmod(0o600)
    nodes = "".join(f'[[nodes]]\nid = "{node}"\nx_m = {x}\ny_m = {y}\n' for node, (x, y) in SITES.items())
    text = (
        f'[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "{folder / "history.db"}"\n'
        f'curve_secret_file = "{secret}"\nallow_list = "{folder / "nodes.toml"}"\n[http]\nport = 0\n{nodes}'
    )
    return parse_config(text, ServerConfig, source="server.toml")


def test_a_located_shot_brings_its_sound(tmp_path: Path) -> None:
    now_ns = EPOCH_NS + SECONDS * NS_PER_S
    own, pairs = pair(), {name: pair() for name in SITES}
    for name, keys in pairs.items():
        edit_allow_list(
            tmp_path / "nodes.toml",
            lambda before, name=name, keys=keys: before.enrol(name, keys.public, now_ns=EPOCH_NS),  # type: ignore[misc]
            create=True,
        )
    with ExitStack() as stack:
        app = stack.enter_context(
            ServerApp(
                server_config(tmp_path, own), alerts_to=io.StringIO(), log_to=io.StringIO(), now_ns=lambda: now_ns
            )
        )
        nodes = {
            name: LiveNode(name, app.endpoint, CurveClientKeys(keys, own.public), lambda: now_ns)
            for name, keys in pairs.items()
        }
        for node in nodes.values():
            stack.enter_context(node.publisher)

        def go_on(until: Callable[[], bool], *, step_s: float = 0.02) -> None:
            nonlocal now_ns
            for _ in range(3_000):
                now_ns += round(step_s * NS_PER_S)
                app.step(1)
                for node in nodes.values():
                    node.publisher.poll(0)
                if until():
                    return
            raise AssertionError([node.publisher.counters for node in nodes.values()])

        rng = np.random.default_rng(3)
        go_on(lambda: all(node.publisher.connected for node in nodes.values()), step_s=0.0)
        for node in nodes.values():
            node.hear(rng)
            node.report()
            assert len(node.sent) == 1
        go_on(lambda: len(app.history.incidents()) == 1)
        (record,) = app.history.incidents()
        go_on(
            lambda: len(app.history.clips(record.id)) + len(app.history.clip_refusals(record.id)) == 6,
        )
        clips = {clip.uid.node: clip for clip in app.history.clips(record.id)}
        assert set(clips) == set(SITES) - {SILENT}
        for name, clip in clips.items():
            (detection,) = nodes[name].sent
            onset = detection.onset_sample
            sound = nodes[name].ring.last(onset - RATE_HZ // 2, onset + 3 * RATE_HZ // 2)
            assert sound is not None
            assert clip.uid == DetectionId(name, detection.boot, detection.sequence)
            assert clip.digest_ok is True
            assert detection.clip_sha256 == hashlib.sha256(sound[0].astype("<i2").tobytes()).digest()
            assert abs(clip.start_time_ns - (EPOCH_NS + (onset - RATE_HZ // 2) * NS_PER_S // RATE_HZ)) <= 21_000
            decoded, rate_hz = soundfile.read(io.BytesIO(clip.flac), dtype="int16")
            assert rate_hz == RATE_HZ
            assert np.array_equal(decoded, sound[0])
        (refused,) = app.history.clip_refusals(record.id)
        assert (refused.uid.node, refused.reason) == (SILENT, "clips_off")
        assert nodes[SILENT].sent[0].clip_sha256 is None

        listing = f"{app.http_url}incidents/{record.id}/clips"
        with urllib.request.urlopen(listing, timeout=10) as answer:
            page = json.load(answer)
        assert [item["node"] for item in page["refused"]] == [SILENT]
        assert {item["node"] for item in page["clips"]} == set(clips)
        for item in page["clips"]:
            with urllib.request.urlopen(f"{app.http_url}{item['href'].removeprefix('/')}", timeout=10) as answer:
                assert answer.headers["content-type"] == "audio/flac"
                assert answer.read() == clips[item["node"]].flac

        # Nobody asks twice, and what left is what the history holds: no other way out is used.
        requests = sum(node.publisher.counters.clip_requests for node in nodes.values())
        go_on(lambda: now_ns >= EPOCH_NS + 70 * NS_PER_S, step_s=0.5)
        assert sum(node.publisher.counters.clip_requests for node in nodes.values()) == requests == 6
        assert all(not node.publisher.unacked for node in nodes.values())
        assert app.history.reject_counts() == {}
        assert len(encode(nodes["a"].sent[0])) < 180
