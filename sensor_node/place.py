"""Where the node stands: surveyed, or averaged over GPS fixes, with an honest error; and whether it has been moved.

Errors of GPS fixes are alike over minutes and partly over hours, so a thousand fixes of one quarter of an hour tell
little more than one. Fixes are therefore made into medians of ten minutes (*windows*), and the error of their average
follows from how much windows differ and how alike neighbours are.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from shotline.errors import GeometryError, InputError
from shotline.units import ns_from_seconds

__all__ = [
    "FixReject",
    "GpsFix",
    "NoPlace",
    "NoPlaceReason",
    "Place",
    "PlaceCounts",
    "PlaceKeeper",
    "PlaceSettings",
    "PlaceSource",
    "Position",
]

_Floats = npt.NDArray[np.float64]
_Triple = tuple[float, float, float]

_SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1.0 / 298.257_223_563
_ECCENTRICITY_SQUARED = _FLATTENING * (2.0 - _FLATTENING)
_MEDIAN_LOSS = math.sqrt(math.pi / 2.0)
"""Error of a median over that of a mean, of normal deviations."""
_SIGMA_PER_MAD = 1.482602
"""Of a normal distribution: sigma over the median absolute deviation."""
_SCATTER_PRIOR_WINDOWS = 6.0
_LIKENESS_PRIOR = 0.75
_LIKENESS_PRIOR_WINDOWS = 8.0
_MOST_LIKENESS = 0.98
_UNKNOWN_SIGMA_M = 10.0
_MOST_UNCERTAIN_M = 100.0
_FIX_SPACING_S = 0.9
_NEWTON_STEPS = 8
_BACK_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Position:
    """A place on the globe and how well it is known.

    Parameters
    ----------
    lat_deg, lon_deg : float
        WGS-84.
    height_m : float
        Above the WGS-84 ellipsoid.
    sigma_m : float
        1-sigma error of the horizontal position, per axis.
    sigma_up_m : float
        1-sigma error of the height.

    Raises
    ------
    GeometryError
        It is not on the globe.
    InputError
        A sigma is negative or not a number.
    """

    lat_deg: float
    lon_deg: float
    height_m: float
    sigma_m: float
    sigma_up_m: float

    def __post_init__(self) -> None:
        if not -90.0 <= self.lat_deg <= 90.0:
            raise GeometryError(f"latitude {self.lat_deg} is outside -90 to 90 degrees; are the two swapped?")
        if not -180.0 <= self.lon_deg <= 180.0:
            raise GeometryError(f"longitude {self.lon_deg} is outside -180 to 180 degrees")
        if not math.isfinite(self.height_m):
            raise GeometryError(f"height {self.height_m} is not a number of metres above the ellipsoid")
        for name in ("sigma_m", "sigma_up_m"):
            value_m = getattr(self, name)
            if not 0.0 <= value_m < math.inf:
                raise InputError(f"{value_m} m is not 0 or more and finite", field=name)


class GpsFix(Protocol):
    """What is read of a fix; `sensor_node.gpsd.Fix` is one."""

    @property
    def time_ns(self) -> int | None:
        """UTC of the fix."""
        ...

    @property
    def mode(self) -> int:
        """3 when it has a height of its own."""
        ...

    @property
    def lat_deg(self) -> float | None:
        """WGS-84."""
        ...

    @property
    def lon_deg(self) -> float | None:
        """WGS-84."""
        ...

    @property
    def height_m(self) -> float | None:
        """Above the ellipsoid."""
        ...

    @property
    def sigma_east_m(self) -> float | None:
        """As the receiver says."""
        ...

    @property
    def sigma_north_m(self) -> float | None:
        """As the receiver says."""
        ...

    @property
    def sigma_up_m(self) -> float | None:
        """As the receiver says."""
        ...


class PlaceSource(StrEnum):
    """What a place was made of."""

    SURVEY = "survey"
    GPS = "gps"
    REMEMBERED = "remembered"


class NoPlaceReason(StrEnum):
    """Why there is no place."""

    NO_FIXES = "no_fixes"
    TOO_FEW_FIXES = "too_few_fixes"


class FixReject(StrEnum):
    """Why a fix was not taken."""

    NO_TIME = "no_time"
    NO_POSITION = "no_position"
    UNCERTAIN = "uncertain"
    TOO_SOON = "too_soon"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the node stands.

    Parameters
    ----------
    position : Position
        The surveyed one; without a survey, the average of GPS.
    source : PlaceSource
    moved : bool
        The newest windows are all elsewhere, by more than 20 m and three times their error; or the mean of an hour or
        three is, by less, but by six times what such means wander or jump. ``position`` stays what it was until a
        person says otherwise.
    seen : Position | None
        What the newest window says; None before there is one.
    offset_m : float | None
        Horizontal distance of that from the survey, or from the long average; None when there is neither yet.
    limit_m : float | None
        What ``offset_m`` must exceed to count.
    windows : int
        How many the average is made of.
    """

    position: Position
    source: PlaceSource
    moved: bool
    seen: Position | None
    offset_m: float | None
    limit_m: float | None
    windows: int


@dataclass(frozen=True, slots=True)
class NoPlace:
    """The place is not known yet, and why."""

    reason: NoPlaceReason
    fixes: int


@dataclass(frozen=True, slots=True)
class PlaceCounts:
    """What became of fixes and of windows.

    Parameters
    ----------
    fixes : int
        All that were given.
    used : int
        Those that are in a window.
    rejected : Mapping[FixReject, int]
        Why the others are not.
    windows : int
        Closed with enough fixes in them.
    thin_windows : int
        Closed with too few, and dropped.
    elsewhere_windows : int
        Of ``windows``, those too far away to be averaged.
    """

    fixes: int = 0
    used: int = 0
    rejected: Mapping[FixReject, int] = field(default_factory=dict)
    windows: int = 0
    thin_windows: int = 0
    elsewhere_windows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSettings:
    """How fixes are averaged, and when a node counts as moved.

    Parameters
    ----------
    window_s : float
        Length of a window.
    least_fixes : int
        A window with fewer is dropped.
    reference_windows : int
        With fewer, the average is too young to say that the node has moved.
    most_windows : int
        Older ones are forgotten: 1,008 are a week.
    moved_over_m : float
        Least distance that counts as moved.
    moved_sigmas : float
        And it must exceed so many sigma of itself.
    moved_windows : int
        So many windows in a row must be elsewhere; so many in a row back end it.
    near_windows : tuple of int
        Shorter moves are looked for in means of so many windows.
    near_over_m : float
        Least distance of such a mean that counts as moved.
    near_sigmas : float
        And it must exceed so many sigma of itself.
    near_history : int
        So many windows, older than those in the means, must have shown first how fixes wander here.
    window_sigma_m : float
        1-sigma of a window, at the least, until windows have shown how much they differ.
    bias_sigma_m, bias_sigma_up_m : float
        1-sigma of what no averaging removes: reflections by what stands around are the same each day.

    Raises
    ------
    InputError
        A value cannot be.
    """

    window_s: float = 600.0
    least_fixes: int = 60
    reference_windows: int = 6
    most_windows: int = 1_008
    moved_over_m: float = 20.0
    moved_sigmas: float = 3.0
    moved_windows: int = 2
    near_windows: tuple[int, ...] = (6, 18)
    near_over_m: float = 6.0
    near_sigmas: float = 6.0
    near_history: int = 72
    window_sigma_m: float = 3.0
    bias_sigma_m: float = 1.0
    bias_sigma_up_m: float = 2.0

    def __post_init__(self) -> None:
        for name in ("least_fixes", "reference_windows", "moved_windows", "near_history"):
            if getattr(self, name) < 1:
                raise InputError(f"{getattr(self, name)} is less than 1", field=name)
        if self.most_windows < self.reference_windows:
            raise InputError(
                f"{self.most_windows} is less than reference_windows, {self.reference_windows}", field="most_windows"
            )
        if not self.near_windows or min(self.near_windows) < 1:
            raise InputError(f"{self.near_windows}: expected one or more, each 1 or more", field="near_windows")
        for name in ("window_s", "moved_over_m", "moved_sigmas", "near_over_m", "near_sigmas", "window_sigma_m"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"{getattr(self, name)} is not more than 0 and finite", field=name)
        for name in ("bias_sigma_m", "bias_sigma_up_m"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InputError(f"{getattr(self, name)} is not 0 or more and finite", field=name)


class _Row(NamedTuple):
    """A fix, or the median of a window of them: in the frame of the keeper, with its errors."""

    east_m: float
    north_m: float
    up_m: float
    sigma_m: float
    sigma_up_m: float


@dataclass(frozen=True, slots=True)
class _Average:
    """A point in the frame of the keeper and its errors; ``window_sigma_m`` is that of one window."""

    enu_m: _Triple
    sigma_m: float
    sigma_up_m: float
    window_sigma_m: float
    window_sigma_up_m: float


@dataclass(frozen=True, slots=True)
class _Near:
    """A move of some metres: from where in the plane, and how far."""

    from_m: _Floats
    far_m: float


class PlaceKeeper:
    """Takes fixes as they come and says where the node stands.

    Parameters
    ----------
    survey : Position | None
        Surveyed position of the antenna. It is never changed, only doubted.
    remembered : Position | None
        The average of an earlier run: it stands until there is one of this run, so that a node moved while it was off
        is noticed.
    settings : PlaceSettings
    """

    def __init__(
        self,
        *,
        survey: Position | None = None,
        remembered: Position | None = None,
        settings: PlaceSettings | None = None,
    ) -> None:
        self._survey = survey
        self._remembered = remembered
        self._settings = settings or PlaceSettings()
        known = survey or remembered
        self._frame = None if known is None else _Frame(known.lat_deg, known.lon_deg, known.height_m)
        self._open: list[_Row] = []
        self._open_since_ns = 0
        self._newest_ns: int | None = None
        self._table: _Floats = np.empty((0, len(_Row._fields)))
        self._average: _Average | None = None
        self._seen: _Row | None = None
        self._offset_m: float | None = None
        self._limit_m: float | None = None
        self._away = self._back = 0
        self._moved = False
        self._near: _Near | None = None
        self._recent: deque[_Row] = deque(maxlen=max(self._settings.near_windows))
        self._fixes = self._used = 0
        self._closed = self._thin = self._elsewhere = 0
        self._rejected: Counter[FixReject] = Counter()

    @property
    def counts(self) -> PlaceCounts:
        """What has happened so far."""
        return PlaceCounts(self._fixes, self._used, dict(self._rejected), self._closed, self._thin, self._elsewhere)

    def add(self, fix: GpsFix) -> None:
        """Take a fix. One without a height of its own, or that says it is worse than 100 m, is counted and not used."""
        self._fixes += 1
        if fix.time_ns is None:
            self._rejected[FixReject.NO_TIME] += 1
            return
        row = self._row(fix)
        if isinstance(row, FixReject):
            self._rejected[row] += 1
            return
        age_ns = math.inf if self._newest_ns is None else fix.time_ns - self._newest_ns
        window_ns = ns_from_seconds(self._settings.window_s)
        if -window_ns < age_ns < ns_from_seconds(_FIX_SPACING_S):
            self._rejected[FixReject.TOO_SOON] += 1
            return
        if self._newest_ns is None or not 0 <= fix.time_ns - self._open_since_ns < window_ns:
            self._close()
            self._open_since_ns = fix.time_ns
        self._newest_ns = fix.time_ns
        self._open.append(row)
        self._used += 1

    def place(self) -> Place | NoPlace:
        """Return where the node stands, as far as is known now."""
        source, position = self._standing()
        if position is None:
            reason = NoPlaceReason.TOO_FEW_FIXES if self._used else NoPlaceReason.NO_FIXES
            return NoPlace(reason, self._fixes)
        seen = None
        if self._seen is not None and self._frame is not None:
            average = self._average or self._average_of(np.array([self._seen]))
            sigma_m = math.hypot(average.window_sigma_m, self._settings.bias_sigma_m)
            sigma_up_m = math.hypot(average.window_sigma_up_m, self._settings.bias_sigma_up_m)
            seen = Position(*self._frame.to_geodetic(self._seen[:3]), sigma_m, sigma_up_m)
        return Place(
            position,
            source,
            self._moved or self._near is not None,
            seen,
            self._offset_m,
            self._limit_m,
            len(self._table),
        )

    def _standing(self) -> tuple[PlaceSource, Position | None]:
        if self._survey is not None:
            return PlaceSource.SURVEY, self._survey
        mature = len(self._table) >= self._settings.reference_windows
        if self._remembered is not None and not mature:
            return PlaceSource.REMEMBERED, self._remembered
        average = self._average
        if average is None and len(self._open) >= self._settings.least_fixes:
            average = self._average_of(np.array([_median(self._open)]))
        if average is None or self._frame is None:
            return PlaceSource.GPS, None
        geodetic = self._frame.to_geodetic(average.enu_m)
        return PlaceSource.GPS, Position(*geodetic, average.sigma_m, average.sigma_up_m)

    def _row(self, fix: GpsFix) -> _Row | FixReject:
        """Return where a fix is and its errors, or why it is not taken."""
        lat_deg, lon_deg, height_m = fix.lat_deg, fix.lon_deg, fix.height_m
        if fix.mode < 3 or lat_deg is None or lon_deg is None or height_m is None:
            return FixReject.NO_POSITION
        if not (abs(lat_deg) <= 90.0 and abs(lon_deg) <= 180.0 and math.isfinite(height_m)):
            return FixReject.NO_POSITION
        east_m, north_m, up_m = (
            _UNKNOWN_SIGMA_M if value_m is None else value_m
            for value_m in (fix.sigma_east_m, fix.sigma_north_m, fix.sigma_up_m)
        )
        sigma_m = math.hypot(east_m, north_m) / math.sqrt(2.0)
        if not (sigma_m <= _MOST_UNCERTAIN_M and 0.0 <= up_m < math.inf):
            return FixReject.UNCERTAIN
        if self._frame is None:
            self._frame = _Frame(lat_deg, lon_deg, height_m)
        return _Row(*self._frame.to_enu_m(lat_deg, lon_deg, height_m), sigma_m, up_m)

    def _close(self) -> None:
        """End the open window and judge what it says."""
        rows, self._open = self._open, []
        if len(rows) < self._settings.least_fixes:
            self._thin += bool(rows)
            return
        window = _median(rows)
        self._closed += 1
        self._seen = window
        self._recent.append(window)
        self._judge_near()
        reference = self._reference()
        if reference is not None and self._is_elsewhere(window, reference):
            self._elsewhere += 1
            self._away, self._back = self._away + 1, 0
            self._moved = self._moved or self._away >= self._settings.moved_windows
            return
        self._away, self._back = 0, self._back + 1
        self._moved = self._moved and self._back < self._settings.moved_windows
        if self._near is None:
            self._table = np.vstack([self._table, window])[-self._settings.most_windows :]
        self._average = self._average_of(self._table)

    def _judge_near(self) -> None:
        """Look for a move shorter than 20 m, by means of the newest windows and by how these wandered before them.

        It is there when such a mean is far from the average of all before, or from the survey; or when it has jumped:
        slow errors that would hide a move do not do that. It ends when the mean of the shortest such time is back
        within a quarter of the way.
        """
        settings = self._settings
        # While it counts as moved no window enters the history, so none need be kept out of it.
        history = self._table if self._near is not None else self._table[: -len(self._recent)]
        if len(history) < settings.near_history or self._frame is None:
            return
        own = self._average_of(history)
        home_m = np.array(own.enu_m[:2])
        table, recent = history[:, :2], np.array(self._recent)[:, :2]
        shortest = min(settings.near_windows)
        if self._near is not None:
            back_m = math.hypot(*(np.mean(recent[-shortest:], axis=0) - self._near.from_m))
            if len(recent) >= shortest and back_m < _BACK_SHARE * self._near.far_m:
                self._near = None
            return
        # Of their own average reflections that come back each day are a part, as of the newest mean.
        wander_m = math.sqrt(max(0.0, own.sigma_m**2 - settings.bias_sigma_m**2))
        references = [(home_m, wander_m)]
        if (known := self._survey) is not None:
            enu_m = self._frame.to_enu_m(known.lat_deg, known.lon_deg, known.height_m)
            references.append((np.array(enu_m[:2]), math.hypot(known.sigma_m, settings.bias_sigma_m)))
        likeness = _likeness(table - home_m)
        for count in settings.near_windows:
            if len(recent) < count:
                continue
            mean = np.mean(recent[-count:], axis=0)
            mean_m = own.window_sigma_m * math.sqrt(_mean_variance(likeness, count))
            mean_m = max(mean_m, _sigma_of(_means(table, count)))
            for place_m, sigma_m in references:
                self._note_near(place_m, mean - place_m, math.hypot(sigma_m, mean_m))
        newest = max(1, shortest // 2)
        if len(recent) >= newest + shortest:
            before = np.mean(recent[-newest - shortest : -newest], axis=0)
            jumps = _means(table, newest)[shortest:] - _means(table, shortest)[:-newest]
            self._note_near(home_m, np.mean(recent[-newest:], axis=0) - before, _sigma_of(jumps))

    def _note_near(self, from_m: _Floats, apart_m: _Floats, sigma_m: float) -> None:
        """Hold a distance against its error, and keep it when it counts as a move."""
        far_m = math.hypot(*apart_m)
        if self._near is None and far_m > max(self._settings.near_over_m, self._settings.near_sigmas * sigma_m):
            self._near = _Near(from_m, far_m)

    def _reference(self) -> _Average | None:
        """Return what a new window is compared with: survey, else long average, else what is remembered."""
        known = self._survey
        if known is None and len(self._table) >= self._settings.reference_windows:
            return self._average
        known = known or self._remembered
        if known is None or self._frame is None:
            return None
        enu_m = self._frame.to_enu_m(known.lat_deg, known.lon_deg, known.height_m)
        return _Average(enu_m, known.sigma_m, known.sigma_up_m, 0.0, 0.0)

    def _is_elsewhere(self, window: _Row, reference: _Average) -> bool:
        settings = self._settings
        one = self._average or self._average_of(np.array([window]))
        sigma_m = math.hypot(reference.sigma_m, one.window_sigma_m)
        self._offset_m = math.hypot(window.east_m - reference.enu_m[0], window.north_m - reference.enu_m[1])
        self._limit_m = max(settings.moved_over_m, settings.moved_sigmas * sigma_m)
        return self._offset_m > self._limit_m

    def _average_of(self, table: _Floats) -> _Average:
        """Return the average of windows, a row each."""
        settings = self._settings
        centre = np.median(table[:, :3], axis=0)
        apart = table[:, :3] - centre
        stated_m = max(settings.window_sigma_m, float(np.median(table[:, 3])))
        stated_up_m = max(settings.window_sigma_m, float(np.median(table[:, 4])))
        window_m = _window_sigma_m(apart[:, :2], stated_m)
        window_up_m = _window_sigma_m(apart[:, 2:], stated_up_m)
        sigma_m = window_m * _MEDIAN_LOSS / math.sqrt(_independent(apart[:, :2]))
        sigma_up_m = window_up_m * _MEDIAN_LOSS / math.sqrt(_independent(apart[:, 2:]))
        east_m, north_m, up_m = centre.tolist()
        return _Average(
            (east_m, north_m, up_m),
            math.hypot(min(sigma_m, window_m), settings.bias_sigma_m),
            math.hypot(min(sigma_up_m, window_up_m), settings.bias_sigma_up_m),
            window_m,
            window_up_m,
        )


def _median(rows: Sequence[_Row]) -> _Row:
    return _Row(*np.median(np.array(rows), axis=0).tolist())


def _window_sigma_m(apart_m: _Floats, stated_m: float) -> float:
    """Return the 1-sigma of one window: what its fixes state, given up for how much windows differ as these grow many.

    The mean of two variances: the stated one counts as six windows.

    Parameters
    ----------
    apart_m : ndarray, shape (n_windows, n_axes), float64
        Windows from their median, metres.
    stated_m : float
    """
    scatter_m = _SIGMA_PER_MAD * np.median(np.abs(apart_m), axis=0)
    freedom = len(apart_m) - 1.0
    shown = freedom * float(np.mean(scatter_m**2))
    return math.sqrt((_SCATTER_PRIOR_WINDOWS * stated_m**2 + shown) / (_SCATTER_PRIOR_WINDOWS + freedom))


def _independent(apart_m: _Floats) -> float:
    """Return how many independent windows tell as much as these do: n (1 - r) / (1 + r), r their likeness.

    For a first-order autoregression with lag-one correlation r [BayleyHammersley1946].

    Parameters
    ----------
    apart_m : ndarray, shape (n_windows, n_axes), float64
        Windows in order of time, from their median, metres.
    """
    likeness = _likeness(apart_m)
    return max(1.0, len(apart_m) * (1.0 - likeness) / (1.0 + likeness))


def _likeness(apart_m: _Floats) -> float:
    """Return the correlation of neighbouring windows. Before there are many it leans to three quarters.

    Parameters
    ----------
    apart_m : ndarray, shape (n_windows, n_axes), float64
        Windows in order of time, from their median, metres.
    """
    count = len(apart_m)
    reach_m = 3.0 * _SIGMA_PER_MAD * np.median(np.abs(apart_m), axis=0)
    bounded = np.clip(apart_m, -reach_m, reach_m)
    power = float(np.sum(bounded * bounded))
    product = float(np.sum(bounded[1:] * bounded[:-1]))
    likeness = product / power if power > 0.0 else 0.0
    # An average leaves its windows a little less alike than they are, by about 1 / n each side of it.
    likeness = min(_MOST_LIKENESS, max(0.0, likeness + (1.0 + 3.0 * max(0.0, likeness)) / count))
    prior = _LIKENESS_PRIOR_WINDOWS
    return (prior * _LIKENESS_PRIOR + count * likeness) / (prior + count)


def _mean_variance(likeness: float, count: int) -> float:
    """Return the variance of the mean of neighbouring windows over that of one [BayleyHammersley1946]."""
    lags = np.arange(1, count)
    return (1.0 + 2.0 * float(np.sum((1.0 - lags / count) * likeness**lags))) / count


def _means(table_m: _Floats, count: int) -> _Floats:
    """Return the means of every so many neighbouring windows, shape (n_windows - count + 1, n_axes)."""
    sums = np.cumsum(np.concatenate([np.zeros((1, table_m.shape[1])), table_m]), axis=0)
    return np.asarray((sums[count:] - sums[:-count]) / count)


def _sigma_of(table_m: _Floats) -> float:
    """Return the 1-sigma per axis of rows about their median, robust."""
    scatter_m = _SIGMA_PER_MAD * np.median(np.abs(table_m - np.median(table_m, axis=0)), axis=0)
    return math.sqrt(float(np.mean(scatter_m**2)))


class _Frame:
    """East-north-up metres about a WGS-84 origin, without pyproj: a board does not carry it.

    The same as `shotline.geodesy.LocalFrame`; a test holds them together.
    """

    def __init__(self, lat_deg: float, lon_deg: float, height_m: float) -> None:
        self._origin = (lat_deg, lon_deg, height_m)
        self._origin_ecef_m = _ecef_m(lat_deg, lon_deg, height_m)

    def to_enu_m(self, lat_deg: float, lon_deg: float, height_m: float) -> _Triple:
        """Return (east, north, up) of a position."""
        there_m, here_m = _ecef_m(lat_deg, lon_deg, height_m), self._origin_ecef_m
        apart_m = (there_m[0] - here_m[0], there_m[1] - here_m[1], there_m[2] - here_m[2])
        east, north, up = _axes(*self._origin[:2])
        return _along(east, apart_m), _along(north, apart_m), _along(up, apart_m)

    def to_geodetic(self, enu_m: Sequence[float]) -> _Triple:
        """Return latitude and longitude in degrees and height: by Newton steps along the radii of curvature."""
        east, north, up = _axes(*self._origin[:2])
        east_m, north_m, up_m = enu_m
        target_m = [
            start_m + east_m * east[axis] + north_m * north[axis] + up_m * up[axis]
            for axis, start_m in enumerate(self._origin_ecef_m)
        ]
        lat_deg, lon_deg, height_m = self._origin
        for _ in range(_NEWTON_STEPS):
            here_m = _ecef_m(lat_deg, lon_deg, height_m)
            apart_m = (target_m[0] - here_m[0], target_m[1] - here_m[1], target_m[2] - here_m[2])
            east, north, up = _axes(lat_deg, lon_deg)
            flat = 1.0 - _ECCENTRICITY_SQUARED * math.sin(math.radians(lat_deg)) ** 2
            normal_m = _SEMI_MAJOR_M / math.sqrt(flat)
            meridian_m = normal_m * (1.0 - _ECCENTRICITY_SQUARED) / flat
            parallel_m = max(1e-3, (normal_m + height_m) * math.cos(math.radians(lat_deg)))
            lat_deg += math.degrees(_along(north, apart_m) / (meridian_m + height_m))
            lat_deg = min(90.0, max(-90.0, lat_deg))
            lon_deg += math.degrees(_along(east, apart_m) / parallel_m)
            height_m += _along(up, apart_m)
        return lat_deg, (lon_deg + 180.0) % 360.0 - 180.0, height_m


def _ecef_m(lat_deg: float, lon_deg: float, height_m: float) -> _Triple:
    """Return earth-centred metres of a WGS-84 position (by its definition: NGA.STND.0036, section 4)."""
    lat, lon = math.radians(lat_deg), math.radians(lon_deg)
    normal_m = _SEMI_MAJOR_M / math.sqrt(1.0 - _ECCENTRICITY_SQUARED * math.sin(lat) ** 2)
    across_m = (normal_m + height_m) * math.cos(lat)
    along_axis_m = (normal_m * (1.0 - _ECCENTRICITY_SQUARED) + height_m) * math.sin(lat)
    return across_m * math.cos(lon), across_m * math.sin(lon), along_axis_m


def _axes(lat_deg: float, lon_deg: float) -> tuple[_Triple, _Triple, _Triple]:
    """Return the unit vectors east, north and up, earth-centred."""
    lat, lon = math.radians(lat_deg), math.radians(lon_deg)
    sin_lat, cos_lat, sin_lon, cos_lon = math.sin(lat), math.cos(lat), math.sin(lon), math.cos(lon)
    return (
        (-sin_lon, cos_lon, 0.0),
        (-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat),
        (cos_lat * cos_lon, cos_lat * sin_lon, sin_lat),
    )


def _along(unit: _Triple, vector_m: _Triple) -> float:
    return unit[0] * vector_m[0] + unit[1] * vector_m[1] + unit[2] * vector_m[2]
