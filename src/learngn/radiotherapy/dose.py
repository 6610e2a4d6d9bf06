"""Carrying of a dose from the moving to the fixed scan.

The dose of a point of tissue is energy per mass. Where the registration follows tissue of constant mass, energy and
mass both move with it and its dose stays: ``D(p) = D_moving(T(p))``, the *direct* mapping. Where densities and volumes
do not fit each other, the *energy* mapping keeps the energy instead, and divides it by the mass of the fixed scan:

    D(p) = D_moving(T(p)) m_moving / m_fixed,    m_moving = ∫ ρ_moving(T) det ∇T dV,    m_fixed = ∫ ρ_fixed dV

with both masses of the voxel of the dose about p: what the transform puts there, and what is seen there. This is the
energy transfer of J. V. Siebers, H. Zhong, Med. Phys. 35(9):4014-4023, 2008, doi:10.1118/1.2968215, with the moving
dose taken as constant over the voxel; see also H. Zhong, J. V. Siebers, Phys. Med. Biol. 54(3):555-573, 2009.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import SettingsError
from learngn.geometry.grid import FloatArray, Grid, index_range
from learngn.geometry.grid_map import GridMap
from learngn.geometry.image import Image
from learngn.geometry.transform import Transform
from learngn.quality.body import CT_AIR

DoseMapping = Literal["direct", "energy"]
DoseGrid = Literal["dose", "scan"]
MAPPINGS: tuple[str, ...] = get_args(DoseMapping)

# CT numbers and mass densities [g/cm³]: W. Schneider, T. Bortfeld, W. Schlegel, Phys. Med. Biol. 45(2):459-478, 2000,
# with its pieces joined.
_CT_NUMBERS = (-1000.0, -98.0, 14.0, 23.0, 100.0, 3000.0)
_DENSITIES = (0.001, 0.930, 1.030, 1.030, 1.076, 2.793)
_ROUNDING = 1e-3  # of a voxel: displacements that need no further voxels
_LEAST_DENSITY = 0.05  # of a voxel in which masses are compared [g/cm³]; air receives the direct mapping


def grid_for_dose(dose: Grid, on_grid: GridMap) -> Grid:
    """Return the grid in the fixed world that covers a dose: its voxels, continued as far as it is carried.

    Parameters
    ----------
    dose : Grid
        Grid of the dose in the moving world.
    on_grid : GridMap
        Transform on the grid of the fixed scan. The identity returns the grid of the dose itself.
    """
    low, high = index_range(dose.shape, dose.index_map(dose, np.asarray(np.linalg.inv(on_grid.world))))
    if on_grid.field is not None:
        turn = np.linalg.solve(dose.affine[:-1, :-1], on_grid.grid.affine[:-1, :-1])
        margin = np.abs(turn @ as_numpy(on_grid.field)[0].reshape(3, -1)).max(1)
        low, high = low - margin, high + margin
    first = np.floor(low + 0.5 + _ROUNDING).astype(int)
    last = np.ceil(high - 0.5 - _ROUNDING).astype(int)
    return dose.part(first.tolist(), (last - first + 1).tolist())


def warp_dose(dose: Image, transform: Transform, fixed: Grid, *, on: DoseGrid = "dose") -> Image:
    """Carry a dose by the direct mapping, which needs no values of the scans; see :func:`carry_dose`."""
    grid = fixed if on == "scan" else grid_for_dose(dose.grid, transform.on(fixed))
    return transform.on(grid).warp(dose, background=0.0)


def carry_dose(
    dose: Image,
    transform: Transform,
    fixed: Image,
    moving: Image,
    *,
    on: DoseGrid = "dose",
    mapping: DoseMapping = "direct",
) -> Image:
    """Carry a dose from the moving to the fixed scan.

    Parameters
    ----------
    dose : Image
        Dose in the moving world [Gy].
    transform : Transform
        From the fixed to the moving world.
    fixed, moving : Image
        Both scans; for the energy mapping CT [HU].
    on : {"dose", "scan"}
        Grid of the result: the voxels of the dose, or those of the fixed scan.
    mapping : {"direct", "energy"}
        See the module.

    Returns
    -------
    Image
        Dose in the fixed world [Gy], 0 where the moving dose has no voxels.

    Raises
    ------
    SettingsError
        If the mapping is unknown, or needs CT and the scans are none.
    """
    if mapping not in MAPPINGS:
        raise SettingsError("dose mapping", repr(mapping), f"one of {', '.join(MAPPINGS)}", "choose one of these")
    direct = warp_dose(dose, transform, fixed.grid, on=on)
    if mapping == "direct":
        return direct
    grid, on_fixed = direct.grid, transform.on(fixed.grid)
    for scan, name in ((fixed, "fixed scan"), (moving, "moving scan")):
        if float(scan.data.min()) > CT_AIR:
            raise SettingsError(name, "values without air, not those of CT", "CT numbers, for the energy mapping",
                                "choose the direct mapping")  # fmt: skip
    brought = as_numpy(on_fixed.warp(density(moving), background=0.0).data)[0, 0]
    brought = brought * np.maximum(as_numpy(on_fixed.jacobian_determinant())[0], 0)  # a fold brings nothing
    covered = as_numpy(on_fixed.warp(_ones(moving.grid), background=0.0).data)[0, 0]  # by the moving scan
    seen = as_numpy(density(fixed).data)[0, 0] * covered
    there, here, counts = (_sums(part, fixed.grid, grid) for part in (brought, seen, covered))
    ratio = np.divide(there, here, out=np.ones_like(here), where=here > _LEAST_DENSITY * counts)
    return Image((as_numpy(direct.data) * ratio).astype(np.float32), grid)


def density(scan: Image) -> Image:
    """Convert CT numbers [HU] to mass densities [g/cm³]."""
    return Image(np.interp(as_numpy(scan.data), _CT_NUMBERS, _DENSITIES).astype(np.float32), scan.grid)


def absorbed_energy(dose: Image, scan: Image) -> float:
    """Return the energy that the tissue of a CT absorbs from a dose [Gy kg = J]."""
    identity = GridMap(scan.grid, None, np.eye(4)).warp(dose, background=0.0)
    grams = as_numpy(density(scan).data).astype(np.float64) * float(np.prod(scan.grid.spacing)) * 1e-3
    return float((as_numpy(identity.data) * grams).sum()) * 1e-3


def _ones(grid: Grid) -> Image:
    return Image(np.ones((1, 1, *grid.shape), np.float32), grid)


def _sums(values: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """Sum the voxels of a grid, shape S, whose centres lie in each voxel of another grid."""
    result = np.zeros(target.size)
    matrix = source.index_map(target)
    plane = np.stack(np.meshgrid(*[np.arange(n) for n in source.shape[1:]], indexing="ij"), axis=-1).reshape(-1, 2)
    across = plane @ matrix[:3, 1:3].T + matrix[:3, 3]
    sizes = np.asarray(target.shape)
    for i in range(source.shape[0]):
        index = np.rint(across + i * matrix[:3, 0]).astype(int)
        inside = ((index >= 0) & (index < sizes)).all(-1)
        flat = np.ravel_multi_index(tuple(index[inside].T), target.shape)
        result += np.bincount(flat, weights=values[i].reshape(-1)[inside], minlength=target.size)
    return result.reshape(target.shape)
