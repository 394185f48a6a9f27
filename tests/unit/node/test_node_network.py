"""A network as the node's classifier: chosen by name, given its frame, its thresholds obeyed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="torch is a training extra; it makes the network that is run here")

from sensor_node.classifier import FrameDefinition, ImpulseRules  # noqa: E402
from sensor_node.config import load_node_config  # noqa: E402
from sensor_node.network import NetworkClassifier, gunshot_threshold, make_classifier  # noqa: E402
from sensor_node.player import FilePlayer, FileSource  # noqa: E402
from sensor_node.profile import NodeProfile, profile_from_config  # noqa: E402
from shotline.domain import ImpulseKind  # noqa: E402
from shotline.errors import InputError  # noqa: E402
from shotline.messages import Detection  # noqa: E402
from shotline_models.architecture import ImpulseNet  # noqa: E402
from shotline_models.export import export  # noqa: E402
from shotline_models.plan import Plan  # noqa: E402
from shotline_models.registry import DEFAULT_CLASSIFIER, DEFAULT_MODEL  # noqa: E402
from shotline_models.runtime import open_network  # noqa: E402
from shotline_models.twin import Threshold  # noqa: E402

RATE_HZ = 12_000


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learned nothing, but runs."""
    torch.manual_seed(1)
    plan = Plan.model_validate({"name": "untaught", "seed": 1, "licences": "free", "network": {"width": 2}})
    thresholds = [Threshold(10.0, 0.0, 2.0, True), Threshold(1.0, 1.0, 2.0, True)]
    folder = tmp_path_factory.mktemp("weights")
    return export(ImpulseNet(width=2), plan, folder, temperature=1.0, thresholds=thresholds, data=())


@pytest.fixture
def bangs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    samples = rng.normal(0.0, 0.001, 4 * RATE_HZ)
    for second in (1, 2):
        samples[second * RATE_HZ :][:2_400] += 0.5 * rng.normal(0.0, 1.0, 2_400) * np.exp(-np.arange(2_400) / 400.0)
    soundfile.write(tmp_path / "bangs.wav", np.clip(samples, -1.0, 1.0), RATE_HZ, subtype="FLOAT")
    return tmp_path / "bangs.wav"


def _heard(sound: Path, **changes: object) -> list[Detection]:
    app = FilePlayer(NodeProfile(node="n1", **changes), [FileSource(path=sound, start_time_ns=10**18)])  # type: ignore[arg-type]
    return [detection for block in app.detections(lambda _: True) for detection in block]


def test_a_node_with_a_network_says_what_the_network_says(weights: Path, bangs: Path) -> None:
    heard, by_rule = _heard(bangs, model=str(weights)), _heard(bangs, model="impulse-rules-1")
    assert [item.arrival_time_ns for item in heard] == [item.arrival_time_ns for item in by_rule]
    assert {item.model_id for item in heard} == {"untaught"}
    assert {item.model_id for item in by_rule} == {"impulse-rules-1"}
    # Level, SNR and pick do not depend on who names the impulse.
    assert [(item.peak_level_db, item.snr_db) for item in heard] == [
        (item.peak_level_db, item.snr_db) for item in by_rule
    ]
    samples, _ = soundfile.read(bangs)
    network = open_network(weights)
    for item in heard:
        wanted = network.probabilities(samples, onset_index=item.onset_sample or 0, sample_rate_hz=RATE_HZ)
        # Basis points.
        assert np.array(item.probabilities_bp) / 1e4 == pytest.approx(wanted, abs=1e-4)


def test_only_gunshots_are_reported_when_a_rate_is_given(weights: Path, bangs: Path) -> None:
    assert len(_heard(bangs, model=str(weights), report_per_hour=10.0)) == 2
    assert _heard(bangs, model=str(weights), report_per_hour=1.0) == []


def test_the_rule_and_networks_are_chosen_by_name(weights: Path) -> None:
    assert isinstance(make_classifier("impulse-rules-1"), ImpulseRules)
    network = make_classifier(str(weights))
    assert isinstance(network, NetworkClassifier)
    assert network.model_id == "untaught"
    assert network.frame == FrameDefinition(before_s=0.1, after_s=0.5)
    with pytest.raises(InputError, match="no network 'impulse-cnn-99'; shipped: "):
        make_classifier("impulse-cnn-99")


def test_a_rate_that_was_not_measured_is_refused(weights: Path) -> None:
    assert gunshot_threshold(make_classifier(str(weights)), 1.0) == 1.0
    with pytest.raises(InputError, match="untaught has no threshold for 5 false alarms an hour; measured are: 10, 1"):
        gunshot_threshold(make_classifier(str(weights)), 5.0)
    with pytest.raises(InputError, match=r"impulse-rules-1 has no threshold .* measured are: none"):
        gunshot_threshold(ImpulseRules(), 1.0)


def test_the_configuration_names_the_classifier(tmp_path: Path) -> None:
    text = '[node]\nid = "n1"\nserver = "tcp://localhost:1"\n[[sources]]\nfile = "a.wav"\n'
    (tmp_path / "node.toml").write_text(text)
    assert profile_from_config(load_node_config(tmp_path / "node.toml")).model == DEFAULT_CLASSIFIER == DEFAULT_MODEL
    (tmp_path / "node.toml").write_text(text + '[detector]\nmodel = "mine.onnx"\nreport_per_hour = 1.0\n')
    profile = profile_from_config(load_node_config(tmp_path / "node.toml"))
    assert (profile.model, profile.report_per_hour) == (str(tmp_path / "mine.onnx"), 1.0)


def test_there_is_a_word_for_every_output_and_none_for_people() -> None:
    assert [kind.value for kind in ImpulseKind] == [
        "gunshot", "firework", "thunder", "impact", "other_impulse", "background",
    ]  # fmt: skip
