"""Position of a NIfTI image by its header: sform, qform or neither, in millimetres, and contradictions in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from learngn.errors import LearnGNError
from learngn.geometry.grid import FloatArray

_FARTHEST = 1e9
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 1e-3}  # NIfTI's units of length: metres, millimetres, micrometres
_SHIFT = 0.1  # tolerance of the origin [mm], or as a fraction of a voxel that is smaller than 1 mm
_AXES = 1e-3  # tolerance of the axes, as a fraction of a voxel
_CODES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI", 5: "template"}


def place_of_nifti(header: Any, name: str, error: type[LearnGNError]) -> tuple[FloatArray, list[str]]:
    """Return the affine of a header, and warnings about it.

    The sform is used if its code is not 0, else the qform if its code is not 0, else the voxel sizes alone, with
    nibabel's default axes and origin.

    Parameters
    ----------
    header : nibabel.Nifti1Header or nibabel.Nifti2Header
    name : str
        Name of the image in messages.
    error : type of LearnGNError
        Raised if the matrix that is used is not finite.

    Returns
    -------
    array, shape (4, 4)
        Affine from index to RAS mm.
    list of str
        Warnings.
    """
    fields = header.structarr
    sform, qform = int(fields["sform_code"]) != 0, int(fields["qform_code"]) != 0
    used = "sform" if sform else "qform" if qform else "pixdim"
    values = {
        "sform": np.concatenate([fields["srow_x"], fields["srow_y"], fields["srow_z"]]),
        "qform": np.concatenate(
            [
                fields["pixdim"][:4],
                [fields[f"quatern_{axis}"] for axis in "bcd"],
                [fields[f"qoffset_{axis}"] for axis in "xyz"],
            ]
        ),
        "pixdim": fields["pixdim"][:4],
    }[used]
    if not (np.abs(values) < _FARTHEST).all():  # comparisons with NaN are False
        raise error(
            name, f"a header whose {used} has {', '.join(f'{v:g}' for v in values)}",
            "finite voxel sizes and axes [mm]", "repair the header, or fetch the file again",
        )  # fmt: skip
    affine = header.get_sform() if sform else _qform(header) if qform else header.get_base_affine()
    if affine is None:
        raise error(
            name, f"a header whose qform has {', '.join(f'{v:g}' for v in values)}",
            "positive voxel sizes and a quaternion", "repair the header, or fetch the file again",
        )  # fmt: skip
    scale = length_of_unit(header)
    return in_millimetres(affine, scale), notes_of(header)


def length_of_unit(header: Any) -> float:
    """Return the length of the unit of a NIfTI header's coordinates [mm]; without a unit, they are millimetres."""
    return _MILLIMETRES.get(int(header.structarr["xyzt_units"]) & 7, 1.0)


def in_millimetres(affine: FloatArray, scale: float) -> FloatArray:
    """Convert an affine from a unit of length `scale` [mm] to mm."""
    result = np.array(affine, dtype=np.float64)
    result[:-1] *= scale
    return result


def notes_of(header: Any) -> list[str]:
    """Return warnings if a NIfTI header has contradictory positions of the image, or none."""
    fields, scale = header.structarr, length_of_unit(header)
    codes = int(fields["sform_code"]), int(fields["qform_code"])
    if codes == (0, 0):
        return [
            "neither sform nor qform (both codes are 0): the position is unknown, and left and right may be exchanged; "
            "it is taken as nibabel takes it, x to the left and centred"
        ]
    if codes[0] == 0:
        return []
    sform = in_millimetres(header.get_sform(), scale)
    sizes = np.linalg.norm(sform[:3, :3], axis=0)
    if codes[1] == 0:
        stored = np.abs(np.asarray(fields["pixdim"][1:4], dtype=np.float64)) * scale
        if not (np.isfinite(stored).all() and (stored > 0).all()) or (np.abs(stored / sizes - 1) <= _AXES).all():
            return []
        return [f"voxels of {_by(sizes)} mm in the sform but of {_by(stored)} mm in pixdim; the sform is used"]
    qform = _qform(header)
    if qform is None or not np.isfinite(qform).all():
        return [f"a qform (code {codes[1]}) that makes no sense; the sform is used"]
    qform = in_millimetres(qform, scale)
    shift = float(np.linalg.norm(sform[:3, 3] - qform[:3, 3]))
    apart = float((np.linalg.norm(sform[:3, :3] - qform[:3, :3], axis=0) / sizes).max())
    if shift <= min(_SHIFT, _SHIFT * float(sizes.min())) and apart <= _AXES:
        return []
    return [
        f"the sform ({_code(codes[0])}) and the qform ({_code(codes[1])}) disagree: first voxels {shift:.3g} mm apart, "
        f"axes by up to {100 * apart:.3g} % of a voxel; the sform is used, as nibabel, FSL and FreeSurfer do"
    ]


def _qform(header: Any) -> FloatArray | None:
    from nibabel.spatialimages import HeaderDataError

    try:
        with np.errstate(all="ignore"):
            return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None


def _code(code: int) -> str:
    return f"code {code}, {_CODES[code]}" if code in _CODES else f"code {code}"


def _by(sizes: FloatArray) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
