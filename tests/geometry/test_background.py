"""Background of scans of every kind: what lies outside a warped scan."""

import numpy as np
import pytest

from learngn import Affine, Grid, Image
from learngn.errors import LabelError, SettingsError
from learngn.geometry.background import background_of

GRID = Grid.from_spacing((24, 22, 20), 2.0)


def body(inner, outer, noise=0.0, *, through=False):
    """A ball of one value in another; `through`: a cylinder that reaches the first and the last slice."""
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij"))
    if through:
        x = x[:2]
    inside = (x**2).sum(axis=0) < 0.6
    values = np.where(inside, inner, outer) + noise * np.random.default_rng(0).standard_normal(GRID.shape)
    return values.astype(np.float32)


def padded_ct():
    values = body(40, -1000, 8, through=True)
    values[:3] = values[-3:] = -3024
    return values


KINDS = {
    "CT": (body(40, -1000, 8, through=True), -1000, 3),
    "CT with air of -1024": (body(40, -1024), -1024, 0),
    "CT whose field of view is padded": (padded_ct(), -1000, 3),
    "CT cut off at -500": (np.maximum(body(40, -1000), -500), -500, 0),
    "CT of soft tissue, cut off at -160": (np.maximum(body(40, -1000), -160), -160, 0),
    "CT with a border within the body": (np.maximum(body(-850, 40), -850), -850, 0),
    "MR, nothing is 0": (body(500, 0), 0, 0),
    "MR with noise": (np.abs(body(500, 0, 6)) - np.abs(body(500, 0, 6)).min(), 0, 0),
    "MR that starts above 0": (body(500, 12, 0), 12, 0),
    "MR cropped into the head": (np.clip(body(3, 300, 60), 0, None), 0, 0),
    "MR standardised": (body(2.5, -0.7), -0.7, 1e-6),
    "MR standardised within a mask": (body(2.5, 0) + body(-1.0, 0) * (np.arange(20) > 9), 0, 0),
    "section in bright field": (body(120, 245), 245, 0),
    "difference": (body(0, 0, 1.0) * (body(1, 0) > 0.5), 0, 0),
    "constant zero": (np.zeros(GRID.shape), 0, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_background_of(kind):
    values, expected, tolerance = KINDS[kind]
    assert background_of(Image.from_array(values, GRID)) == pytest.approx(expected, abs=tolerance)


def test_thick_slices_of_a_body_that_fills_the_first_and_the_last():
    grid = Grid.from_spacing((40, 36, 3), (2, 2, 9.0))
    values = np.full(grid.shape, -0.5)
    values[3:-3, 3:-3] = 2.0
    assert background_of(Image.from_array(values, grid)) == -0.5


def test_planes_values_that_are_not_finite_and_label_maps():
    plane = Grid.from_spacing((24, 22), 2.0)
    values = body(120, 245)[..., 10]
    assert background_of(Image.from_array(values, plane)) == 245
    values = body(40, -1000)
    values[0, :3] = np.nan
    assert background_of(Image.from_array(values, GRID)) == -1000
    assert background_of(Image.from_array(np.full(GRID.shape, np.nan), GRID)) == 0
    labels = Image.from_array(np.full(GRID.shape, 3, np.uint8), GRID, labels=True)
    assert background_of(labels) == 0


def shifted(image, **options):
    """The scan moved by 9 voxels along the first axis: the last ones come from outside of it."""
    matrix = np.eye(4)
    matrix[0, 3] = 18.0
    return Affine(matrix).warp(image, image.grid, **options)


def test_outside_of_a_warped_scan_is_its_background():
    ct = Image.from_array(body(40, -1000), GRID)
    assert (shifted(ct).data[0, 0, -8:] == -1000).all()
    assert (shifted(ct, background=-2000.0).data[0, 0, -8:] == -2000).all()
    assert (shifted(ct, background=0.0).data[0, 0, -8:] == 0).all()
    border = shifted(ct, background="border").data[0, 0]
    assert (border[-8:] == ct.data[0, 0, -1:]).all()
    for interpolation in ("nearest", "bspline"):
        assert (shifted(ct, interpolation=interpolation).data[0, 0, -8:] == -1000).all()


def test_integer_type_of_the_file_is_kept_unless_the_background_needs_more():
    image = Image.from_array(body(200, 0), GRID)
    assert shifted(image).stored is None
    image = Image(image.data, GRID, stored="uint8")
    assert shifted(image).stored == "uint8"
    assert shifted(image, background=-1.0).stored == "int16"
    assert shifted(image, background=0.5).stored is None
    assert shifted(image, background=float("nan")).stored is None


def test_label_maps_are_not_interpolated():
    labels = Image.from_array((body(3, 0) > 1).astype(np.uint8) * 3, GRID, labels=True)
    assert shifted(labels).label_values == [3]
    for interpolation in ("linear", "bspline"):
        with pytest.raises(LabelError, match=f"the interpolation {interpolation}"):
            shifted(labels, interpolation=interpolation)
    scan = Image.from_array(body(40, 0), GRID)
    with pytest.raises(SettingsError, match="'cubic', expected one of linear, nearest, bspline"):
        shifted(scan, interpolation="cubic")
    with pytest.raises(SettingsError, match="'border' with the interpolation nearest"):
        shifted(scan, interpolation="nearest", background="border")
