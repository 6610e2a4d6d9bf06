"""What ITK leaves undone with NIfTI files: it fills what is missing with zeros, and reads NaN and infinity as zero."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import SimpleITK as sitk
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from learngn.errors import LearnGNError

_BLOCK = 1 << 20
_BEYOND = 1 << 26  # bytes read behind the voxels, to come to the checksum; a file may go on for gigabytes
_GZIP = b"\x1f\x8b"
_DAMAGED = cast("type[Exception]", isal_zlib.error)
# NIfTI-1, field `datatype`: bytes of a value, and NumPy's name of those that may be not finite.
_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1536: 16, 1792: 16,
          2048: 32, 2304: 4}  # fmt: skip
_FLOATS = {"16": "f4", "64": "f8"}
_PARTS = (32, 128, 1792, 2048, 2304)  # complex numbers and colours: values of several parts
_VECTORS = (
    1006,
    1007,
)  # intents by which ITK makes the fifth axis a vector; of values of parts it then writes too many
_HEADER = 348
_FARTHEST = 1e9  # [mm]


def check_complete(path: Path, header: Any, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where a NIfTI file is cut short, or compressed and damaged; nothing for other files.

    It does not notice either when the disk fills up while it writes such a file.

    Parameters
    ----------
    path : Path
    header : SimpleITK.ImageFileReader
        That has read the file's header.
    what : str
        Name of the image in messages.
    error : type of LearnGNError
    """
    if not header.HasMetaDataKey("vox_offset"):
        return
    _, data = _pair(path)
    expected = int(float(header.GetMetaData("vox_offset"))) + _count(header) * _width(header)
    found, trouble = (data.stat().st_size if data.exists() else 0), ""
    if data.suffix.lower() == ".gz":
        found, trouble = _unpacked(data, expected)
    if found < expected or trouble:
        raise error(
            f"{what} {path}",
            f"{min(found, expected)} of {expected} bytes{trouble and ', ' + trouble}",
            "the whole file",
            "fetch it again, or free some space",
        )


def restore_not_finite(image: Any, path: Path, header: Any) -> Any:
    """Give an image that ITK has read from a NIfTI file the values that are not finite back.

    Parameters
    ----------
    image : SimpleITK.Image
        As read.
    path : Path
        Its file, complete.
    header : SimpleITK.ImageFileReader
        That has read the file's header.

    Returns
    -------
    SimpleITK.Image
        The image itself, unless the file has such values.
    """
    if not header.HasMetaDataKey("vox_offset") or header.GetMetaData("datatype") not in _FLOATS:
        return image
    values = _stored(path, header)
    wrong = ~np.isfinite(values)
    if not wrong.any():
        return image
    components = image.GetNumberOfComponentsPerPixel()
    array = sitk.GetArrayFromImage(image)
    # The file has the components of vectors one after the other, ITK's array side by side.
    flat = array.reshape(-1, components)
    places = wrong.reshape(components, -1).T
    flat[places] = values.reshape(components, -1).T[places]
    restored = sitk.GetImageFromArray(flat.reshape(array.shape), isVector=components > 1)
    restored.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        restored.SetMetaData(key, image.GetMetaData(key))
    return restored


def check_gzip(path: Path, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where a file is compressed and its name does not say so, or the other way round."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    if packed != name.endswith(".gz"):
        suffixes = (".nii.gz", ".nii") if packed else (".nii", ".nii.gz")
        raise error(
            f"{what} {path}",
            "a file compressed by gzip" if packed else "a file that is not compressed by gzip",
            f"what its suffix {suffixes[1]} says",
            f"name it {suffixes[0]} if it is NIfTI, or fetch it again",
        )


def check_header(path: Path, what: str, error: type[LearnGNError]) -> None:
    """Raise `error` where a NIfTI header makes no sense; matrices that are not finite ITK would decompose for ever."""
    if not path.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")):
        return
    try:
        with _open(_pair(path)[0]) as file:
            raw = file.read(_HEADER)
    except (OSError, EOFError, _DAMAGED):
        return  # ITK says what is wrong
    named, known = path.name.lower().endswith((".nii", ".nii.gz")), raw[344:348] in (b"n+1\0", b"ni1\0")
    if len(raw) < _HEADER or raw[4:7] == b"n+2" or not (named or known):  # NIfTI-2, Analyze
        return
    order = _order(raw)
    if not known:
        raise error(
            f"{what} {path}",
            f"the magic word {raw[344:348]!r}, which we cannot read",
            "NIfTI-1's, n+1 or ni1",
            "fetch the file again",
        )
    (axes,), (kind,) = struct.unpack_from(f"{order}h", raw, 40), struct.unpack_from(f"{order}h", raw, 70)
    # ITK's library writes to the terminal about these.
    if not 1 <= axes <= 7:
        raise error(f"{what} {path}", f"a header of {axes} axes", "1 to 7", "fetch the file again")
    if kind not in _BYTES:
        known_kinds = ", ".join(str(known) for known in _BYTES)
        raise error(
            f"{what} {path}", f"values of type {kind}, which we cannot read", f"one of NIfTI's types {known_kinds}",
            "fetch the file again",
        )  # fmt: skip
    (intent,) = struct.unpack_from(f"{order}h", raw, 68)
    if intent in _VECTORS and kind in _PARTS:
        raise error(
            f"{what} {path}", f"vectors whose components are of type {kind}, which we cannot read",
            "vectors of numbers", "fetch the file again",
        )  # fmt: skip
    (start,) = struct.unpack_from(f"{order}f", raw, 108)
    if not 0 <= start < 2**31:  # NaN fails
        raise error(f"{what} {path}", f"voxels that begin at byte {start:g}", "a place in the file", "fetch it again")
    qform, sform = struct.unpack_from(f"{order}2h", raw, 252)
    fields = {
        "pixdim": (struct.unpack_from(f"{order}4f", raw, 76), True),
        "qform": (struct.unpack_from(f"{order}6f", raw, 256), qform > 0),
        "sform": (struct.unpack_from(f"{order}12f", raw, 280), sform > 0),
    }
    for name, (values, used) in fields.items():
        if used and not all(abs(value) < _FARTHEST for value in values):  # NaN fails
            raise error(
                f"{what} {path}", f"a header whose {name} has {', '.join(f'{v:g}' for v in values)}",
                "finite voxel sizes and axes [mm]", "repair the header, or fetch the file again",
            )  # fmt: skip


def _pair(path: Path) -> tuple[Path, Path]:
    """The files that hold header and voxels: the same one, or ``.hdr`` and ``.img``."""
    for suffix in (".hdr", ".img"):
        stem, found, gzip = path.name.rpartition(suffix)
        if found and gzip in ("", ".gz"):
            return path.with_name(f"{stem}.hdr{gzip}"), path.with_name(f"{stem}.img{gzip}")
    return path, path


def _width(header: Any) -> int:
    """Bytes of a value; what the field `bitpix` says of it is of no account to ITK."""
    return _BYTES.get(int(header.GetMetaData("datatype")), int(header.GetMetaData("bitpix")) // 8)


def _count(header: Any) -> int:
    """Number of values; sizes of axes that an image does not have count for nothing, whatever they are."""
    axes = int(header.GetMetaData("dim[0]"))
    return math.prod(max(1, int(header.GetMetaData(f"dim[{axis}]"))) for axis in range(1, axes + 1))


def _unpacked(path: Path, expected: int) -> tuple[int, str]:
    """Bytes that a gzip file holds, or that can still be read of it, and what is wrong with it, if anything is."""
    size = 0
    try:
        with _open(path) as packed:
            for block in _blocks(packed, expected + _BEYOND):
                size += len(block)
    except (OSError, EOFError, _DAMAGED) as failure:
        # Behind the last member some programs leave bytes of no meaning, as gunzip knows.
        if size < expected or not str(failure).startswith("Not a gzipped file"):
            return size, f"'{failure}'"
    return size, ""


def _blocks(file: IO[bytes], limit: int) -> Iterator[bytes]:
    while limit > 0 and (block := file.read(min(_BLOCK, limit))):
        limit -= len(block)
        yield block


def _stored(path: Path, header: Any) -> NDArray[Any]:
    """Values as the file has them, flat."""
    start, count = int(float(header.GetMetaData("vox_offset"))), _count(header)
    head, data = _pair(path)
    with _open(head) as file:
        order = _order(file.read(_HEADER))
    kind = np.dtype(order + _FLOATS[header.GetMetaData("datatype")])
    with _open(data) as file:
        raw = file.read(start + count * kind.itemsize)
    return np.frombuffer(raw, dtype=kind, count=count, offset=start)


def _order(raw: bytes) -> str:
    """Byte order of a header, told by the number of axes, as in ITK's library."""
    return "<" if 1 <= int.from_bytes(raw[40:42], "little", signed=True) <= 7 else ">"


def _open(path: Path) -> Any:
    return igzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[no-untyped-call]
