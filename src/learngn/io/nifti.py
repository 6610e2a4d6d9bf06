"""Headers of NIfTI-1, NIfTI-2, Analyze and FreeSurfer's MGH, read by nibabel and checked before use.

Headers come from untrusted sources: every header gives a :class:`Stored` whose numbers are finite and in range, or one
clear error. nibabel's own checks write to a log and accept most faults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.errors import LearnGNError
from learngn.geometry.grid import FloatArray
from learngn.io.gzip_stream import DAMAGED, GZIP, open_binary
from learngn.io.orientation import place_of_nifti
from learngn.io.source import Header

_SINGLE, _PAIR, _MGH = (".nii", ".nii.gz"), (".hdr", ".img", ".hdr.gz", ".img.gz"), (".mgh", ".mgz", ".mgh.gz")
NIFTI_SUFFIXES = (*_SINGLE, *_PAIR, *_MGH)
_LONGEST = 540  # bytes: the header of NIfTI-2
# Intents: displacements in RAS, which ITK converts, and vectors in LPS, whose components ITK does not convert.
RAS_VECTOR, VECTOR, _SYMMETRIC_MATRIX = 1006, 1007, 1005
_VECTORS = (_SYMMETRIC_MATRIX, RAS_VECTOR, VECTOR)
_MAGIC = {b"n+1\0": 1, b"ni1\0": 1, b"n+2\0": 2, b"ni2\0": 2}
_SECONDS = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}  # NIfTI's units of time
_ANALYZE = "Analyze 7.5, which has no orientation: left and right may be exchanged; it is taken as nibabel takes it"


@dataclass(frozen=True, eq=False)
class Stored:
    """Storage of the voxels in a file.

    Parameters
    ----------
    header : Header
    path : Path
        File that holds the voxels.
    offset : int
        Position of the first voxel in the decompressed file [bytes].
    dtype : dtype
        Type of a stored value, or of one component of it.
    dims : tuple of int
        Sizes of all axes as stored, the fastest first, components included.
    slope, inter : float
        Slope and intercept of the scaling to the true values; 1 and 0 if there is no scaling.
    """

    header: Header
    path: Path
    offset: int
    dtype: np.dtype[Any]
    dims: tuple[int, ...]
    slope: float = 1.0
    inter: float = 0.0

    @property
    def count(self) -> int:
        """Number of stored values."""
        return math.prod(self.dims)

    @property
    def end(self) -> int:
        """End of the last voxel in the decompressed file [bytes]."""
        return self.offset + self.count * self.dtype.itemsize

    def arranged(self, values: NDArray[Any], frames: int | None = None) -> NDArray[Any]:
        """Return stored values of all frames, or of `frames`, in the shape (*shape) or (*shape, components)."""
        shape = self.header.shape if frames is None else self.header.space
        if self.header.components == 1:
            return values.reshape(shape, order="F")
        if self.header.intent not in _VECTORS:  # colours lie side by side
            return np.moveaxis(values.reshape((self.header.components, *shape), order="F"), 0, -1)
        return values.reshape((*shape, self.header.components), order="F")


def reads(path: Path) -> bool:
    """Whether this module reads a file, by its suffix."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def read_stored(path: Path, what: str, error: type[LearnGNError]) -> Stored:
    """Read and check a header.

    Raises
    ------
    LearnGNError
        Of type `error`, if the header is damaged or of another format.
    """
    name = f"{what} {path}"
    _check_gzip(path, name, error)
    head, data = _files(path)
    if not data.exists() or not head.exists():
        missing = data if head.exists() else head
        raise error(name, f"no such file as {missing.name}", "header and voxels side by side", "fetch both files")
    try:
        with open_binary(head) as file:
            raw = file.read(_LONGEST)
    except (OSError, EOFError, DAMAGED) as failure:
        raise unreadable(name, f"'{failure}'", error) from failure
    if path.name.lower().endswith(_MGH):
        return _mgh(raw, path, name, error)
    version = _MAGIC.get(raw[4:8] if raw[4:7] in (b"n+2", b"ni2") else raw[344:348], 0)
    if len(raw) < (_LONGEST if version == 2 else 348):
        raise unreadable(name, f"{len(raw)} bytes", error)
    if not version and head == data:
        raise unreadable(name, f"the magic word {raw[344:348]!r}", error)
    return _nifti(raw, data, version, name, error, single=head == data)


def unreadable(name: str, got: str, error: type[LearnGNError]) -> LearnGNError:
    """Return the error for a file of another format than its suffix says."""
    return error(
        name,
        f"a file that we cannot read ({got})",
        "NIfTI-1, NIfTI-2, Analyze or MGH, as its name says",
        "check that it is such a file and complete, or fetch it again",
    )


def _nifti(raw: bytes, data: Path, version: int, name: str, error: type[LearnGNError], *, single: bool) -> Stored:
    nibabel: Any = import_module("nibabel")  # slow to import, and most of its functions have no types
    if version == 0:
        kind = nibabel.spm2analyze.Spm2AnalyzeHeader
        if not kind.may_contain_header(raw[:348]):
            raise unreadable(name, f"the magic word {raw[344:348]!r}", error)
    else:
        kind = nibabel.Nifti2Header if version == 2 else nibabel.Nifti1Header
    header = kind(raw[: kind.sizeof_hdr], check=False)
    fields = header.structarr
    dims = _dims(fields["dim"], name, error)
    dtype, components = _type(header, name, error)
    intent = int(fields["intent_code"]) if version else 0
    shape = dims
    if intent in _VECTORS and (components > 1 or dtype.kind == "c"):
        raise error(
            name, f"vectors whose components are of type {int(fields['datatype'])}, which we cannot read",
            "vectors of numbers", "fetch the file again",
        )  # fmt: skip
    if intent in _VECTORS and len(dims) >= 5 and dims[4] > 1:
        components, shape = dims[4], _without_components(dims)
    elif components > 1:
        dims = (components, *dims)
    offset = _offset(float(fields["vox_offset"]), kind.sizeof_hdr if single else 0, name, error)
    slope, inter = _scaling(header)
    affine, notes = place_of_nifti(header, name, error) if version else _place_of_analyze(header, name, error)
    units = int(fields["xyzt_units"]) & 0x38 if version else 0
    step = float(fields["pixdim"][4]) * _SECONDS.get(units, math.nan)
    # Programs without time steps write a step of 1 without a unit.
    known = len(shape) > 3 and shape[3] > 1 and 0 < step < math.inf and (units != 0 or step != 1)
    return Stored(
        Header(
            shape, affine, _scaled_type(dtype, slope, inter), components, intent, step if known else None, tuple(notes)
        ),
        data, offset, dtype, dims, slope, inter,
    )  # fmt: skip


def _mgh(raw: bytes, path: Path, name: str, error: type[LearnGNError]) -> Stored:
    mgh: Any = import_module("nibabel.freesurfer.mghformat")
    if len(raw) < mgh.DATA_OFFSET or raw[:4] != b"\0\0\0\1":
        raise unreadable(name, "no header of MGH", error)
    # The data after the voxels (echo time and the like) is not used.
    header = mgh.MGHHeader(raw[: mgh.DATA_OFFSET], check=False)
    fields = header.structarr
    sizes = [int(n) for n in fields["dims"]]
    if min(sizes) < 1:
        raise error(name, f"axes of {sizes}", "positive sizes", "fetch the file again")
    try:
        dtype = np.dtype(header.get_data_dtype())
    except KeyError:
        raise error(
            name, f"values of type {int(fields['type'])}, which we cannot read", "one of MGH's types",
            "convert it by FreeSurfer's mri_convert to .nii.gz, or fetch it again",
        ) from None  # fmt: skip
    with np.errstate(all="ignore"):
        affine = np.asarray(header.get_affine(), dtype=np.float64)
    dims = tuple(sizes if sizes[3] > 1 else sizes[:3])
    notes = () if fields["goodRASFlag"] else ("no orientation in the header: FreeSurfer's default, LIA, is taken",)
    return Stored(Header(dims, affine, dtype.newbyteorder("="), notes=notes), path, mgh.DATA_OFFSET, dtype, dims)


def _dims(stored: NDArray[Any], name: str, error: type[LearnGNError]) -> tuple[int, ...]:
    """Return the sizes of the axes; sizes below 1 after the first axis count as 1."""
    axes = int(stored[0])
    if not 1 <= axes <= 7:
        raise error(name, f"a header of {axes} axes", "1 to 7", "fetch the file again")
    if stored[1] < 1:
        raise error(name, f"{int(stored[1])} voxels along the first axis", "at least 1", "fetch the file again")
    return tuple(max(1, int(n)) for n in stored[1 : axes + 1])


def _type(header: Any, name: str, error: type[LearnGNError]) -> tuple[np.dtype[Any], int]:
    """Return the type of a stored value, and the number of values a voxel: three or four bytes for colours."""
    code = int(header.structarr["datatype"])
    try:
        dtype = np.dtype(header.get_data_dtype())
    except (KeyError, ValueError, LookupError, header_errors()):
        dtype = np.dtype("V")
    if dtype.fields is not None:
        return np.dtype(np.uint8), len(dtype.fields)
    # Refused: Analyze's single bits, and numbers of 128 bits, which NumPy has on few machines.
    if dtype.kind not in "iufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise error(
            name, f"values of type {code}, which we cannot read", "integers or real numbers of at most 64 bits",
            "convert it to 32 bits, or fetch the file again",
        )  # fmt: skip
    return dtype, 1


def _without_components(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a vector image (i, j, k, t, components) without the components; 2D for two components."""
    space = dims[:2] if dims[4] == 2 and dims[2] == 1 else dims[:3]
    return space if dims[3] == 1 else (*dims[:3], dims[3])


def _offset(stored: float, least: int, name: str, error: type[LearnGNError]) -> int:
    if stored == 0 and least:
        return least + 4  # the default: after the header and the four bytes for its extensions
    if not least <= stored < 2**62:  # NaN fails
        raise error(name, f"voxels that begin at byte {stored:g}", "a place in the file", "fetch it again")
    return int(stored)


def _scaling(header: Any) -> tuple[float, float]:
    try:
        slope, inter = header.get_slope_inter()
    except header_errors():  # a slope without an intercept that is finite
        return 1.0, 0.0
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))


def _scaled_type(dtype: np.dtype[Any], slope: float, inter: float) -> np.dtype[Any]:
    """Return the type of the true values: the stored type, or, if they are scaled, float32 where it suffices.

    Integers of at most 16 bits that are scaled to whole numbers, as in CT stored without negative values, stay so.
    """
    native = dtype.newbyteorder("=")
    if (slope, inter) == (1.0, 0.0) or dtype.kind == "c":
        return native
    if dtype.kind in "iu" and dtype.itemsize <= 2 and slope.is_integer() and inter.is_integer():
        ends = [int(slope) * int(end) + int(inter) for end in (np.iinfo(dtype).min, np.iinfo(dtype).max)]
        whole = np.result_type(*(np.min_scalar_type(end) for end in ends))
        if whole.kind in "iu" and max(map(abs, ends)) < 2**31:
            return whole
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)


def _place_of_analyze(header: Any, name: str, error: type[LearnGNError]) -> tuple[FloatArray, list[str]]:
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not np.isfinite(affine).all():
        raise error(name, "a header whose pixdim is not finite", "voxel sizes [mm]", "repair the header")
    return affine, [_ANALYZE]


def header_errors() -> type[Exception]:
    """Return the type of nibabel's exceptions about headers."""
    from nibabel.spatialimages import HeaderDataError

    return HeaderDataError


def _files(path: Path) -> tuple[Path, Path]:
    """Return the files of header and voxels: the same file, or ``.hdr`` and ``.img``."""
    name = path.name
    stem, gzip = (name[:-3], name[-3:]) if name.lower().endswith(".gz") else (name, "")
    stem, suffix = stem[:-4], stem[-4:]
    if suffix.lower() not in (".hdr", ".img"):
        return path, path
    head, data = (".HDR", ".IMG") if suffix.isupper() else (".hdr", ".img")
    return path.with_name(f"{stem}{head}{gzip}"), path.with_name(f"{stem}{data}{gzip}")


def _check_gzip(path: Path, name: str, error: type[LearnGNError]) -> None:
    """Raise `error` if a file is compressed without a suffix that says so, or the other way round."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    expected = path.name.lower().endswith((".gz", ".mgz"))
    if packed != expected:
        raise error(
            name,
            "a file compressed by gzip" if packed else "a file that is not compressed by gzip",
            f"what its suffix {path.suffix} says",
            "rename it, or fetch it again",
        )
