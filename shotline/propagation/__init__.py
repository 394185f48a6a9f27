"""How a sound gets from a source to a microphone: the one definition of the physics.

Complex gains follow the convention exp(+i omega t), which is that of `numpy.fft`: a delay is exp(-i omega tau).
"""

from __future__ import annotations

from shotline.propagation.air import absorption_db_per_m, minimum_phase, travel_time_s
from shotline.propagation.diffraction import (
    double_edge_factor,
    fresnel_number,
    maekawa_attenuation_db,
    screen_diffraction,
    wedge_diffraction,
)
from shotline.propagation.ground import (
    GROUND_FLOW_RESISTIVITY_PA_S_PER_M2,
    ImpedanceModel,
    plane_reflection,
    spherical_reflection,
    spherical_reflection_of_admittance,
    surface_admittance,
    surface_impedance,
)
from shotline.propagation.refraction import (
    EffectiveProfile,
    creeping_radius_m,
    effective_gradient_per_s,
    leg_travel_time_s,
    shadow_attenuation_db,
    shadow_distance_m,
    shadow_edge_m,
)

__all__ = [
    "GROUND_FLOW_RESISTIVITY_PA_S_PER_M2",
    "EffectiveProfile",
    "ImpedanceModel",
    "absorption_db_per_m",
    "creeping_radius_m",
    "double_edge_factor",
    "effective_gradient_per_s",
    "fresnel_number",
    "leg_travel_time_s",
    "maekawa_attenuation_db",
    "minimum_phase",
    "plane_reflection",
    "screen_diffraction",
    "shadow_attenuation_db",
    "shadow_distance_m",
    "shadow_edge_m",
    "spherical_reflection",
    "spherical_reflection_of_admittance",
    "surface_admittance",
    "surface_impedance",
    "travel_time_s",
    "wedge_diffraction",
]
