"""What a node hears with, and what it has done: the same for a sound card and for files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sensor_node.classifier import Classifier
from sensor_node.config import NodeConfig
from sensor_node.detector import DetectorSettings
from sensor_node.network import gunshot_threshold, make_classifier
from shotline.domain import ClockState
from shotline.onsets import OnsetSettings
from shotline_models.registry import DEFAULT_CLASSIFIER

__all__ = ["NodeProfile", "Summary", "profile_from_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProfile:
    """What a node hears with, whatever it hears; see `sensor_node.detector.NodePipeline`.

    ``model`` is what `make_classifier` takes; with ``report_per_hour`` only what it takes for a gunshot is reported, at
    so many false alarms an hour.
    """

    node: str
    calibration_id: str | None = None
    full_scale_db_spl: float | None = None
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    model: str = DEFAULT_CLASSIFIER
    report_per_hour: float | None = None

    def prepared(self) -> tuple[Classifier, DetectorSettings]:
        """Return the classifier, loaded, and the settings that it needs.

        Raises
        ------
        InputError
            There is no such classifier, or no threshold of it for that rate.
        """
        classifier = make_classifier(self.model)
        settings = self.settings.wide_enough_for(classifier.frame)
        if self.report_per_hour is not None:
            settings = replace(settings, gunshot_above=gunshot_threshold(classifier, self.report_per_hour))
        return classifier, settings


@dataclass(slots=True)
class Summary:
    """What a node has done: what it heard, what became of the onsets, and what the server said.

    What was dropped, and the damaged spools, are counts of the spool: since its file was made.
    """

    node: str
    device: str = ""
    files: int = 0
    samples: int = 0
    seconds: float = 0.0
    gaps: int = 0
    gap_samples: int = 0
    onsets: int = 0
    rejected_onsets: int = 0
    detections: int = 0
    clock_state: str = ClockState.UNTIMED.value
    unacked: int = 0
    rejected_by_server: int = 0
    dropped_detections: int = 0
    dropped_heartbeats: int = 0
    damaged_spools: int = 0
    stopped: bool = False
    problem: str = ""


def profile_from_config(config: NodeConfig) -> NodeProfile:
    """Return what the configuration says about the node."""
    detector = config.detector
    return NodeProfile(
        node=config.node.id,
        calibration_id=config.node.calibration_id,
        full_scale_db_spl=config.node.full_scale_db_spl,
        settings=DetectorSettings(
            onsets=OnsetSettings(threshold_db=detector.threshold_db, high_pass_hz=detector.high_pass_hz),
            min_snr_db=detector.min_snr_db,
        ),
        model=detector.model,
        report_per_hour=detector.report_per_hour,
    )
