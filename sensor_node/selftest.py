"""The node's checks: what was measured goes in, a named check comes out. Pure.

`shotline node check` prints them, and a running node sends them in every heartbeat: same names, same texts. A figure
that is not known yet is no fault. Limits are the constants below, each with its reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sensor_node.micstats import SoundFigures
from sensor_node.place import NoPlace, Place
from sensor_node.spool import SpoolCounts
from shotline.domain import CheckStatus, ClockState
from shotline.health import Check

__all__ = [
    "OverrunCounts",
    "check_calibration",
    "check_capture",
    "check_cpu",
    "check_disk",
    "check_gps",
    "check_memory",
    "check_microphone",
    "check_model",
    "check_overruns",
    "check_place",
    "check_rate",
    "check_server",
    "check_spool",
    "check_temperature",
    "check_time",
    "check_version",
    "check_voltage",
]

_OK, _WARN, _FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL

STILL_FAIL_S = 0.5
"""No sound repeats one value so long: 1 LSB of hiss is enough to move it."""
ZERO_RUN_WARN_S = 0.01
"""Ten milliseconds of zeros in moving sound are a lost buffer."""
OFFSET_WARN, OFFSET_FAIL = 0.02, 0.2
"""Of full scale. Converters have less than 0.01; 0.2 takes 2 dB of room from one side."""
CLIPPED_WARN, CLIPPED_FAIL = 0.01, 0.1
"""Of frames of 50 ms. A magazine of 30 rounds clips 30 of the 6,000 frames of five minutes."""
QUIET_WARN_DBFS = -98.0
"""Rounding and dither of a 24-bit converter cut to 16 bits make -96 dBFS by themselves."""
LOUD_WARN_DBFS = -26.0
"""A noise floor so high leaves impulses no room; a gain control that noise alone drives holds it near its target."""
QUIET_WARN_DB_SPL = 20.0
"""Nowhere outdoors is it quieter, from 20 Hz on: a blocked port, or the wrong full scale."""
RATE_WARN_PPM, RATE_FAIL_PPM = 150.0, 500.0
"""Crystals are within 100 ppm, the host's clock is slewed by some more. Beyond 500 it is another rate."""
LOST_FAIL_SHARE = 0.01
"""Of an hour's sound: so much is missed for certain."""
SIGMA_WARN_S = 0.005
"""What the path adds is 7 ms: a clock should not be as bad."""
FIX_AGE_WARN_S = 60.0
"""Fixes come once a second."""
LEAST_SATELLITES = 4
"""Unknowns of a fix: three of place, one of time."""
DISK_WARN_BYTES, DISK_FAIL_BYTES = 256 * 1024**2, 32 * 1024**2
"""Twice the largest spool (64 MiB unless configured), and a damaged one kept; and one day of writing."""
HOT_WARN_C, HOT_FAIL_C = 75.0, 85.0
"""A Raspberry Pi slows down from 80 degrees on, and hard at 85."""
CPU_WARN_SHARE = 0.7
"""Of one core: at 1 a Python process falls behind."""
LOAD_WARN_PER_CORE = 2.0
"""Twice as much to do as can be done: callbacks come late."""
MEMORY_WARN_SHARE, MEMORY_FAIL_SHARE = 0.10, 0.03
"""Of the board's memory still to be had: below, the kernel ends processes."""
SPOOL_WARN_SHARE = 0.5
"""Of the rows that a spool holds."""
SERVER_SILENT_WARN_S = 30.0
"""A server's heartbeat comes every 2 s."""

_MOST_REJECT_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class OverrunCounts:
    """Sound that was lost: how often, and samples (an estimate).

    Parameters
    ----------
    times : int
        Overruns and other breaks.
    samples : int
        Lost in them, and not read in time.
    """

    times: int
    samples: int

    def __sub__(self, other: OverrunCounts) -> OverrunCounts:
        return OverrunCounts(self.times - other.times, self.samples - other.samples)


def check_microphone(sound: SoundFigures | None, *, full_scale_db_spl: float | None = None) -> Check:
    """Check that the microphone lives, and that nothing spoils its sound.

    Parameters
    ----------
    sound : SoundFigures | None
        None before the first second.
    full_scale_db_spl : float | None
        Peak level of digital full scale, when calibrated.
    """
    if sound is None:
        return Check("microphone", _OK, "not heard for a second yet")
    numbers = {
        "quiet_dbfs": _rounded(sound.quiet_dbfs),
        "level_dbfs": _rounded(sound.level_dbfs),
        "offset": round(sound.offset, 5),
        "still_s": round(sound.still_s, 3),
        "longest_zeros_s": round(sound.zero_run_s, 4),
        "longest_constant_s": round(sound.constant_run_s, 4),
        "full_scale_share": round(sound.full_scale_share, 6),
        "clipped_share": round(sound.clipped_share, 6),
        "loud_impulses": sound.gain.impulses,
        "pumped_impulses": sound.gain.depressed,
        "seconds": sound.seconds,
    }
    found = [item for item in _sound_faults(sound, full_scale_db_spl) if item is not None]
    if found:
        status = _FAIL if any(item[0] is _FAIL for item in found) else _WARN
        return Check("microphone", status, "; ".join(text for _, text in found), numbers)
    return Check("microphone", _OK, f"alive, noise floor {sound.quiet_dbfs:.1f} dBFS", numbers)


def _sound_faults(sound: SoundFigures, full_scale_db_spl: float | None) -> list[tuple[CheckStatus, str] | None]:
    """Return what is wrong, worst first; nothing else is said of sound that stands still."""
    if sound.still_s >= STILL_FAIL_S:
        what = "nothing but zeros" if sound.zero_run_s >= sound.constant_run_s else "the same value again and again"
        text = f"{what} for {sound.still_s:.1f} s: is the microphone plugged in, its channel the right one, unmuted?"
        return [(_FAIL, text)]
    return [
        _clipping(sound),
        _offset(sound),
        _noise_floor(sound, full_scale_db_spl),
        _gaps_of_zeros(sound),
        _gain_control(sound),
    ]


def _clipping(sound: SoundFigures) -> tuple[CheckStatus, str] | None:
    if sound.clipped_share < CLIPPED_WARN:
        return None
    text = (
        f"{sound.clipped_share:.0%} of the time at full scale: turn the gain down (alsamixer), or a connector is loose"
    )
    return (_FAIL if sound.clipped_share >= CLIPPED_FAIL else _WARN), text


def _offset(sound: SoundFigures) -> tuple[CheckStatus, str] | None:
    if abs(sound.offset) < OFFSET_WARN:
        return None
    text = (
        f"offset of {sound.offset:+.1%} of full scale, expected none: is the bias or the wiring wrong, the card broken?"
    )
    return (_FAIL if abs(sound.offset) >= OFFSET_FAIL else _WARN), text


def _noise_floor(sound: SoundFigures, full_scale_db_spl: float | None) -> tuple[CheckStatus, str] | None:
    if sound.quiet_dbfs > LOUD_WARN_DBFS:
        return _WARN, (
            f"noise floor at {sound.quiet_dbfs:.0f} dBFS leaves impulses no room: turn the gain down, automatic gain "
            "off; or a hum, or strong wind"
        )
    if sound.quiet_dbfs < QUIET_WARN_DBFS:
        return _WARN, (
            f"noise floor at {sound.quiet_dbfs:.0f} dBFS, less than a microphone's own hiss: is one plugged in, is it "
            "the right channel, is the gain at zero?"
        )
    if full_scale_db_spl is not None and sound.quiet_dbfs + full_scale_db_spl < QUIET_WARN_DB_SPL:
        return _WARN, (
            f"noise floor at {sound.quiet_dbfs + full_scale_db_spl:.0f} dB SPL, quieter than outdoors ever is: is the "
            "port blocked, full_scale_db_spl wrong?"
        )
    return None


def _gaps_of_zeros(sound: SoundFigures) -> tuple[CheckStatus, str] | None:
    if sound.zero_run_s < ZERO_RUN_WARN_S:
        return None
    return _WARN, f"{sound.zero_run_s * 1000:.0f} ms of zeros in the sound: buffers are lost, or a contact is loose"


def _gain_control(sound: SoundFigures) -> tuple[CheckStatus, str] | None:
    if not sound.gain.suspected:
        return None
    return _WARN, (
        f"automatic gain suspected: the hiss sank after {sound.gain.depressed} of {sound.gain.impulses} loud sounds; "
        "switch it off (alsamixer)"
    )


def check_rate(offset_ppm: float, sigma_ppm: float) -> Check:
    """Check the sound card's rate against the host's clock; NaN while it is not known."""
    if not (math.isfinite(offset_ppm) and math.isfinite(sigma_ppm)):
        return Check("rate", _OK, "not known yet")
    numbers = {"offset_ppm": round(offset_ppm, 2), "sigma_ppm": round(sigma_ppm, 3)}
    least_ppm = abs(offset_ppm) - 3.0 * sigma_ppm
    seen = f"the sound card runs {offset_ppm:+.0f} ppm against the clock"
    if least_ppm > RATE_FAIL_PPM:
        text = f"{seen}, expected within 100: it does not do the rate asked for, or loses sound; take another device"
        return Check("rate", _FAIL, text, numbers)
    if least_ppm > RATE_WARN_PPM:
        text = f"{seen}, expected within 100: is chronyd slewing? if it stays, replace the card"
        return Check("rate", _WARN, text, numbers)
    return Check("rate", _OK, f"{seen}, known to {sigma_ppm:.1f}", numbers)


def check_overruns(total: OverrunCounts, last_hour: OverrunCounts, *, sample_rate_hz: int) -> Check:
    """Check for lost sound: since the start, and of that in the last hour."""
    numbers = {
        "lost_last_hour_s": round(last_hour.samples / sample_rate_hz, 3),
        "last_hour": last_hour.times,
        "total": total.times,
        "lost_s": round(total.samples / sample_rate_hz, 3),
    }
    if not last_hour.times and not last_hour.samples:
        return Check("overruns", _OK, f"none in the last hour, {total.times} since the start", numbers)
    lost_s = last_hour.samples / sample_rate_hz
    text = (
        f"{lost_s:.2f} s of sound lost in the last hour, {last_hour.times} overruns and breaks: end other work here, "
        "see cpu and voltage"
    )
    return Check("overruns", _FAIL if lost_s > 3600.0 * LOST_FAIL_SHARE else _WARN, text, numbers)


def check_capture(
    state: str, *, device: str, problem: str, reopens: int, reopens_last_hour: int = 0, callback_errors: int = 0
) -> Check:
    """Check that sound comes in.

    Parameters
    ----------
    state : str
        A `sensor_node.capture.CaptureState`.
    device, problem : str
        As the capture says.
    reopens, reopens_last_hour : int
        How often the device was opened again: since the start, and of that in the last hour.
    callback_errors : int
        Blocks lost to a mistake in this program.
    """
    numbers = {"reopens": reopens, "reopens_last_hour": reopens_last_hour, "callback_errors": callback_errors}
    if state != "running":
        text = f"no sound comes in ({state}): {problem or 'the device is not open'}; it is tried again by itself"
        return Check("capture", _FAIL, text, numbers)
    if callback_errors:
        text = f"{callback_errors} blocks were lost to a mistake in this program; report it with `check --bundle`"
        return Check("capture", _WARN, text, numbers)
    if reopens_last_hour:
        text = f"{device} was opened again {reopens_last_hour} times in the last hour: check its plug and its supply"
        return Check("capture", _WARN, text, numbers)
    return Check("capture", _OK, f"{device}, opened again {reopens} times", numbers)


def check_time(
    state: ClockState,
    *,
    sigma_ns: int | None,
    bound_ns: int | None = None,
    leap: str | None = None,
    reference: str = "",
    problem: str = "",
) -> Check:
    """Check how the time is known.

    Parameters
    ----------
    state : ClockState
        Of the newest sample; of the system clock where no sound runs.
    sigma_ns : int | None
        1-sigma of it; None where no sound runs.
    bound_ns, leap, reference
        What chronyd says (`sensor_node.chrony.Tracking`); None and "" when it was not read.
    problem : str
        Why it was not read; "" when it was.
    """
    numbers: dict[str, int | float] = {}
    if sigma_ns is not None and state is not ClockState.UNTIMED:
        numbers["sigma_us"] = round(sigma_ns / 1000.0, 1)
    if bound_ns is not None and leap != "unsynchronised":
        numbers["bound_us"] = round(bound_ns / 1000.0, 1)
    said = f": {problem}" if problem else ""
    if state is ClockState.UNTIMED:
        why = said or (": chronyd is not synchronised" if leap == "unsynchronised" else "")
        text = f"the time is not known, nothing heard now can be located{why}; check the antenna, the network, chrony"
        return Check("time", _FAIL, text, numbers)
    if state is ClockState.HOLDOVER:
        text = "the pulse is lost and the clock coasts, its error grows: check the antenna and its cable"
        return Check("time", _WARN, text, numbers)
    worst_ns = bound_ns if sigma_ns is None else sigma_ns
    if worst_ns is not None and worst_ns > SIGMA_WARN_S * 1e9:
        text = f"{state.value}, known to {worst_ns / 1e6:.1f} ms only: closer time servers, or a receiver with a pulse"
        return Check("time", _WARN, text, numbers)
    if problem:
        return Check("time", _WARN, f"{state.value}, but chronyd does not answer{said}", numbers)
    if leap == "unsynchronised":
        return Check("time", _WARN, f"{state.value}, but chronyd is not synchronised; check its sources", numbers)
    known = "" if worst_ns is None else f", known to {worst_ns / 1e6:.3f} ms"
    leaps = f"; a leap second is announced ({leap})" if leap in ("insert", "delete") else ""
    return Check("time", _OK, f"{state.value}{f' by {reference}' if reference else ''}{known}{leaps}", numbers)


def check_gps(
    *,
    connected: bool,
    problem: str,
    devices: int,
    fix_mode: int | None,
    since_fix_s: float | None,
    satellites_used: int | None,
) -> Check:
    """Check the GPS receiver, through gpsd. What it costs when it fails is in `check_time`.

    Parameters
    ----------
    connected, problem, devices, since_fix_s
        As `sensor_node.gpsd.GpsdState` says.
    fix_mode : int | None
        Of the newest fix: 2 or 3 with a position; None before the first.
    satellites_used : int | None
        Of the newest report.
    """
    numbers: dict[str, int | float] = {}
    if satellites_used is not None:
        numbers["satellites"] = satellites_used
    if since_fix_s is not None:
        numbers["fix_age_s"] = round(since_fix_s, 1)
    if not connected:
        return Check("gps", _WARN, problem or "gpsd is not connected", numbers)
    if not devices:
        return Check("gps", _WARN, "gpsd reads no receiver: is it plugged in, is it in gpsd's DEVICES?", numbers)
    if since_fix_s is None or since_fix_s > FIX_AGE_WARN_S or (fix_mode or 0) < 2:
        since = "yet" if since_fix_s is None else f"for {since_fix_s:.0f} s"
        seen = "" if satellites_used is None else f", {satellites_used} satellites used"
        text = f"no position {since}{seen}: does the antenna see the sky? a cold start takes minutes"
        return Check("gps", _WARN, text, numbers)
    if satellites_used is not None and satellites_used < LEAST_SATELLITES:
        text = f"{satellites_used} satellites used, expected {LEAST_SATELLITES} or more: give the antenna more sky"
        return Check("gps", _WARN, text, numbers)
    used = "" if satellites_used is None else f", {satellites_used} satellites"
    return Check("gps", _OK, f"{fix_mode}D fix{used}", numbers)


def check_place(place: Place | NoPlace | None) -> Check:
    """Check that the node stands where it stood; None where nobody looks."""
    if place is None or isinstance(place, NoPlace):
        return Check("place", _OK, "not known yet")
    numbers: dict[str, int | float] = {"sigma_m": round(place.position.sigma_m, 2)}
    if place.offset_m is not None:
        numbers = {"offset_m": round(place.offset_m, 1), **numbers}
    if place.moved:
        seen = "" if place.offset_m is None else f", by {place.offset_m:.0f} m"
        text = f"the node was moved{seen}: what it hears is placed wrongly; survey it again and correct its site"
        return Check("place", _FAIL, text, numbers)
    return Check("place", _OK, f"by {place.source.value}, known to {place.position.sigma_m:.1f} m", numbers)


def check_disk(folder: str, *, free_bytes: int | None, total_bytes: int | None) -> Check:
    """Check the room where the spool is; None when it cannot be read."""
    if free_bytes is None or total_bytes is None:
        return Check("disk", _WARN, f"the space in {folder} cannot be read; does the folder exist?")
    numbers = {"free_mb": round(free_bytes / 1e6, 1), "total_mb": round(total_bytes / 1e6, 1)}
    text = f"{free_bytes / 1e9:.2f} of {total_bytes / 1e9:.1f} GB free in {folder}"
    if free_bytes < DISK_FAIL_BYTES:
        return Check("disk", _FAIL, f"{text}; free space now: detections will be in memory only", numbers)
    if free_bytes < DISK_WARN_BYTES:
        return Check("disk", _WARN, f"{text}; free space soon (journalctl --vacuum-size=50M)", numbers)
    return Check("disk", _OK, text, numbers)


def check_temperature(temperature_c: float | None) -> Check:
    """Check the processor's temperature; None when there is no sensor."""
    if temperature_c is None:
        return Check("temperature", _OK, "unknown, the board has no sensor that can be read")
    numbers = {"temperature_c": round(temperature_c, 1)}
    text = f"{temperature_c:.0f} °C"
    if temperature_c >= HOT_FAIL_C:
        return Check("temperature", _FAIL, f"{text}, the board slows down hard: shade and air it now", numbers)
    if temperature_c >= HOT_WARN_C:
        return Check(
            "temperature", _WARN, f"{text}, expected under {HOT_WARN_C:.0f}: shade it, or a heat sink", numbers
        )
    return Check("temperature", _OK, text, numbers)


def check_voltage(undervoltage: bool | None, *, since_boot: bool | None, throttled: bool | None = None) -> Check:
    """Check the supply; None what the board does not say."""
    advice = "a stronger supply, a shorter and thicker cable"
    if undervoltage:
        return Check("voltage", _FAIL, f"the supply is too weak now: {advice}; cards and clocks fail by it")
    if since_boot:
        return Check("voltage", _WARN, f"the supply was too weak since the board was switched on: {advice}")
    if throttled:
        return Check("voltage", _WARN, "the processor is slowed down: see temperature and supply")
    if undervoltage is None:
        return Check("voltage", _OK, "unknown, the board does not measure it")
    return Check("voltage", _OK, "the supply is strong enough")


def check_cpu(own_share: float | None, *, load_1min: float | None, cores: int | None) -> Check:
    """Check what there is to do: this process, in parts of one core, and the board; None what is not known."""
    numbers: dict[str, int | float] = {}
    if own_share is not None:
        numbers["own_share"] = round(own_share, 3)
    if load_1min is not None:
        numbers["load_1min"] = load_1min
    if own_share is not None and own_share > CPU_WARN_SHARE:
        text = f"the node takes {own_share:.0%} of one core: raise min_snr_db where it is noisy, or a faster board"
        return Check("cpu", _WARN, text, numbers)
    if load_1min is not None and cores and load_1min > LOAD_WARN_PER_CORE * cores:
        return Check("cpu", _WARN, f"load {load_1min:.1f} on {cores} cores: end other work here (top)", numbers)
    own = "" if own_share is None else f"the node takes {own_share:.0%} of one core, "
    load = "load unknown" if load_1min is None else f"load {load_1min:.2f} on {cores} cores"
    return Check("cpu", _OK, own + load, numbers)


def check_memory(rss_bytes: int | None, *, available_bytes: int | None, total_bytes: int | None) -> Check:
    """Check the memory of the board, and say what this process has of it; None what is not known."""
    numbers: dict[str, int | float] = {}
    if rss_bytes is not None:
        numbers["rss_mb"] = round(rss_bytes / 1e6, 1)
    if not total_bytes or available_bytes is None:
        return Check("memory", _OK, "unknown", numbers)
    numbers["available_mb"] = round(available_bytes / 1e6, 1)
    share = available_bytes / total_bytes
    own = "" if rss_bytes is None else f", this process has {rss_bytes / 1e6:.0f} MB"
    text = f"{available_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB to be had{own}"
    if share < MEMORY_WARN_SHARE:
        status = _FAIL if share < MEMORY_FAIL_SHARE else _WARN
        return Check("memory", status, f"{text}; end other programs here (top)", numbers)
    return Check("memory", _OK, text, numbers)


def check_spool(
    where: str | None,
    counts: SpoolCounts,
    *,
    problem: str = "",
    size_bytes: int | None = None,
    most_rows: int | None = None,
) -> Check:
    """Check what is owed to the server.

    Parameters
    ----------
    where : str | None
        The file; None for one in memory only.
    counts : SpoolCounts
    problem : str
        Why detections are not kept as they should be; "" while they are.
    size_bytes : int | None
        What it holds, when that was counted.
    most_rows : int | None
        What it may hold.
    """
    numbers: dict[str, int | float] = {
        "waiting": counts.unacked,
        "rejected": counts.rejected,
        "dropped_detections": counts.dropped_detections,
        "dropped_rejected": counts.dropped_rejected,
        "dropped_heartbeats": counts.dropped_heartbeats,
        "damaged_files": counts.damaged_files,
    }
    if size_bytes is not None:
        numbers["size_bytes"] = size_bytes
    if problem:
        text = f"{problem} ({counts.in_memory} detections are in memory only, {counts.unacked} wait)"
        return Check("spool", _FAIL, text, numbers)
    if where is None:
        text = "in memory only: what is not acknowledged is lost when the node stops; give node.spool"
        return Check("spool", _WARN, text, numbers)
    if counts.dropped_detections or counts.damaged_files:
        text = (
            f"{where} has dropped {counts.dropped_detections} detections for want of room and was found damaged "
            f"{counts.damaged_files} times; {counts.unacked} wait"
        )
        return Check("spool", _WARN, text, numbers)
    if most_rows is not None and counts.unacked > SPOOL_WARN_SHARE * most_rows:
        text = f"{counts.unacked} detections wait of {most_rows} that {where} holds; see the check server"
        return Check("spool", _WARN, text, numbers)
    return Check("spool", _OK, f"{where} can be written, {counts.unacked} detections wait", numbers)


def check_server(endpoint: str, *, connected: bool, problem: str, heard_ago_s: float | None, last_reject: str) -> Check:
    """Check the connection of a running node.

    Parameters
    ----------
    endpoint : str
    connected, problem
        As the publisher says.
    heard_ago_s : float | None
        Since the server's last message; None before the first.
    last_reject : str
        What it last refused, and why; "" when it never did.
    """
    numbers = {} if heard_ago_s is None else {"heard_ago_s": round(heard_ago_s, 1)}
    if not connected:
        return Check("server", _FAIL, f"{endpoint} is not reached: {problem or 'not connected yet'}", numbers)
    if heard_ago_s is not None and heard_ago_s > SERVER_SILENT_WARN_S:
        text = f"{endpoint} has said nothing for {heard_ago_s:.0f} s; is it busy, is the network slow?"
        return Check("server", _WARN, text, numbers)
    refused = f"; it last refused: {last_reject[:_MOST_REJECT_CHARACTERS]}" if last_reject else ""
    return Check("server", _OK, f"{endpoint} answers{refused}", numbers)


def check_version(version: str) -> Check:
    """Say which release runs."""
    return Check("version", _OK, version)


def check_model(model_id: str, *, problem: str = "") -> Check:
    """Check the classifier: ``problem`` is why it cannot be used, "" when it can."""
    if problem:
        return Check("model", _FAIL, f"{problem}; see `shotline models list`")
    return Check("model", _OK, model_id)


def check_calibration(calibration_id: str | None, *, full_scale_db_spl: float | None) -> Check:
    """Check that levels mean something."""
    if full_scale_db_spl is None:
        text = "not calibrated: levels are in dBFS and cannot be compared between nodes; give full_scale_db_spl"
        return Check("calibration", _WARN, text)
    name = "" if calibration_id is None else f"{calibration_id}: "
    return Check("calibration", _OK, f"{name}full scale is {full_scale_db_spl:g} dB SPL")


def _rounded(level_db: float) -> float:
    """Return a level to a tenth; JSON has no infinity, and nothing is under -200 dB."""
    return round(max(level_db, -200.0), 1)
