"""What impulses say of the air, as the record of the network holds it."""

from __future__ import annotations

import msgspec

from shotline_calibration.result import Result

__all__ = ["HeardAir", "SoundSpeedResult"]


class HeardAir(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The air of some time by sound alone, and what the weather says of it. Wind is where it blows to.

    Parameters
    ----------
    from_utc, until_utc : str
        First and last arrival.
    impulses, impulses_known, arrivals : int
        Used; repeats from one place count once.
    speed_of_sound_mps, speed_of_sound_sigma_mps : float
    temperature_c, temperature_sigma_c : float
        Of dry air with that speed of sound: the effective one, which humid air has too.
    wind_east_mps, wind_east_sigma_mps, wind_north_mps, wind_north_sigma_mps : float
    speed_told, wind_told : bool
        Whether the sound says more than that it is some air of this planet.
    weather_temperature_c, weather_temperature_sigma_c : float
    weather_wind_east_mps, weather_wind_north_mps, weather_wind_sigma_mps : float
    difference_sigma : float
        Of temperature and wind together: the distance of the two in units of their errors (Mahalanobis).
    p_value : float
        How often two that agree differ by as much.
    agrees : bool
        It is not less than 1 %.
    """

    from_utc: str
    until_utc: str
    impulses: int
    impulses_known: int
    arrivals: int
    speed_of_sound_mps: float
    speed_of_sound_sigma_mps: float
    temperature_c: float
    temperature_sigma_c: float
    wind_east_mps: float
    wind_east_sigma_mps: float
    wind_north_mps: float
    wind_north_sigma_mps: float
    speed_told: bool
    wind_told: bool
    weather_temperature_c: float
    weather_temperature_sigma_c: float
    weather_wind_east_mps: float
    weather_wind_north_mps: float
    weather_wind_sigma_mps: float
    difference_sigma: float
    p_value: float
    agrees: bool


class SoundSpeedResult(Result, frozen=True, kw_only=True):
    """Airs, and what they cost.

    Parameters
    ----------
    airs : tuple of HeardAir
    path_sigma_s : float
        1-sigma of what a path adds to a travel time, as learned.
    arrivals_set_aside : int
    median_path_m : float
        Half of the paths are shorter.
    degree_costs_m : float
        What 1 °C wrong makes over 500 m.
    weather_costs_m : float
        What the weather, as it differs in the mean over airs, makes over 500 m: the larger of what the speed and what
        the wind make.
    """

    airs: tuple[HeardAir, ...]
    path_sigma_s: float
    arrivals_set_aside: int
    median_path_m: float
    degree_costs_m: float
    weather_costs_m: float

    def sentences(self) -> list[str]:
        """Return what it says, for people."""
        said = []
        for air in self.airs:
            told = "" if air.speed_told else "  (the sound hardly tells it)"
            wind_told = "" if air.wind_told else "  (the sound hardly tells it)"
            said += [
                (
                    f"air          {air.from_utc} to {air.until_utc}: {air.impulses} impulses, {air.impulses_known} at "
                    f"known places, {air.arrivals} arrivals"
                ),
                (
                    f"  speed      {air.speed_of_sound_mps:.2f} ± {air.speed_of_sound_sigma_mps:.2f} m/s: effectively "
                    f"{air.temperature_c:.1f} ± {air.temperature_sigma_c:.1f} °C; the weather says "
                    f"{air.weather_temperature_c:.1f} ± {air.weather_temperature_sigma_c:.1f} °C{told}"
                ),
                (
                    f"  wind       to the east {air.wind_east_mps:+.1f} ± {air.wind_east_sigma_mps:.1f}, to the north "
                    f"{air.wind_north_mps:+.1f} ± {air.wind_north_sigma_mps:.1f} m/s; the weather says "
                    f"{air.weather_wind_east_mps:+.1f}, {air.weather_wind_north_mps:+.1f} ± "
                    f"{air.weather_wind_sigma_mps:.1f}{wind_told}"
                ),
                (
                    f"  weather    {'agrees' if air.agrees else 'does NOT agree'} within the errors "
                    f"({air.difference_sigma:.1f} sigma, p = {air.p_value:.2g})"
                ),
            ]
        return [
            *said,
            f"paths add    {1e3 * self.path_sigma_s:.2f} ms (1 sigma); {self.arrivals_set_aside} arrivals set aside",
            (
                f"1 °C wrong   is {self.degree_costs_m:.2f} m over 500 m; half of the paths here are longer than "
                f"{self.median_path_m:.0f} m"
            ),
            f"the weather  as it differs is {self.weather_costs_m:.2f} m over 500 m",
        ]
