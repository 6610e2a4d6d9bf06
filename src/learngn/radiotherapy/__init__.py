"""Radiotherapy: carrying of structures and dose from one scan to another, and dose-volume numbers."""

from learngn.radiotherapy.carry import Carried, carry_structures
from learngn.radiotherapy.dose import absorbed_energy, carry_dose, warp_dose
from learngn.radiotherapy.dose_volume import DoseVolume, dose_volume
from learngn.radiotherapy.solid import Solid
from learngn.radiotherapy.vector_grid import vector_grid

__all__ = [
    "Carried",
    "DoseVolume",
    "Solid",
    "absorbed_energy",
    "carry_dose",
    "carry_structures",
    "dose_volume",
    "vector_grid",
    "warp_dose",
]
