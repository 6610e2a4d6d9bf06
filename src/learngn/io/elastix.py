"""Parameter files of elastix' transforms: linear maps, B-splines, and chains of them, from fixed to moving, LPS mm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learngn.errors import LearnGNError, TransformError
from learngn.geometry.grid import Grid
from learngn.geometry.transform import Affine, Transform
from learngn.io.files import named
from learngn.io.itk_transforms import from_itk, linear_from_itk
from learngn.io.simpleitk import sitk

_NO_INITIAL = "NoInitialTransform"
_B_SPLINES = ("BSplineTransform", "RecursiveBSplineTransform")  # two implementations of one transform
_LARGEST_ORDER = 3


def is_elastix(head: bytes) -> bool:
    """Whether a file is a parameter file of a transform, by its first bytes."""
    return re.search(rb"^\s*\(Transform(Parameters)?\s", head, re.MULTILINE) is not None


def read_elastix(path: Path, fixed: Grid | None = None) -> Transform:
    """Read a parameter file of elastix, composed with its initial transforms.

    Parameters
    ----------
    path : Path
        ``TransformParameters.N.txt``. Initial transforms are found where it names them, or beside it.
    fixed : Grid, optional
        Grid of the fixed image, on which a chain with B-splines becomes a displacement.

    Raises
    ------
    TransformError
        If the file is damaged, is of another kind of transform, or an initial transform is missing; or if there are
        B-splines and no grid.
    """
    chain = _chain(path)
    try:
        if all(transform.IsLinear() for transform in chain):
            matrix = np.eye(chain[0].GetDimension() + 1)
            for transform in chain:
                matrix = linear_from_itk(transform).matrix @ matrix
            return Affine(matrix)
        # ITK applies the transforms of a chain in reverse order.
        return from_itk(sitk.CompositeTransform(chain[::-1]), fixed)
    except LearnGNError as error:
        raise named(error, path) from None


@dataclass(frozen=True)
class _Parameters:
    """Words of a parameter file by name."""

    path: Path
    fields: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> _Parameters:
        text = path.read_text(encoding="utf-8", errors="replace")
        found = re.findall(r"^\s*\((\w+)\s+(.*?)\)\s*(?://.*)?$", text, re.MULTILINE)
        return cls(path, {name: value.split() for name, value in found})

    def word(self, name: str, default: str) -> str:
        return " ".join(self.fields.get(name, [default])).strip('"')

    def numbers(self, name: str) -> list[float]:
        return [float(value) for value in self.fields[name]]

    @property
    def kind(self) -> str:
        return self.word("Transform", "none")

    @property
    def ndim(self) -> int:
        ndim = int(self.word("FixedImageDimension", "3"))
        if ndim not in (2, 3):
            raise ValueError(ndim)
        return ndim


def _chain(path: Path, after: tuple[Path, ...] = ()) -> list[Any]:
    """Return ITK's transforms of a file, the initial ones first; `after` are the files that this one is initial to."""
    parameters = _Parameters.read(path)
    own = _own(parameters)
    initial = parameters.word(
        "InitialTransformParameterFileName", parameters.word("InitialTransformParametersFileName", _NO_INITIAL)
    )
    if initial == _NO_INITIAL:
        return [own]
    if parameters.word("HowToCombineTransforms", "Compose") != "Compose":
        raise TransformError(
            f"transform {path}", "transforms of elastix that are added", "composed ones", "write its displacement first"
        )
    return [*_initial(path, initial, (*after, path.resolve())), own]


def _initial(path: Path, name: str, after: tuple[Path, ...]) -> list[Any]:
    """Read the initial transform of one of elastix, from the path that the file names, or from the file's folder."""
    places = [Path(name), path.parent / Path(name).name]
    initial = next((place for place in places if place.is_file() and place.resolve() not in after), None)
    if initial is None or not is_elastix(initial.read_bytes()):
        raise TransformError(
            f"transform {path}",
            f"an initial transform {name} that is not there",
            "its file beside this one",
            "copy it there",
        )
    return _chain(initial, after)


def _own(parameters: _Parameters) -> Any:
    """Return ITK's transform with the parameters of a file, without its initial transform."""
    path, kind = parameters.path, parameters.kind
    try:
        _check_cosines(parameters)
        made = _b_spline(parameters) if kind in _B_SPLINES else _linear(parameters)
        if made is not None:
            made.SetParameters(parameters.numbers("TransformParameters"))
    except (KeyError, ValueError, RuntimeError) as failure:
        raise TransformError(
            f"transform {path}", f"parameters of elastix that make no {kind}", "numbers for it", "check the file"
        ) from failure
    if made is None:
        raise TransformError(
            f"transform {path}",
            f"a {kind} of elastix",
            "a linear one or a B-spline",
            "write its displacement first: transformix -def all -tp IN -out DIR makes DIR/deformationField.mhd",
        )
    return made


def _check_cosines(parameters: _Parameters) -> None:
    """Refuse transforms that count along the axes of an oblique image, as if these were those of the world."""
    ignored = parameters.word("UseDirectionCosines", "true") == "false"
    axes = parameters.numbers("Direction") if "Direction" in parameters.fields else np.eye(parameters.ndim).ravel()
    if ignored and not np.allclose(axes, np.eye(parameters.ndim).ravel(), atol=1e-6):
        raise TransformError(
            f"transform {parameters.path}",
            "one that ignores the axes of its images (UseDirectionCosines)",
            "one in the coordinates of the world",
            "register again without this option",
        )


def _linear(parameters: _Parameters) -> Any:
    """Return a linear transform of ITK with the centre of a file; None for other kinds."""
    kind, ndim = parameters.kind, parameters.ndim
    if kind == "TranslationTransform":
        return sitk.TranslationTransform(ndim)
    made: Any = None
    if kind == "AffineTransform":
        made = sitk.AffineTransform(ndim)
    elif kind == "EulerTransform":
        made = sitk.Euler2DTransform() if ndim == 2 else sitk.Euler3DTransform()
        if ndim == 3:
            made.SetComputeZYX(parameters.word("ComputeZYX", "false") == "true")
    elif kind == "SimilarityTransform":
        made = sitk.Similarity2DTransform() if ndim == 2 else sitk.Similarity3DTransform()
    if made is not None:
        has_centre = "CenterOfRotationPoint" in parameters.fields
        centre = parameters.numbers("CenterOfRotationPoint") if has_centre else [0.0] * ndim
        made.SetFixedParameters([*centre, *made.GetFixedParameters()[ndim:]])
    return made


def _b_spline(parameters: _Parameters) -> Any:
    """Return ITK's B-spline on the grid of coefficients that a file describes."""
    ndim, order = parameters.ndim, int(parameters.word("BSplineTransformSplineOrder", str(_LARGEST_ORDER)))
    if not 0 < order <= _LARGEST_ORDER or parameters.word("UseCyclicTransform", "false") == "true":
        raise ValueError(order)
    if any(parameters.numbers("GridIndex") if "GridIndex" in parameters.fields else []):
        raise ValueError("GridIndex")
    made = sitk.BSplineTransform(ndim, order)
    # elastix writes the axes one after the other, ITK the rows of the matrix of which they are the columns.
    axes = np.eye(ndim)
    if "GridDirection" in parameters.fields:
        axes = np.reshape(parameters.numbers("GridDirection"), (ndim, ndim)).T
    placed = [parameters.numbers(name) for name in ("GridSize", "GridOrigin", "GridSpacing")]
    made.SetFixedParameters([*placed[0], *placed[1], *placed[2], *axes.ravel().tolist()])
    return made
