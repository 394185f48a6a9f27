"""Which procedures there are: each is a line here, a package or module of its own, and a page for the technician."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from shotline.errors import InputError
from shotline_calibration.result import Result

__all__ = ["PROCEDURES", "Procedure", "result_type"]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One procedure, by the names of what it consists of, which is loaded when it is used.

    Parameters
    ----------
    command : str
        Its word after ``shotline calibrate``.
    app : str
        ``module:name`` of its typer application. The module is loaded with the command line: heavy imports happen
        inside its commands. A command that makes records of several kinds has a line for each, with the same one.
    kind : str
        Of its records.
    result : str
        ``module:name`` of what they hold, a `Result`.
    """

    command: str
    app: str
    kind: str
    result: str

    def load_app(self) -> object:
        """Return its typer application."""
        return _load(self.app)


PROCEDURES = (
    Procedure(
        command="position",
        app="shotline_calibration.position.cli:app",
        kind="position",
        result="shotline_calibration.position.result:PositionResult",
    ),
    Procedure(
        command="self-survey",
        app="shotline_calibration.self_survey.cli:app",
        kind="self-survey",
        result="shotline_calibration.self_survey.result:SelfSurveyResult",
    ),
    Procedure(
        command="sound-speed",
        app="shotline_calibration.sound_speed.cli:app",
        kind="sound-speed",
        result="shotline_calibration.sound_speed.result:SoundSpeedResult",
    ),
    Procedure(
        command="clock",
        app="shotline_calibration.clock.cli:app",
        kind="clock",
        result="shotline_calibration.clock.result:ClockResult",
    ),
    Procedure(
        command="clock",
        app="shotline_calibration.clock.cli:app",
        kind="clock-delay",
        result="shotline_calibration.clock.result:LatencyResult",
    ),
    Procedure(
        command="microphone",
        app="shotline_calibration.microphone.cli:app",
        kind="microphone-level",
        result="shotline_calibration.microphone.result:LevelResult",
    ),
    Procedure(
        command="microphone",
        app="shotline_calibration.microphone.cli:app",
        kind="microphone-relative",
        result="shotline_calibration.microphone.result:RelativeResult",
    ),
    Procedure(
        command="microphone",
        app="shotline_calibration.microphone.cli:app",
        kind="microphone-response",
        result="shotline_calibration.microphone.result:ResponseResult",
    ),
    Procedure(
        command="microphone",
        app="shotline_calibration.microphone.cli:app",
        kind="microphone-clipping",
        result="shotline_calibration.microphone.result:ClippingResult",
    ),
    Procedure(
        command="plan",
        app="shotline_calibration.plan_cli:app",
        kind="plan",
        result="shotline_calibration.plan.result:PlanResult",
    ),
    Procedure(
        command="selfcheck",
        app="shotline_calibration.selfcheck.cli:app",
        kind="selfcheck",
        result="shotline_calibration.selfcheck.result:SelfcheckResult",
    ),
    Procedure(
        command="site-bias",
        app="shotline_calibration.site_bias.cli:app",
        kind="site-bias",
        result="shotline_calibration.site_bias.result:SiteBiasResult",
    ),
)


def result_type(kind: str) -> type[Result]:
    """Return what records of a kind hold.

    Raises
    ------
    InputError
        No procedure of this version makes them.
    """
    for procedure in PROCEDURES:
        if procedure.kind == kind:
            found = _load(procedure.result)
            assert isinstance(found, type)
            assert issubclass(found, Result)
            return found
    known = ", ".join(procedure.kind for procedure in PROCEDURES)
    raise InputError(f"no procedure of this version makes records of kind '{kind}'; it knows {known}", field="kind")


def _load(name: str) -> object:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
