"""Self-survey from sound: where nodes are and how their clocks differ, from impulses that several of them heard."""

from __future__ import annotations

from shotline_calibration.self_survey.adjust import self_survey
from shotline_calibration.self_survey.observability import Motion, Told, motions, told_of
from shotline_calibration.self_survey.problem import (
    AirPrior,
    Impulse,
    NodePrior,
    SelfSurvey,
    SurveyedNode,
    SurveySettings,
)

__all__ = [
    "AirPrior",
    "Impulse",
    "Motion",
    "NodePrior",
    "SelfSurvey",
    "SurveySettings",
    "SurveyedNode",
    "Told",
    "motions",
    "self_survey",
    "told_of",
]
