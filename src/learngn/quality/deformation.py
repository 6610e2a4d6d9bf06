"""How far and how smoothly a result deforms: its linear part, and its displacement inside the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learngn import kernels
from learngn.arrays import as_numpy
from learngn.geometry import sampling
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.transform import Transform
from learngn.quality.body import Mask

_AVERAGED = 2.0  # voxel size at which a displacement is examined [voxel of the coarse grid]
_INSIDE = 0.5  # part of such a voxel that must be body
_SMALLEST = 1e-3  # Jacobian determinant below which its logarithm is cut


@dataclass(frozen=True)
class LinearPart:
    """Parameters of a linear map.

    Attributes
    ----------
    turn : float
        Angle of its rotation [degree].
    scale : float
        Logarithm of the change of lengths on average, without sign.
    stretch : float
        Spread of the logarithms of the stretches along its main axes: shear and unequal scales.
    """

    turn: float
    scale: float
    stretch: float

    @classmethod
    def of(cls, matrix: FloatArray) -> LinearPart:
        """Take a map apart: rotation and stretch (polar decomposition)."""
        left, stretches, right = np.linalg.svd(matrix[:-1, :-1])
        rotation, logarithms, ndim = left @ right, np.log(np.maximum(stretches, 1e-9)), len(stretches)
        cosine = (np.trace(rotation) - (1 if ndim == 3 else 0)) / 2
        turn = float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))
        return cls(turn, abs(float(logarithms.mean())), float(logarithms.std()))


def deformation(transform: Transform, grid: Grid, matrix: FloatArray, body: Mask) -> dict[str, float]:
    """Measure the part of a transform that is not linear, inside the body.

    Parameters
    ----------
    transform : Transform
        Displacement and linear map.
    grid : Grid
        Coarse fixed grid on which the displacement is examined.
    matrix : array, shape (D+1, D+1)
        The linear map alone, fixed RAS mm to moving RAS mm.
    body : array of bool, shape S
        The fixed body.

    Returns
    -------
    dict
        ``spread``: standard deviation of the logarithm of the Jacobian determinant, the linear part left out;
        ``folds``: fraction of voxels that fold; ``displacement``: root mean square length over the body's size;
        ``bending``: the same of the second differences [voxel of the coarse grid].
    """
    if not body.any():
        body = np.ones_like(body)
    field = as_numpy(transform.on(grid).displacement())
    # What the linear map leaves: u with  matrix (x + u(x)) = T(x); averaged, for the same at every finest level.
    nonlinear = _without(field, grid.index_map(grid, matrix))
    coarse = grid.coarsened(_AVERAGED * float(grid.spacing.min()))
    nonlinear = np.asarray(sampling.pool(nonlinear, coarse.shape))
    parts = np.asarray(coarse.shape) / np.asarray(grid.shape)
    nonlinear = nonlinear * parts.reshape(1, -1, *[1] * grid.ndim).astype(np.float32)
    body = sampling.pool(np.asarray(body[None, None], dtype=np.float32), coarse.shape)[0, 0] > _INSIDE
    grid, body = coarse, body if body.any() else np.ones_like(body)
    determinant = as_numpy(kernels.determinant(np.ascontiguousarray(nonlinear)))[0][body]
    logarithm = np.log(np.maximum(determinant, _SMALLEST))
    in_mm = np.tensordot(grid.affine[:-1, :-1], nonlinear[0], 1)
    length = (in_mm**2).sum(0)
    points = grid.index_to_world(np.argwhere(body))
    size = float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))
    bending = np.zeros(grid.shape)
    for axis in range(grid.ndim):
        if grid.shape[axis] > 2:
            second = np.diff(nonlinear[0], n=2, axis=axis + 1)
            inner = tuple(slice(1, -1) if a == axis else slice(None) for a in range(grid.ndim))
            bending[inner] += (second**2).sum(0)
    return {
        "spread": float(logarithm.std()),
        "folds": float((determinant <= 0).mean()),
        "displacement": float(np.sqrt(length[body].mean())) / max(size, 1e-9),
        "bending": float(np.sqrt(bending[body].mean())),
    }


def _without(field: FloatArray, linear: FloatArray) -> FloatArray:
    """Return u with ``linear (x + u(x)) = x + field(x)``, in voxels."""
    shape, back = field.shape[2:], np.linalg.inv(linear)
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in shape], indexing="ij"))
    there = np.tensordot(back[:-1, :-1], index + field[0], 1) + back[:-1, -1].reshape(-1, *[1] * len(shape))
    return np.asarray((there - index)[None], dtype=np.float32)
