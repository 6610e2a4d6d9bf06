"""Transforms written by us do in ITK what they do here, and those of ITK do here what they do there."""

import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, Composite, DisplacementField, Grid
from learngn.errors import OutputError, TransformError
from learngn.io import from_sitk, read_transform, to_sitk, write_transform

FIELDS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")


def in_itk(path) -> sitk.Transform:
    """The transform as a user of SimpleITK has it, without our help."""
    if path.name.endswith(FIELDS):
        return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    return sitk.ReadTransform(str(path))


def itk_points(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Points mapped by ITK, RAS to RAS."""
    flip = np.array([-1.0, -1.0, 1.0])[: points.shape[1]]
    return np.array([transform.TransformPoint((p * flip).tolist()) for p in points]) * flip


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".h5"])
def test_itk_warps_as_we_do(suffix, chain, grid, moving_scan, scan, tmp_path):
    """One file applied once by ITK's resampler: fields, affine parts included, another moving grid."""
    path = tmp_path / f"displacement{suffix}"
    write_transform(chain, path, reference=grid)
    ours = chain.warp(moving_scan, grid, background=0.0).data
    theirs = from_sitk(sitk.Resample(to_sitk(moving_scan), to_sitk(scan), in_itk(path), sitk.sitkLinear, 0.0)).data
    assert (ours != 0).mean() > 0.5
    value_range = float(moving_scan.data.max() - moving_scan.data.min())
    assert np.abs(ours - theirs).mean() < 1e-3 * value_range
    assert np.quantile(np.abs(ours - theirs), 0.99) < 1e-3 * value_range


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_itk_maps_points_by_a_field_as_we_do(suffix, field, points, tmp_path):
    write_transform(field, tmp_path / f"a{suffix}")
    atol = 1e-4
    np.testing.assert_allclose(itk_points(in_itk(tmp_path / f"a{suffix}"), points), field.map_points(points), atol=atol)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat", ".h5"])
def test_itk_maps_points_by_an_affine_as_we_do(suffix, affine, points, tmp_path):
    write_transform(affine, tmp_path / f"a{suffix}")
    theirs = itk_points(in_itk(tmp_path / f"a{suffix}"), points)
    np.testing.assert_allclose(theirs, affine.map_points(points), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reverse", [False, True])
def test_chains_keep_their_order(reverse, affine, field, points, tmp_path):
    chain = affine.then(field) if reverse else field.then(affine)
    write_transform(chain, tmp_path / "a.h5")
    np.testing.assert_allclose(itk_points(in_itk(tmp_path / "a.h5"), points), chain.map_points(points), atol=1e-4)
    back = read_transform(tmp_path / "a.h5")
    assert [type(part) for part in back.parts] == [type(part) for part in chain.parts]
    np.testing.assert_allclose(back.map_points(points), chain.map_points(points), atol=1e-4)


@pytest.mark.parametrize("suffix", [*FIELDS, ".h5"])
def test_field_round_trip(suffix, field, tmp_path):
    write_transform(field, tmp_path / f"a{suffix}")
    back = read_transform(tmp_path / f"a{suffix}")
    assert isinstance(back, DisplacementField)
    assert back.grid.same_space(field.grid, tolerance=1e-4)
    atol = 1e-5
    np.testing.assert_allclose(back.data, field.data, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat", ".h5"])
def test_affine_round_trip(suffix, affine, tmp_path):
    write_transform(affine, tmp_path / f"a{suffix}")
    back = read_transform(tmp_path / f"a{suffix}")
    assert isinstance(back, Affine)
    np.testing.assert_allclose(back.matrix, affine.matrix, rtol=1e-12, atol=1e-12)


def test_nested_chains_are_written_flat(affine, field, points, tmp_path):
    nested = Composite((Composite((affine, field)), Composite((affine,))))
    write_transform(nested, tmp_path / "a.h5")
    np.testing.assert_allclose(
        read_transform(tmp_path / "a.h5").map_points(points), nested.map_points(points), atol=1e-4
    )


def test_nifti_header_says_what_it_holds(chain, grid, tmp_path):
    write_transform(chain, tmp_path / "a.nii.gz", reference=grid)
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert int(header["intent_code"]) == 1007
    assert header.get_data_shape() == (*grid.shape, *[1] * (4 - grid.ndim), grid.ndim)
    assert header.get_data_dtype() == np.float32
    assert b"LPS mm" in header["descrip"].item()


def test_one_file_holds_the_whole_chain(chain, grid, points, tmp_path):
    """At voxel centres, where a field is not interpolated."""
    write_transform(chain, tmp_path / "a.nii.gz", reference=grid)
    centres = grid.index_to_world(np.round(grid.world_to_index(points)))
    np.testing.assert_allclose(
        read_transform(tmp_path / "a.nii.gz").map_points(centres), chain.map_points(centres), atol=1e-3
    )


def test_grid_is_asked_for_where_there_is_none(affine, field, tmp_path):
    for transform in (affine, affine.then(field), field.then(field)):
        with pytest.raises(TransformError, match="reference"):
            write_transform(transform, tmp_path / "a.nii.gz")
    write_transform(field.then(affine), tmp_path / "a.nii.gz")  # its only field comes first
    assert read_transform(tmp_path / "a.nii.gz").grid.same_space(field.grid)


@pytest.mark.parametrize(
    "make",
    [
        lambda: sitk.Euler3DTransform((5, 6, 7), 0.1, 0.2, 0.3, (1, 2, 3)),
        lambda: sitk.VersorRigid3DTransform((0, 0, 1), 0.3, (1, 2, 3), (5, 6, 7)),
        lambda: sitk.Similarity3DTransform(1.2, (0, 0, 1), 0.3, (1, 2, 3), (5, 6, 7)),
        lambda: sitk.AffineTransform([1, 0.1, 0, 0.2, 1, 0, 0, 0, 1.1], (1, 2, 3), (5, 6, 7)),
        lambda: sitk.TranslationTransform(3, (1, 2, 3)),
        lambda: sitk.ScaleTransform(3, (1.1, 0.9, 1.2)),
        lambda: sitk.Transform(3, sitk.sitkIdentity),
        lambda: sitk.Euler2DTransform((5, 6), 0.3, (1, 2)),
        lambda: sitk.Similarity2DTransform(1.2, 0.3, (1, 2), (5, 6)),
    ],
)
@pytest.mark.parametrize("suffix", [".tfm", ".h5", ".mat"])
def test_linear_transforms_of_itk(make, suffix, rng, tmp_path):
    itk = make()
    sitk.WriteTransform(itk, str(tmp_path / f"a{suffix}"))
    ours = read_transform(tmp_path / f"a{suffix}")
    assert isinstance(ours, Affine)
    points = rng.uniform(-100, 100, size=(10, itk.GetDimension()))
    np.testing.assert_allclose(ours.map_points(points), itk_points(itk, points), rtol=1e-10, atol=1e-10)


def test_chain_of_linear_transforms_of_itk(rng, tmp_path):
    inner = sitk.CompositeTransform(
        [sitk.Euler3DTransform((5, 6, 7), 0.1, 0.2, 0.3), sitk.ScaleTransform(3, (2, 1, 1))]
    )
    inner.AddTransform(sitk.TranslationTransform(3, (1, 2, 3)))
    sitk.WriteTransform(inner, str(tmp_path / "a.tfm"))
    ours = read_transform(tmp_path / "a.tfm")
    assert isinstance(ours, Affine)
    points = rng.uniform(-100, 100, size=(10, 3))
    np.testing.assert_allclose(ours.map_points(points), itk_points(inner, points), rtol=1e-10, atol=1e-10)
    write_transform(ours.then(ours.inverse()).then(ours), tmp_path / "b.tfm")
    np.testing.assert_allclose(itk_points(in_itk(tmp_path / "b.tfm"), points), itk_points(inner, points), atol=1e-10)


def test_affine_of_ants(tmp_path):
    (tmp_path / "a.txt").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 1 0 0 0 1 0 0 0 1 1 2 3\nFixedParameters: 0 0 0\n"
    )
    np.testing.assert_allclose(read_transform(tmp_path / "a.txt").map_points([[0, 0, 0]]), [[-1, -2, 3]])


def test_b_splines_become_a_field(grid, scan, points, rng, tmp_path):
    spline = sitk.BSplineTransformInitializer(to_sitk(scan), [3] * grid.ndim)
    spline.SetParameters(rng.uniform(-2, 2, size=len(spline.GetParameters())).tolist())
    chain = sitk.CompositeTransform([sitk.TranslationTransform(grid.ndim, [1.0] * grid.ndim), spline])
    sitk.WriteTransform(chain, str(tmp_path / "a.h5"))
    ours = read_transform(tmp_path / "a.h5", fixed=grid)
    assert ours.grid == grid
    centres = grid.index_to_world(np.round(grid.world_to_index(points)))
    np.testing.assert_allclose(ours.map_points(centres), itk_points(chain, centres), atol=1e-4)
    with pytest.raises(TransformError, match=r"BSplineTransform.*reference"):
        read_transform(tmp_path / "a.h5")


@pytest.mark.parametrize("code", [1006, 1007])
def test_intents_of_nifti(code, tmp_path):
    """1007: LPS, as stored; 1006: RAS."""
    vectors = np.zeros((5, 6, 7, 1, 3), np.float32) + np.array([1, 2, 3], np.float32)
    image = nibabel.Nifti1Image(vectors, np.diag([2.0, 2, 2, 1]))
    image.header.set_intent(code)
    nibabel.save(image, tmp_path / "a.nii.gz")
    moved = read_transform(tmp_path / "a.nii.gz").map_points([[4, 4, 4]])
    np.testing.assert_allclose(moved, [[5, 6, 7]] if code == 1006 else [[3, 2, 7]], atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 6, 7, 3), (5, 6, 7, 1, 3), (5, 6, 2), (5, 6, 7)])
def test_vectors_without_an_intent_are_not_guessed(shape, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "disp_0001_0002.nii.gz")
    with pytest.raises(TransformError, match="learn2reg:FILE; learngn convert: --from learn2reg, with both scans"):
        read_transform(tmp_path / "disp_0001_0002.nii.gz")


def test_a_number_of_components_that_is_not_the_dimension(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkVectorFloat32, 2), tmp_path / "a.mha")
    with pytest.raises(TransformError, match="2 components in 3D"):
        read_transform(tmp_path / "a.mha")


def test_nan_in_a_field(tmp_path):
    image = sitk.GetImageFromArray(np.full((3, 4, 5, 3), np.nan, np.float32), isVector=True)
    sitk.WriteImage(image, tmp_path / "a.mha")
    with pytest.raises(TransformError, match="NaN"):
        read_transform(tmp_path / "a.mha")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.h5", None, "no such file"),
        ("missing.nii.gz", None, "no such file"),
        ("empty.tfm", "", "empty file"),
        ("text.tfm", "hello", "cannot read"),
        ("text.h5", "hello", "cannot read"),
        ("text.mat", "hello", "cannot read"),
        ("text.nii.gz", "hello " * 100, "not compressed by gzip"),
        ("text.npz", "hello", "cannot read"),
        ("text.xyz", "hello", "suffix"),
    ],
)
def test_what_is_no_transform(name, content, message, tmp_path, capfd):
    if content is not None:
        (tmp_path / name).write_text(content)
    grid = Grid.from_spacing((4, 5, 6))
    with pytest.raises(TransformError, match=message) as raised:
        read_transform(tmp_path / name, fixed=grid)
    assert name in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat"])
def test_fields_in_text_files_are_refused(suffix, field, tmp_path):
    with pytest.raises(OutputError, match=r"write \.h5 instead"):
        write_transform(field, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat"])
def test_a_chain_of_affine_maps_is_one(suffix, affine, points, tmp_path):
    chain = affine.then(Affine(np.diag([1.1, *[1.0] * affine.ndim]))).then(affine.inverse())
    write_transform(chain, tmp_path / f"a{suffix}")
    assert in_itk(tmp_path / f"a{suffix}").GetName() == "AffineTransform"
    np.testing.assert_allclose(read_transform(tmp_path / f"a{suffix}").map_points(points), chain.map_points(points))


def test_unknown_suffix(affine, tmp_path):
    with pytest.raises(OutputError, match="suffix"):
        write_transform(affine, tmp_path / "a.xyz")


def test_another_dimension(affine, grid, tmp_path):
    other = Grid.from_spacing((4, 5) if grid.ndim == 3 else (4, 5, 6))
    with pytest.raises(TransformError, match=r"[23]D"):
        write_transform(affine, tmp_path / "a.nii.gz", reference=other)


def test_saving_a_transform(chain, grid, tmp_path):
    chain.save(tmp_path / "a.nii.gz", reference=grid)
    assert os.listdir(tmp_path) == ["a.nii.gz"]
