"""A trained network as the node's classifier, and the choice between it and the rule."""

from __future__ import annotations

import math

from sensor_node.classifier import Classifier, FrameDefinition, ImpulseFrame, ImpulseRules
from shotline.errors import InputError
from shotline_models.registry import find_weights
from shotline_models.runtime import Network, open_network

__all__ = ["NetworkClassifier", "gunshot_threshold", "make_classifier"]


class NetworkClassifier:
    """A network with its twin; see `sensor_node.classifier.Classifier`.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def model_id(self) -> str:
        """Name of the network, as in its twin and card."""
        return self._network.twin.model_id

    @property
    def frame(self) -> FrameDefinition:
        """The sound that its picture needs, at any rate of at least twice its highest frequency."""
        return FrameDefinition(before_s=self._network.twin.input.before_s, after_s=self._network.twin.input.after_s)

    @property
    def thresholds(self) -> dict[float, float]:
        """Probabilities of a gunshot by the false alarms of a node an hour that they give; see its card."""
        return {item.per_hour: item.probability for item in self._network.twin.thresholds}

    def probabilities(self, frame: ImpulseFrame) -> tuple[float, ...]:
        """Return one probability per `ImpulseKind`, in its order."""
        found = self._network.probabilities(
            frame.samples, onset_index=frame.onset_index, sample_rate_hz=frame.sample_rate_hz
        )
        return tuple(found.tolist())


def make_classifier(model: str) -> Classifier:
    """Return the rule by its name, or a network: a shipped one by its name, or an ONNX file with its twin beside it.

    Raises
    ------
    InputError
        There is none of that name, or it cannot be run.
    """
    rules = ImpulseRules()
    return rules if model == rules.model_id else NetworkClassifier(open_network(find_weights(model)))


def gunshot_threshold(classifier: Classifier, per_hour: float) -> float:
    """Return the probability of a gunshot above which a node gives so many false alarms an hour.

    Raises
    ------
    InputError
        It was not measured for this classifier at this rate.
    """
    known = classifier.thresholds if isinstance(classifier, NetworkClassifier) else {}
    found = next(
        (probability for rate, probability in known.items() if math.isclose(rate, per_hour, rel_tol=0.01)), None
    )
    if found is None:
        rates = ", ".join(f"{rate:.3g}" for rate in known) or "none"
        raise InputError(
            f"{classifier.model_id} has no threshold for {per_hour:g} false alarms an hour; measured are: {rates}",
            field="detector.report_per_hour",
        )
    return found
