"""Our transform, applied by another library to the same moving image, gives the same warped image."""

import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, Grid
from learngn.errors import TransformError
from learngn.interop import field_from_monai, field_to_monai, field_to_simpleitk, to_monai, to_simpleitk
from learngn.io import write_transform


def close(theirs, ours, inside, tolerance):
    """Where all agree that the moving image ends, and that is most of it."""
    assert inside.mean() > 0.5
    np.testing.assert_allclose(np.asarray(theirs)[inside], ours[inside], atol=tolerance)


def interior(transform, fixed, moving, margin=0.01):
    """Voxels whose place in the moving image lies between its voxels' centres."""
    index = np.indices(fixed.grid.shape) + transform.on(fixed.grid).displacement(moving.grid)[0]
    last = np.array(moving.grid.shape).reshape(3, 1, 1, 1) - 1
    return ((index > margin) & (index < last - margin)).all(axis=0)


def test_simpleitk(fixed, moving, transform):
    field = field_to_simpleitk(transform, fixed.grid)
    assert isinstance(field, sitk.DisplacementFieldTransform)
    theirs = sitk.Resample(to_simpleitk(moving), to_simpleitk(fixed), field, sitk.sitkLinear, 0.0)
    ours = transform.warp(moving, fixed.grid).data[0, 0]
    close(sitk.GetArrayFromImage(theirs).T, ours, interior(transform, fixed, moving, -0.49), 1e-3)


def test_warp_of_monai(fixed, moving, transform):
    blocks = pytest.importorskip("monai.networks.blocks")
    field = field_to_monai(transform, fixed.grid, moving.grid)
    with pytest.warns(UserWarning, match="native grid_sample"):
        warp = blocks.Warp(mode="bilinear", padding_mode="border")
    theirs = warp(to_monai(moving)[None], field[None]).as_tensor()
    ours = transform.warp(moving, fixed.grid, background="border")
    np.testing.assert_allclose(theirs, ours.data, atol=5e-3, rtol=0)
    np.testing.assert_allclose(field.affine, fixed.grid.affine)

    back = field_from_monai(field, fixed.grid, moving.grid)
    points = fixed.grid.index_to_world(np.random.default_rng(0).uniform(2, 12, (50, 3)))
    np.testing.assert_allclose(back.map_points(points), transform.map_points(points), atol=1e-3)
    np.testing.assert_allclose(back.warp(moving, fixed.grid, background="border").data, ours.data, atol=5e-3, rtol=0)


def test_warp_of_monai_knows_one_shape_alone(fixed, transform):
    pytest.importorskip("monai")
    with pytest.raises(TransformError, match="one shape"):
        field_to_monai(transform, fixed.grid, Grid.from_spacing((5, 6, 7)))


@pytest.fixture
def written(fixed, moving, transform, tmp_path):
    """The three files that a registration's folder has, for tools that start from files."""
    for name, image in (("fixed", fixed), ("moving", moving)):
        image.save(tmp_path / f"{name}.nii.gz")
    write_transform(transform, tmp_path / "displacement.nii.gz", reference=fixed.grid)
    return {name: str(tmp_path / f"{name}.nii.gz") for name in ("fixed", "moving", "displacement")}


@pytest.mark.filterwarnings("ignore")  # of other programs, about themselves
def test_ants_reads_what_we_write(written, fixed, moving, transform):
    ants = pytest.importorskip("ants", reason="pip install 'learngn[interop]'")
    theirs = ants.apply_transforms(
        ants.image_read(written["fixed"]),
        ants.image_read(written["moving"]),
        [written["displacement"]],
        interpolator="linear",
    )
    ours = transform.warp(moving, fixed.grid).data[0, 0]
    close(theirs.numpy(), ours, interior(transform, fixed, moving, -0.49), 1e-3)


@pytest.mark.filterwarnings("ignore")
def test_nitransforms_reads_what_we_write(written, fixed, moving, transform):
    nonlinear = pytest.importorskip("nitransforms.nonlinear", reason="pip install 'learngn[interop]'")
    resampling = pytest.importorskip("nitransforms.resampling")
    import nibabel

    field = nonlinear.DenseFieldTransform.from_filename(written["displacement"], fmt="itk")
    theirs = resampling.apply(field, nibabel.load(written["moving"]), reference=written["fixed"], order=1)
    ours = transform.warp(moving, fixed.grid).data[0, 0]
    close(theirs.get_fdata(), ours, interior(transform, fixed, moving), 1e-2)


def test_the_test_itself_sees_a_wrong_convention(fixed, moving, transform):
    """The field has something to say in every direction: with one component turned round, the images differ."""
    ours = transform.warp(moving, fixed.grid).data
    for axis in range(3):
        flip = np.diag([-1.0 if n == axis else 1.0 for n in range(3)])
        matrix = np.eye(4)
        matrix[:3, :3] = flip
        turned = Affine(matrix).inverse().then(transform).then(Affine(matrix))
        assert np.abs(turned.warp(moving, fixed.grid).data - ours).max() > 10
