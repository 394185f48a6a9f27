"""The last shots as arrays: residual of each node against the others, levels, and how large they usually are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.netcheck.delaymap import learned_delays
from fusion_server.netcheck.residuals import leave_one_out, level_left_out
from fusion_server.netcheck.settings import NetcheckSettings
from fusion_server.netcheck.shots import CheckedShot
from fusion_server.netcheck.usual import Share, Track, learn_share, node_scale, usual_sigma
from fusion_server.sitebias import PathDelays
from shotline.domain import Site
from shotline.propagation import travel_time_s

__all__ = ["Series", "ShotMemory"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_LEAST_PATH_S, _MOST_PATH_S = 0.0003, 0.03
_LEAST_LEVEL_DB = 1.0
_MOST_VARIANCE_S2 = 0.05**2
_LEARN_EVERY, _LEARN_LATER_EVERY, _LATER = 10, 25, 60
_SHARE_EVERY = 2
_LEVEL_PRIOR = 3.0
_LATEST = 20
"""So many last sounds of a node do not tell how noisy it usually is: they are what is judged."""
_LEAST_OWN_S = 0.0003
_LEVEL_SHARE = Share(noise=0.45, reach_m=60.0)
_LEVEL_OFFSET_DB2 = 8.0**2
"""Variance of what a node reads above the others for ever: gains are not calibrated."""


class Series(NamedTuple):
    """What one node heard, oldest first.

    Parameters
    ----------
    shot : ndarray, shape (n,), int64
        Rows of the memory.
    y, size, noise : ndarray, shape (n,), float64
        Error against the others in s, or dB; see `fusion_server.netcheck.evidence.whiten`.
    place_m : ndarray, shape (n, 2), float64
        Where the sounds were.
    site : ndarray, shape (3,), float64
    place : ndarray, shape (n,), int64
        Number of the place of each sound.
    reach_m : float
    base : ndarray, shape (n,), bool
        Whether the node counted as healthy, and fusion used it.
    east, north, at_s : ndarray, shape (n,), float64
        Unit vector from the sound to the node, and instants.
    """

    shot: IntArray
    y: FloatArray
    size: FloatArray
    noise: FloatArray
    place_m: FloatArray
    site: FloatArray
    place: IntArray
    reach_m: float
    base: BoolArray
    east: FloatArray
    north: FloatArray
    at_s: FloatArray


class ShotMemory:
    """The last shots of a network.

    Parameters
    ----------
    sites : sequence of Site
    settings : NetcheckSettings
    """

    def __init__(self, sites: Sequence[Site], settings: NetcheckSettings) -> None:
        self.names = tuple(site.node for site in sites)
        self.number = {name: index for index, name in enumerate(self.names)}
        self._settings = settings
        self._sites_m = np.array([(site.x_m, site.y_m, site.z_m) for site in sites]).reshape(-1, 3)
        self._epoch_ns: int | None = None
        shape = (0, len(sites))
        self._times_ns: list[int] = []
        self._at_s = np.zeros(0)
        self._speed_mps = np.zeros(0)
        self._place = np.zeros(0, dtype=np.int64)
        self._places_m: dict[int, tuple[float, float]] = {}
        self._next_place = 0
        self._xy_m = np.zeros((0, 2))
        self._raw_s = np.zeros(shape)
        self._own_s2 = np.zeros(shape)
        self._level_db = np.zeros(shape)
        self._in_fix = np.zeros(shape, dtype=np.bool_)
        self._expected = np.zeros(shape)
        self._heard = np.zeros(shape, dtype=np.bool_)
        self._trusted = np.ones(shape, dtype=np.bool_)
        self._level_trusted = np.ones(shape, dtype=np.bool_)
        self._known_s = np.zeros(shape)
        self._known_s2 = np.zeros(shape)
        self._left_s = np.zeros(shape)
        self._left_s2 = np.zeros(shape)
        self._left_db = np.zeros(shape)
        self._left_db2 = np.zeros(shape)
        self._geometry = np.zeros((0, len(sites), 3))
        self.path_sigma_s = settings.path_sigma_s
        self.level_sigma_db = settings.level_sigma_db
        self.share = Share()
        self._learned = 0
        self._delays: PathDelays | None = None
        self._offset_db = np.zeros(len(sites))
        self._since_learned = 0

    def __len__(self) -> int:
        return len(self._at_s)

    @property
    def sites_m(self) -> FloatArray:
        """Where nodes stand, shape (n_nodes, 2)."""
        return np.ascontiguousarray(self._sites_m[:, :2])

    @property
    def last_ns(self) -> int:
        """Instant of the last shot."""
        return self._times_ns[-1]

    @property
    def speed_mps(self) -> float:
        """Speed of sound of the last shot."""
        return float(self._speed_mps[-1])

    def time_ns(self, row: int) -> int:
        """Return the instant of a shot."""
        return self._times_ns[row]

    def add(self, shot: CheckedShot, *, distrusted: BoolArray, weak: BoolArray) -> int:
        """Take a shot; return how many of the oldest were forgotten for it.

        Parameters
        ----------
        shot : CheckedShot
        distrusted, weak : ndarray, shape (n_nodes,), bool
            Whose times, and whose levels, count for nothing where others are judged.
        """
        n = len(self.names)
        place_m = np.array([shot.x_m, shot.y_m, shot.z_m])
        wind_mps = np.array([*shot.weather.wind_enu_mps, 0.0])
        speed_mps = shot.weather.speed_of_sound_mps
        travel_s = travel_time_s(place_m, self._sites_m, speed_of_sound_mps=speed_mps, wind_mps=wind_mps)
        raw_s, level_db = np.full(n, math.nan), np.full(n, math.nan)
        own_s2, in_fix, heard = np.ones(n), np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        for arrival in shot.arrivals:
            node = self.number.get(arrival.node)
            if node is None:
                continue
            raw_s[node] = (arrival.time_ns - shot.time_ns) / 1e9 - travel_s[node]
            own_s2[node] = arrival.sigma_s**2 + _LEAST_OWN_S**2
            level_db[node], in_fix[node], heard[node] = arrival.level_db, arrival.in_fix, True
        expected = np.array([shot.expected.get(name, 0.0) for name in self.names])
        away_m = self._sites_m[:, :2] - place_m[:2]
        flat_m = np.maximum(np.hypot(away_m[:, 0], away_m[:, 1]), 1e-3)
        slant_m = np.linalg.norm(self._sites_m - place_m, axis=1)
        geometry = np.column_stack([away_m / flat_m[:, None], slant_m])
        if self._epoch_ns is None:
            self._epoch_ns = shot.time_ns
        known_s, known_s2 = np.zeros(n), np.full(n, math.inf)
        if self._delays is not None:
            known_s, known_s2 = self._delays.at(np.arange(n), shot.x_m, shot.y_m)
        self._times_ns.append(shot.time_ns)
        self._at_s = np.append(self._at_s, (shot.time_ns - self._epoch_ns) / 1e9)
        self._speed_mps = np.append(self._speed_mps, speed_mps)
        self._place = np.append(self._place, self._place_of(shot.x_m, shot.y_m))
        self._xy_m = np.vstack([self._xy_m, place_m[:2]])
        for name, row in (
            ("_raw_s", raw_s),
            ("_own_s2", own_s2),
            ("_level_db", level_db),
            ("_in_fix", in_fix),
            ("_expected", expected),
            ("_heard", heard),
            ("_trusted", ~distrusted),
            ("_level_trusted", ~weak),
            ("_geometry", geometry),
            ("_known_s", known_s),
            ("_known_s2", known_s2),
        ):
            setattr(self, name, np.concatenate([getattr(self, name), row[None]]))
        for name in ("_left_s", "_left_s2", "_left_db", "_left_db2"):
            setattr(self, name, np.concatenate([getattr(self, name), np.full((1, n), math.nan)]))
        self._work_out(len(self) - 1)
        self._since_learned += 1
        if self._since_learned >= (_LEARN_EVERY if len(self) <= _LATER else _LEARN_LATER_EVERY):
            self._learn()
        return self._forget()

    def distrust(self, node: int, since_row: int, *, levels: bool) -> None:
        """Count the times, or the levels, of a node for nothing from a shot on, where others are judged."""
        (self._level_trusted if levels else self._trusted)[since_row:, node] = False
        for row in range(since_row, len(self)):
            self._work_out(row)

    def forget_node(self, node: int) -> None:
        """Take what a node said so far for nothing: it was worked on."""
        self._raw_s[:, node] = math.nan
        self._level_db[:, node] = math.nan
        self._heard[:, node] = False
        self._expected[:, node] = 0.0
        for row in range(len(self)):
            self._work_out(row)

    def times(self, node: int) -> Series:
        """Return the times that a node heard."""
        rows = np.flatnonzero(self._left_s2[:, node] < _MOST_VARIANCE_S2)
        track = self._track(rows, node)
        base = self._trusted[rows, node] & self._in_fix[rows, node]
        usual = base.copy()
        usual[-_LATEST:] = False
        scale = node_scale((track.y**2 / (track.own + track.path))[usual])
        size = np.sqrt(scale * (1.0 - self.share.noise) * track.path)
        noise = scale * (track.own + self.share.noise * track.path)
        return self._series(rows, node, track.y, size, noise, base, self.share.reach_m)

    def levels(self, node: int) -> Series:
        """Return the levels that a node measured."""
        rows = np.flatnonzero(np.isfinite(self._left_db[:, node]))
        variance = self._left_db2[rows, node]
        size = np.sqrt((1.0 - _LEVEL_SHARE.noise) * variance + _LEVEL_OFFSET_DB2)
        base = self._level_trusted[rows, node]
        y = self._left_db[rows, node]
        return self._series(rows, node, y, size, _LEVEL_SHARE.noise * variance, base, _LEVEL_SHARE.reach_m)

    def learned_delays(self) -> PathDelays:
        """Return the excess delays of the paths, as the last shots tell them."""
        heard = [self.times(node) for node in range(len(self.names))]
        return learned_delays(self.names, self.sites_m, heard, path_sigma_s=self.path_sigma_s, share=self.share)

    def may_be_weak(self, node: int, deficit_db: float) -> bool:
        """Return whether a node missed the last shot, or heard it weaker by so much than the others let expect."""
        return not self._heard[-1, node] or not self._left_db[-1, node] > -deficit_db

    def listened(self, node: int) -> tuple[IntArray, FloatArray, BoolArray]:
        """Return rows of the shots that a node should have heard or did, how likely that was, and whether it did."""
        rows = np.flatnonzero((self._expected[:, node] >= 0.3) | self._heard[:, node])
        return rows, self._expected[rows, node], self._heard[rows, node]

    def places(self, rows: IntArray) -> IntArray:
        """Return the places of shots, by number."""
        return self._place[rows]

    def is_trusted(self, rows: IntArray, node: int) -> BoolArray:
        """Return whether the microphone of a node counted as healthy in shots."""
        return np.asarray(self._level_trusted[rows, node])

    def _track(self, rows: IntArray, node: int) -> Track:
        own = self._own_s2[rows, node]
        path = np.maximum(self._left_s2[rows, node] - own, 1e-12)
        return Track(self._left_s[rows, node], own, path, self._xy_m[rows], self._site(node))

    def _site(self, node: int) -> FloatArray:
        return np.array([self._sites_m[node, 0], self._sites_m[node, 1], 0.0])

    def _series(
        self,
        rows: IntArray,
        node: int,
        y: FloatArray,
        size: FloatArray,
        noise: FloatArray,
        base: BoolArray,
        reach_m: float,
    ) -> Series:
        east, north = self._geometry[rows, node, 0].copy(), self._geometry[rows, node, 1].copy()
        return Series(
            shot=rows,
            y=y,
            size=size,
            noise=noise,
            place_m=self._xy_m[rows],
            site=self._site(node),
            place=self._place[rows],
            reach_m=reach_m,
            base=base,
            east=east,
            north=north,
            at_s=self._at_s[rows],
        )

    def _place_of(self, x_m: float, y_m: float) -> int:
        """Return the number of the nearest place that is near enough, or of a new one."""
        if self._places_m:
            away_m = np.hypot(*(np.array(list(self._places_m.values())) - (x_m, y_m)).T)
            nearest = int(np.argmin(away_m))
            if away_m[nearest] <= self._settings.place_m:
                return list(self._places_m)[nearest]
        self._places_m[self._next_place] = (x_m, y_m)
        self._next_place += 1
        return self._next_place - 1

    def _work_out(self, row: int) -> None:
        """Work out the residuals and levels of one shot against the others."""
        settings = self._settings
        nodes = np.flatnonzero(np.isfinite(self._raw_s[row]))
        self._left_s[row], self._left_s2[row] = math.nan, math.nan
        self._left_db[row], self._left_db2[row] = math.nan, math.nan
        geometry = self._geometry[row, nodes]
        good = self._trusted[row, nodes] & self._in_fix[row, nodes]
        if good.sum() >= settings.least_nodes - 1:
            # What was learned before of the paths of the others tells more of where the sound was.
            known_s = self._known_s[row, nodes]
            path_s2 = self.path_sigma_s**2
            left_over_s2 = np.minimum(self._known_s2[row, nodes] + self.share.noise * path_s2, path_s2)
            own_s2 = self._own_s2[row, nodes]
            left_s, left_s2 = np.empty(len(nodes)), np.empty(len(nodes))
            leave_one_out(
                self._raw_s[row, nodes] - known_s,
                geometry[:, 0].copy(),
                geometry[:, 1].copy(),
                geometry[:, 2].copy(),
                own_s2,
                left_over_s2,
                good,
                float(self._speed_mps[row]),
                settings.speed_error_sigma,
                settings.wind_error_sigma_mps,
                left_s,
                left_s2,
            )
            # A node itself is judged by all that it is off.
            self._left_s[row, nodes] = left_s + known_s
            self._left_s2[row, nodes] = left_s2 - left_over_s2 + path_s2
        level_db, others = np.empty(len(nodes)), np.empty(len(nodes), dtype=np.int64)
        level_left_out(
            self._level_db[row, nodes],
            geometry[:, 2].copy(),
            self._offset_db[nodes],
            self._level_trusted[row, nodes],
            settings.level_slope_db,
            level_db,
            others,
        )
        self._left_db[row, nodes] = level_db
        self._left_db2[row, nodes] = self.level_sigma_db**2 * (1.0 + 1.6 / np.maximum(others, 1))

    def _learn(self) -> None:
        """Learn how large residuals and levels usually scatter, and what each node reads above the others."""
        self._since_learned = 0
        self._learned += 1
        settings = self._settings
        good = self._trusted & self._in_fix & (self._left_s2 < _MOST_VARIANCE_S2)
        z = np.abs(self._left_s[good]) / np.sqrt(self._left_s2[good])
        sigma_s = usual_sigma(z, now=self.path_sigma_s, prior=settings.path_sigma_s)
        self.path_sigma_s = min(max(sigma_s, _LEAST_PATH_S), _MOST_PATH_S)
        known = self._level_trusted & np.isfinite(self._left_db)
        for node in range(len(self.names)):
            some = self._left_db[known[:, node], node]
            if len(some):
                self._offset_db[node] = len(some) / (len(some) + _LEVEL_PRIOR) * float(np.median(some))
        z = (np.abs(self._left_db - self._offset_db) / np.sqrt(self._left_db2))[known]
        sigma_db = usual_sigma(z, now=self.level_sigma_db, prior=settings.level_sigma_db)
        self.level_sigma_db = max(sigma_db, _LEAST_LEVEL_DB)
        for row in range(len(self)):
            self._work_out(row)
        if self._learned % _SHARE_EVERY == 0:
            tracks = [self._track(np.flatnonzero(good[:, node]), node) for node in range(len(self.names))]
            self.share = learn_share(tracks)
        self._delays = self.learned_delays()

    def _forget(self) -> int:
        """Drop the oldest shots above the limit; return how many."""
        drop = len(self) - self._settings.kept_shots
        if drop <= 0:
            return 0
        for name in (
            "_times_ns",
            "_at_s",
            "_speed_mps",
            "_place",
            "_xy_m",
            "_raw_s",
            "_own_s2",
            "_level_db",
            "_in_fix",
            "_expected",
            "_heard",
            "_trusted",
            "_level_trusted",
            "_known_s",
            "_known_s2",
            "_left_s",
            "_left_s2",
            "_left_db",
            "_left_db2",
            "_geometry",
        ):
            setattr(self, name, getattr(self, name)[drop:])
        left = set(self._place.tolist())
        self._places_m = {place: at for place, at in self._places_m.items() if place in left}
        return drop
