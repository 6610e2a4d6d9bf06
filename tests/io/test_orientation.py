"""Where NIfTI headers put their voxels: by path as by nibabel's object, with a word where a header is not clear."""

import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, DisplacementField, Grid, Image
from learngn.errors import GeometryError, ImageError, header_warnings
from learngn.interop import as_image
from learngn.io import field_suffix, read_grid, read_image, read_transform, write_transform

DATA = np.arange(20 * 24 * 16, dtype=np.float32).reshape(20, 24, 16)
SCANNER = np.array([[2.0, 0, 0, -20], [0, 2, 0, -30], [0, 0, 3, 10], [0, 0, 0, 1]])
C, S = np.cos(0.3), np.sin(0.3)
TURNED = np.array([[C, -S, 0, 7], [S, C, 0, -5], [0, 0, 1, 4], [0, 0, 0, 1]]) @ SCANNER
SHEARED = TURNED @ np.array([[1.05, 0.08, 0, 0], [0, 0.97, 0.05, 0], [0.02, 0, 1.1, 0], [0, 0, 0, 1]])


def write(path, sform=(SCANNER, 0), qform=(SCANNER, 0), units=2, sizes=(2, 2, 3)):
    header = nibabel.Nifti1Header()
    header.set_data_shape(DATA.shape)
    header.set_data_dtype(np.float32)
    header.set_qform(qform[0], qform[1])
    header["pixdim"][1:4] = sizes
    header.set_sform(sform[0], sform[1])
    header["xyzt_units"], header["vox_offset"], header["magic"] = units, 352, b"n+1"
    path.write_bytes(header.binaryblock + bytes(4) + DATA.tobytes(order="F"))
    return path


def grids(path) -> tuple[Grid, list[str]]:
    """The grid that all ways of reading give, and what each of them says."""
    found = []
    for read in (read_grid, lambda p: read_image(p).grid, lambda p: as_image(nibabel.load(p)).grid):
        with warnings.catch_warnings(), header_warnings(lambda message: None) as said:
            found.append((read(path), said))
    for grid, _ in found[1:]:
        np.testing.assert_allclose(grid.affine, found[0][0].affine, atol=1e-9)
    messages = [[message.split(": ", 1)[1] for message in said] for _, said in found]
    assert messages[0] == messages[1] == messages[2]
    assert all(str(path) in message for message in found[0][1])
    return found[0][0], messages[0]


@pytest.mark.parametrize(
    ("sform", "qform", "expected", "said"),
    [
        ((TURNED, 1), (SCANNER, 0), TURNED, ""),
        ((TURNED, 0), (SCANNER, 1), SCANNER, ""),
        ((TURNED, 1), (TURNED, 1), TURNED, ""),
        ((TURNED, 2), (SCANNER, 1), TURNED, "sform (code 2, aligned) and the qform (code 1, scanner) disagree"),
        ((TURNED, 4), (SCANNER, 1), TURNED, "sform (code 4, MNI) and the qform"),
        ((TURNED, 1), (SCANNER, 2), TURNED, "disagree"),
        ((SHEARED, 4), (SCANNER, 1), SHEARED, "disagree"),
        ((SHEARED, 2), (SCANNER, 0), SHEARED, "in the sform but of 2 x 2 x 3 mm in pixdim"),
        ((TURNED @ np.diag([0.5, 0.5, 1 / 3, 1]), 1), (SCANNER, 0), TURNED @ np.diag([0.5, 0.5, 1 / 3, 1]), "pixdim"),
    ],
)
def test_the_sform_counts_then_the_qform(sform, qform, expected, said, tmp_path):
    path = write(tmp_path / "a.nii", sform, qform)
    grid, messages = grids(path)
    np.testing.assert_allclose(grid.affine, expected, atol=1e-4)
    np.testing.assert_allclose(grid.affine, nibabel.load(path).affine, atol=1e-6)
    assert len(messages) == bool(said)
    assert said in " ".join(messages)


def test_a_header_without_a_place_lies_where_nibabel_has_it(tmp_path):
    path = write(tmp_path / "a.nii")
    grid, (said,) = grids(path)
    np.testing.assert_allclose(grid.affine, nibabel.load(path).affine)
    np.testing.assert_allclose(grid.centre, 0, atol=1e-9)
    assert "left and right" in said


@pytest.mark.parametrize(("shift", "worth"), [(0.05, False), (0.2, True)])
def test_forms_that_differ_by_rounding_agree(shift, worth, tmp_path):
    other = TURNED.copy()
    other[0, 3] += shift
    _, said = grids(write(tmp_path / "a.nii", (TURNED, 1), (other, 1)))
    assert bool(said) == worth


@pytest.mark.parametrize(("units", "scale"), [(0, 1), (1, 1000), (2, 1), (3, 1e-3), (2 + 16, 1), (3 + 8, 1e-3)])
@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (1, 0)])
def test_metres_and_micrometres(codes, units, scale, tmp_path):
    grid, said = grids(write(tmp_path / "a.nii", (SCANNER, codes[0]), (SCANNER, codes[1]), units))
    np.testing.assert_allclose(grid.affine[:3], SCANNER[:3] * scale, rtol=1e-6)
    assert not said


@pytest.mark.parametrize(("units", "scale"), [("microns", 1e-3), ("mm", 1), ("µm", 1e-3), ("m", 1000)])
def test_units_of_nrrd(units, scale, tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 4 5 6\n"
        f'space units: "{units}" "{units}" "{units}"\n'
        "space directions: (20,0,0) (0,20,0) (0,0,25)\nspace origin: (7,8,9)\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(240))
    expected = np.array([[20, 0, 0, 7], [0, 20, 0, 8], [0, 0, 25, 9]]) * scale
    np.testing.assert_allclose(read_grid(tmp_path / "a.nrrd").affine[:3], expected)
    np.testing.assert_allclose(read_image(tmp_path / "a.nrrd").grid.affine[:3], expected)


def test_units_of_nrrd_that_differ(tmp_path):
    header = 'NRRD0004\ntype: short\ndimension: 2\nsizes: 4 5\nspace units: "mm" "m"\nencoding: raw\n\n'
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(40))
    with pytest.raises(ImageError, match=r"a\.nrrd.*units m, mm"):
        read_image(tmp_path / "a.nrrd")


def _rotation() -> np.ndarray:
    return np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


@pytest.mark.parametrize("decimals", [3, 4, 5, 6])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii"])
def test_rounded_axes_are_made_orthonormal(suffix, decimals, tmp_path):
    rounded = np.round(_rotation(), decimals) * (1.2, 1.2, 2.0)
    path = tmp_path / f"a{suffix}"
    if suffix == ".nii":
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = rounded, (-31.5, 12.25, 101.75)
        image = nibabel.Nifti1Image(DATA, affine)
        image.header["qform_code"] = 0
        nibabel.save(image, path)
    else:
        image = sitk.GetImageFromArray(DATA)
        image.SetDirection(np.round(_rotation(), decimals).ravel().tolist())
        image.SetSpacing((1.2, 1.2, 2.0))
        sitk.WriteImage(image, str(path))
    image, (grid, said) = read_image(path), grids(path) if suffix == ".nii" else (read_grid(path), [])
    assert not said
    assert image.grid == grid
    np.testing.assert_allclose(grid.direction.T @ grid.direction, np.eye(3), atol=3e-6)
    for target in (".nii.gz", ".mha", ".nrrd"):
        image.save(tmp_path / f"b{target}")
        assert read_grid(tmp_path / f"b{target}").same_space(grid, tolerance=1e-4)
        theirs = sitk.ReadImage(str(tmp_path / f"b{target}"))
        np.testing.assert_allclose(theirs.GetOrigin(), grid.origin * (-1, -1, 1), atol=1e-4)


def test_axes_that_are_moved_noticeably_are_spoken_of(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 1.5e-3
    image = nibabel.Nifti1Image(np.zeros((400, 400, 2), np.uint8), affine)
    image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "a.nii")
    _, (said,) = grids(tmp_path / "a.nii")
    assert "right angles" in said
    assert "of a voxel" in said


GRIDS = {
    "one slice": Grid.from_spacing((14, 12, 1), (1.2, 1.2, 6.0), (-40, -35, 20)),
    "one column": Grid.from_spacing((1, 12, 8), (1.2, 1.2, 6.0)),
    "one voxel": Grid.from_spacing((1, 1, 1), 2.0),
    "sheared": Grid(DATA.shape, SHEARED),
    "oblique slice": Grid.from_spacing((14, 12, 1), (1.2, 1.2, 6.0), (-40, -35, 20), _rotation()),
    "2D": Grid.from_spacing((14, 12), (1.2, 0.8), (3, 4)),
    "long": Grid.from_spacing((40_000, 2, 1), 1.0),
}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("kind", GRIDS)
def test_every_grid_can_be_written(kind, suffix, tmp_path, rng):
    grid = GRIDS[kind]
    scan = Image.from_array(rng.normal(size=grid.shape), grid)
    scan.save(tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(back.data, scan.data)
    assert back.grid.same_space(grid, tolerance=1e-3)
    field = DisplacementField(rng.normal(size=(1, grid.ndim, *grid.shape)).astype(np.float32), grid)
    write_transform(field, tmp_path / f"b{suffix}")
    again = read_transform(tmp_path / f"b{suffix}")
    assert again.grid.same_space(grid, tolerance=1e-3)
    rounded = 0.005 / grid.spacing.min() if suffix == ".nii.gz" else 0  # compressed fields are [voxel]
    np.testing.assert_allclose(again.data, field.data, atol=1e-5 + 2 * rounded, rtol=1e-5)


@pytest.mark.parametrize("kind", GRIDS)
def test_itk_reads_the_field_of_every_grid_under_its_suffix(kind, tmp_path, rng):
    grid = GRIDS[kind]
    field = DisplacementField(rng.normal(size=(1, grid.ndim, *grid.shape)).astype(np.float32), grid)
    path = tmp_path / f"a{field_suffix(grid)}"
    write_transform(field, path)
    theirs = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    flip = np.array([-1, -1, 1])[: grid.ndim]
    point = grid.index_to_world([n // 2 for n in grid.shape])
    moved = np.array(theirs.TransformPoint((point * flip).tolist())) * flip
    np.testing.assert_allclose(moved, field.map_points(point[None])[0], atol=0.005)


def test_a_volume_that_is_sheared_is_warped_where_nibabel_has_it(tmp_path):
    path = write(tmp_path / "a.nii", (SHEARED, 4), (SCANNER, 0), sizes=np.linalg.norm(SHEARED[:3, :3], axis=0))
    image = read_image(path)
    upright = Grid.from_spacing(DATA.shape, 2.0, image.grid.centre - 1.0 * np.array(DATA.shape))
    processing = pytest.importorskip("nibabel.processing")
    theirs = processing.resample_from_to(nibabel.load(path), (DATA.shape, upright.affine), order=1)
    ours = Affine.identity(3).warp(image, upright).data[0, 0]
    inside = theirs.get_fdata() > 0
    assert inside.mean() > 0.1
    np.testing.assert_allclose(np.median(np.abs(ours - theirs.get_fdata())[inside & (ours > 0)]), 0, atol=0.05)


def test_nonsense_in_arrays_is_an_error():
    with pytest.raises(GeometryError, match="voxels of nan"):
        as_image((DATA, np.diag([np.nan, 1, 1, 1])))


def test_warnings_are_collected_once_and_shown_all_the_same(tmp_path):
    path = write(tmp_path / "a.nii")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with header_warnings() as said:
            read_image(path)
            read_grid(path)
            warnings.warn("another", UserWarning, stacklevel=1)
    assert [str(w.message) for w in shown] == [*said, "another"]
    assert len(said) == 1
