"""X5, the format of BIDS: what nitransforms reads of what is written, and the other way round."""

import numpy as np
import pytest

from learngn import Grid
from learngn.errors import OutputError, TransformError
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.io import read_transform, write_transform

linear = pytest.importorskip("nitransforms.linear", reason="pip install 'learngn[transforms]'")
manip = pytest.importorskip("nitransforms.manip")
nonlinear = pytest.importorskip("nitransforms.nonlinear")

TURN = np.array([[0.98, -0.19, 0.06, 4], [0.2, 0.97, -0.1, -3], [-0.04, 0.11, 0.99, 2], [0, 0, 0, 1]])
ORIENTATIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1, 1]),
    "SRA": np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "oblique": np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]]),
}


def field(codes="oblique"):
    grid = Grid.from_spacing((9, 8, 7), (2.0, 1.5, 3.0), direction=ORIENTATIONS[codes])
    return DisplacementField(np.random.default_rng(0).normal(0, 1, (1, 3, *grid.shape)).astype(np.float32), grid)


def voxels(of):
    return of.grid.index_to_world(np.moveaxis(np.indices(of.grid.shape), 0, -1).reshape(-1, 3))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_nitransforms_maps_points_as_we_do(codes, tmp_path):
    dense = field(codes)
    points, path = voxels(dense), tmp_path / "a.x5"
    write_transform(dense, path)
    theirs = nonlinear.DenseFieldTransform.from_filename(str(path))
    np.testing.assert_allclose(theirs.map(points), dense.map_points(points), atol=1e-4)
    chain = Composite((dense, Affine(TURN)))
    write_transform(chain, path)
    theirs = manip.TransformChain.from_filename(str(path))
    np.testing.assert_allclose(theirs.map(points), chain.map_points(points), atol=1e-4)
    write_transform(Affine(TURN), path, reference=dense.grid)
    theirs = linear.Affine.from_filename(str(path), fmt="X5")
    np.testing.assert_allclose(theirs.map(points), Affine(TURN).map_points(points), atol=1e-5)


@pytest.mark.parametrize(
    "transform", [Affine(TURN), field(), Composite((field(), Affine(TURN), field("LPS")))], ids=repr
)
def test_round_trip(transform, tmp_path):
    write_transform(transform, tmp_path / "a.x5")
    points = voxels(field())
    np.testing.assert_allclose(
        read_transform(tmp_path / "a.x5").map_points(points), transform.map_points(points), atol=1e-4
    )


def test_positions_instead_of_displacements(tmp_path):
    """nitransforms also writes the positions themselves."""
    dense = field()
    positions = dense.map_points(voxels(dense)).reshape(*dense.grid.shape, 3)
    reference = nibabel_image(dense.grid)
    theirs = nonlinear.DenseFieldTransform(positions, is_deltas=False, reference=reference)
    from nitransforms.io.x5 import to_filename

    to_filename(tmp_path / "a.x5", [theirs.to_x5()])
    np.testing.assert_allclose(read_transform(tmp_path / "a.x5").data, dense.data, atol=1e-4)


def nibabel_image(grid):
    import nibabel

    return nibabel.Nifti1Image(np.zeros(grid.shape, np.uint8), grid.affine)


def test_errors(tmp_path):
    path = tmp_path / "a.x5"
    with pytest.raises(OutputError, match="a 2D transform, expected a 3D one"):
        write_transform(Affine(np.eye(3)), path)
    assert not path.exists()
    path.write_text("hello")
    with pytest.raises(TransformError, match="nitransforms cannot read"):
        read_transform(path)
    with pytest.raises(TransformError, match="no such file"):
        read_transform(tmp_path / "b.x5")
    from nitransforms.io.x5 import to_filename

    to_filename(path, [linear.Affine(TURN, reference=nibabel_image(field().grid)).to_x5()] * 2)
    with pytest.raises(TransformError, match="2 transforms, expected one, or a chain"):
        read_transform(path)
    spline = nonlinear.DenseFieldTransform(
        np.zeros((4, 4, 4, 3)), reference=nibabel_image(Grid.from_spacing((4, 4, 4)))
    )
    node = spline.to_x5()
    node.subtype = "bspline"
    to_filename(path, [node])
    with pytest.raises(TransformError, match="bspline"):
        read_transform(path)


def test_without_nitransforms(tmp_path, monkeypatch):
    import learngn.errors

    monkeypatch.setattr(learngn.errors, "find_spec", lambda name: None)
    with pytest.raises(learngn.errors.MissingPackageError, match=r"pip install 'learngn\[transforms\]'"):
        write_transform(Affine(TURN), tmp_path / "a.x5")
