"""Label maps on the grid of their scan: exactly, where the voxels coincide; else the message says what differs."""

import itertools

import numpy as np
import pytest
import torch

from learngn import Grid, Image
from learngn.errors import HeaderWarning, LabelError
from learngn.io import labels_on

TURN = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])
GRID = Grid.from_spacing((9, 8, 7), (0.9, 1.2, 2.5), (-30, 40, -512.25), TURN)
VALUES = np.random.default_rng(0).integers(0, 5, (1, 1, *GRID.shape)).astype(np.uint8)


def seen_from(axes, flips):
    """The label map with its axes in another order and direction, at the same places in the world."""
    data = np.flip(VALUES.transpose(0, 1, *(2 + a for a in axes)), [2 + n for n, flip in enumerate(flips) if flip])
    to_scan = np.zeros((4, 4))
    to_scan[3, 3] = 1
    for n, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        to_scan[axis, n] = -1 if flip else 1
        to_scan[axis, 3] = GRID.shape[axis] - 1 if flip else 0
    return Image(data.copy(), Grid(tuple(data.shape[2:]), GRID.affine @ to_scan), labels=True)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_other_axes(axes, flips):
    found = labels_on(seen_from(axes, flips), GRID, "labels")
    assert found.grid == GRID
    assert found.labels
    assert np.array_equal(found.data, VALUES)
    assert found.data.dtype == np.uint8


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(False,) * 3, (True, False, True)])
def test_cropped_and_larger(axes, flips):
    whole = seen_from(axes, flips)
    low, high = (1, 2, 0), tuple(n - 1 for n in whole.grid.shape)
    data = whole.data[:, :, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    shift = np.eye(4)
    shift[:3, 3] = low
    cropped = Image(data.copy(), Grid(tuple(data.shape[2:]), whole.grid.affine @ shift), labels=True)
    box = np.zeros_like(whole.data)
    box[:, :, low[0] : high[0], low[1] : high[1], low[2] : high[2]] = data
    expected = labels_on(Image(box, whole.grid, labels=True), GRID, "labels").data
    assert np.array_equal(labels_on(cropped, GRID, "labels").data, expected)
    larger = np.pad(whole.data, ((0, 0), (0, 0), (2, 1), (3, 0), (1, 2)), constant_values=9)
    shift[:3, 3] = -2, -3, -1
    image = Image(larger, Grid(tuple(larger.shape[2:]), whole.grid.affine @ shift), labels=True)
    with pytest.warns(HeaderWarning, match=r"labels \(image\): \d+% of the labelled voxels lie beyond the scan"):
        assert np.array_equal(labels_on(image, GRID, "labels").data, VALUES)
    image = Image(np.where(larger != 9, larger, 0), image.grid, labels=True)
    assert np.array_equal(labels_on(image, GRID, "labels").data, VALUES)


def test_rounded_headers_are_taken_on_the_grid_of_the_scan():
    affine = GRID.affine.copy()
    affine[:3, 0] *= 1.005
    affine[:3, 3] += 0.02
    image = Image(VALUES, Grid(GRID.shape, affine), labels=True)
    found = labels_on(image, GRID, "labels")
    assert found.grid == GRID
    assert np.array_equal(found.data, VALUES)
    assert labels_on(found, GRID, "labels") is found


def test_tensors_stay_tensors():
    image = seen_from((2, 0, 1), (True, False, True))
    found = labels_on(Image(torch.as_tensor(image.data), image.grid, labels=True), GRID, "labels")
    assert torch.equal(found.data, torch.as_tensor(VALUES))


def test_planes():
    grid = Grid.from_spacing((5, 4), 1.0, (0, 0))
    values = np.arange(20, dtype=np.uint8).reshape(1, 1, 5, 4)
    image = Image(values[:, :, ::-1], Grid((5, 4), np.array([[-1.0, 0, 4], [0, 1, 0], [0, 0, 1]])), labels=True)
    assert np.array_equal(labels_on(image, grid, "labels").data, values)


def grid_of(spacing=(0.9, 1.2, 2.5), shift=(0, 0, 0), angle=0.0, shape=GRID.shape):
    a, b = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = TURN @ np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]])
    return Grid.from_spacing(shape, spacing, GRID.index_to_world([shift])[0], turn)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (grid_of(shift=(0.5, 0, 0)), r"a first voxel at index 0\.50, 0\.00, 0\.00 of the scan"),
        (
            grid_of(shift=(2, 0, -1)),
            r"\d+ of \d+ labelled voxels within the scan: a first voxel at index 2\.00, 0\.00, -1",
        ),
        (grid_of(shift=(2.04, 0, 0)), r"a first voxel at index 2\.04"),
        (grid_of(shift=(40.96, 0, -3)), r"a first voxel at index 40\.96, 0\.00, -3\.00 of the scan"),
        (grid_of(spacing=(1.8, 1.2, 2.5)), r"voxels of 1\.8x1\.2x2\.5 mm instead of 0\.9x1\.2x2\.5 mm"),
        (grid_of(spacing=(0.9, 1.2, 2.4)), r"voxels of 0\.9x1\.2x2\.4 mm instead of"),
        (grid_of(angle=5), r"axes turned by 5 degrees"),
        (grid_of(shift=(30, 0, 0)), r"0 of \d+ labelled voxels within the scan: a first voxel at index 30\.00"),
        (grid_of(shift=(0, 0, -20)), r"0 of"),
        (Grid.from_spacing((9, 8), 1.0), r"a 2D map"),
    ],
)
def test_other_grids_are_refused_for_what_differs(grid, message):
    data = VALUES[:, :, :, :, 0] if grid.ndim == 2 else VALUES
    with pytest.raises(LabelError, match=message) as raised:
        labels_on(Image(data, grid, labels=True), GRID, "labels of the fixed scan")
    assert "labels of the fixed scan" in str(raised.value)
    if "labelled" not in str(raised.value):
        assert "learngn apply LABELS --identity --labels --reference SCAN" in str(raised.value)
