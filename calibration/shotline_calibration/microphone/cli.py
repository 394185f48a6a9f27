"""``shotline calibrate microphone``. Heavy imports happen inside the commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shotline.errors import InputError
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Instruments,
    Notes,
    Plot,
    Records,
    SignWith,
    checked_options,
)
from shotline_calibration.microphone.nightcli import collect, relative
from shotline_calibration.microphone.options import Channel, FullScale, Node, finish, full_scale_of

__all__ = ["CalibratorWord", "app"]

_LEVEL_PROCEDURE = "calibrator level 1"
_RESPONSE_PROCEDURE = "third-octave response 1"
_CLIPPING_PROCEDURE = "clipping level 1"


class CalibratorWord(StrEnum):
    """Class of a sound calibrator, IEC 60942."""

    LS = "LS"
    ONE = "1"
    TWO = "2"


app = typer.Typer(
    no_args_is_help=True, help="What a node's microphone is worth (calibration/procedures/microphone.md)."
)
app.command()(collect)
app.command()(relative)


@app.command()
def level(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="WAV or FLAC, one for each insertion of the calibrator.")
    ],
    *,
    node: Node,
    level_db: Annotated[float, typer.Option("--level-db", help="Of the calibrator, rms; better its certificate's.")],
    calibrator: Annotated[CalibratorWord, typer.Option("--class", help="Of the calibrator, IEC 60942.")],
    frequency_hz: Annotated[float, typer.Option("--frequency-hz", min=20.0, help="Of the calibrator.")] = 1000.0,
    certificate_sigma_db: Annotated[
        float | None,
        typer.Option("--certificate-sigma-db", min=0.0, help="1-sigma of its level by its certificate (U / k)."),
    ] = None,
    correction_db: Annotated[
        float, typer.Option("--correction-db", help="Level at the microphone minus the calibrator's: adapter, coupler.")
    ] = 0.0,
    correction_sigma_db: Annotated[
        float, typer.Option("--correction-sigma-db", min=0.0, help="1-sigma of that: a MEMS port in an adapter, 0.3.")
    ] = 0.3,
    second: Annotated[
        list[Path] | None, typer.Option("--second", metavar="FILE", help="At another level, such as 114 dB; repeat it.")
    ] = None,
    second_level_db: Annotated[float | None, typer.Option("--second-level-db", help="That level.")] = None,
    channel: Channel = None,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """The level of full scale in dB SPL, from a calibrator's tone: 94 dB, three insertions, 20 s each."""
    from shotline_calibration.microphone.describe import level_result
    from shotline_calibration.microphone.level import CALIBRATOR_CLASSES, level_of
    from shotline_calibration.microphone.sound import read_recording
    from shotline_calibration.microphone.tone import NoTone, Tone, measure_tone

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    if bool(second) != (second_level_db is not None):
        raise InputError("--second and --second-level-db go together; give both or neither", field="--second")

    def tone_of(path: Path) -> Tone:
        recording = read_recording(path, channel=channel)
        found = measure_tone(recording.samples, recording.sample_rate_hz, about_hz=frequency_hz)
        if isinstance(found, NoTone):
            raise InputError(f"no tone, {found.reason.value}: {found.detail}", source=path)
        return found

    tones, seconds = [tone_of(path) for path in recordings], [tone_of(path) for path in second or ()]
    found = level_of(
        tones,
        level_db_spl=level_db,
        frequency_hz=frequency_hz,
        calibrator=CALIBRATOR_CLASSES[calibrator.value],
        calibrator_sigma_db=certificate_sigma_db,
        correction_db=correction_db,
        correction_sigma_db=correction_sigma_db,
        second=seconds,
        second_level_db_spl=second_level_db,
    )
    result = level_result(
        found,
        tones,
        calibrator_class=calibrator.value,
        level_db_spl=level_db,
        frequency_hz=frequency_hz,
        correction_db=correction_db,
        correction_sigma_db=correction_sigma_db,
    )
    if plot is not None:
        from shotline_calibration.microphone.picture import draw_level
        from shotline_calibration.plots import save

        save(draw_level(node, result, tones), plot)
    inputs = [*recordings, *(second or ())]
    finish(result, options, "microphone-level", node, _LEVEL_PROCEDURE, inputs, as_json, node)


@app.command()
def response(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="What the reference microphone recorded.")],
    tested: Annotated[Path, typer.Argument(metavar="TESTED", help="What the node's microphone recorded meanwhile.")],
    *,
    node: Node,
    limits: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="lower_hz,upper_hz,low_db,high_db; without, what detection needs."),
    ] = None,
    reference_response: Annotated[
        Path | None,
        typer.Option("--reference-response", metavar="CSV", help="frequency_hz,response_db of the reference."),
    ] = None,
    channel: Channel = None,
    reference_channel: Annotated[int | None, typer.Option("--reference-channel", min=1)] = None,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Frequency response in thirds of an octave against a reference, side by side before a loudspeaker with noise."""
    from shotline_calibration.microphone.describe import response_result
    from shotline_calibration.microphone.response import NEEDED, NoResponse, measure_response
    from shotline_calibration.microphone.responsefiles import at_one_rate, read_limits, read_reference_response
    from shotline_calibration.microphone.sound import read_recording

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    one, other = read_recording(reference, channel=reference_channel), read_recording(tested, channel=channel)
    left, right, rate_hz = at_one_rate(one, other)
    found = measure_response(
        left,
        right,
        rate_hz,
        limits=NEEDED if limits is None else read_limits(limits),
        reference_db=() if reference_response is None else read_reference_response(reference_response),
    )
    if isinstance(found, NoResponse):
        raise InputError(f"no response, {found.reason.value}: {found.detail}", source=tested)
    result = response_result(found)
    if plot is not None:
        from shotline_calibration.microphone.picture import draw_response
        from shotline_calibration.plots import save

        save(draw_response(node, result), plot)
    finish(result, options, "microphone-response", node, _RESPONSE_PROCEDURE, [reference, tested], as_json, "")


@app.command()
def clipping(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Of loud sounds, or of a tone that grows louder.")
    ],
    *,
    node: Node,
    tone_hz: Annotated[
        float | None, typer.Option("--tone-hz", min=20.0, help="Of the tone that grows: its distortion is measured.")
    ] = None,
    full_scale_db_spl: FullScale = None,
    channel: Channel = None,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """The level at which the microphone or its preamplifier ends, in dBFS, and in dB SPL when full scale is known."""
    from shotline_calibration.microphone.clipping import find_ceiling, rising_tone
    from shotline_calibration.microphone.describe import clipping_result
    from shotline_calibration.microphone.responsefiles import joined
    from shotline_calibration.microphone.sound import read_recording

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    samples, rate_hz = joined([read_recording(path, channel=channel) for path in recordings])
    points = [] if tone_hz is None else rising_tone(samples, rate_hz, frequency_hz=tone_hz)
    known_db, sigma_db = full_scale_of(records, node)
    if full_scale_db_spl is not None:
        known_db, sigma_db = full_scale_db_spl, None
    result = clipping_result(find_ceiling(samples, rate_hz), samples, points, known_db, sigma_db)
    if plot is not None:
        from shotline_calibration.microphone.picture import draw_clipping
        from shotline_calibration.plots import save

        save(draw_clipping(node, result, samples), plot)
    finish(result, options, "microphone-clipping", node, _CLIPPING_PROCEDURE, recordings, as_json, "")
