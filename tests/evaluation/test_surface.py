from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import scipy
from surface_distance import lookup_tables

from learngn.errors import ShapeError
from learngn.evaluation.surface import hd95


def slow_hd95(fixed: np.ndarray, warped: np.ndarray, label: int, spacing: np.ndarray) -> float:
    """The published definition in loops: every lattice corner, every distance."""
    ndim = fixed.ndim
    table = (
        lookup_tables.create_table_neighbour_code_to_contour_length(spacing)
        if ndim == 2
        else lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    )

    def surface(labelled: np.ndarray) -> list[tuple[np.ndarray, float]]:
        points = []
        for corner in np.ndindex(*[n + 1 for n in labelled.shape]):
            bits = ""
            for offset in np.ndindex(*[2] * ndim):
                voxel = tuple(c + o - 1 for c, o in zip(corner, offset, strict=True))
                within = all(0 <= v < n for v, n in zip(voxel, labelled.shape, strict=True))
                bits += str(int(within and labelled[voxel] == label))
            if 0 < int(bits, 2) < 2**2**ndim - 1:
                points.append((np.array(corner) * spacing, table[int(bits, 2)]))
        return points

    def directed(source: list, target: list) -> float:
        found = sorted((min(np.linalg.norm(p - q) for q, _ in target), area) for p, area in source)
        total, running = sum(area for _, area in found), 0.0
        for distance, area in found:
            running += area
            if running / total >= 0.95:
                return float(distance)
        return float(found[-1][0])

    a, b = surface(fixed), surface(warped)
    return max(directed(a, b), directed(b, a))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((7, 6, 5), (1, 1, 1)), ((6, 5, 7), (0.7, 2.0, 1.3)), ((13, 11), (1, 1)), ((12, 9), (2.5, 0.8))],
)
def test_agrees_with_a_slow_implementation(shape, spacing):
    rng = np.random.default_rng(len(shape))
    fixed, warped = (rng.random((2, *shape)) < 0.25).astype(np.uint8) * 3
    expected = slow_hd95(fixed, warped, 3, np.array(spacing, dtype=float))
    assert hd95(fixed, warped, [3], spacing)[3] == pytest.approx(expected, rel=1e-12 if set(spacing) == {1} else 1e-6)


@pytest.mark.skipif(not hasattr(scipy.ndimage, "morphology"), reason="the original needs an older SciPy")
@pytest.mark.parametrize("shape", [(40, 36, 30), (64, 70)])
def test_agrees_with_the_original_on_smooth_shapes(shape):
    import surface_distance

    rng = np.random.default_rng(5)
    labels = []
    for _ in range(2):
        score = np.stack([scipy.ndimage.gaussian_filter(rng.normal(size=shape), 4) for _ in range(4)])
        labels.append(score.argmax(axis=0).astype(np.int16))
    fixed, warped = labels
    found = hd95(fixed, warped, [1, 2, 3])
    for label in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            distances = surface_distance.compute_surface_distances(fixed == label, warped == label, np.ones(len(shape)))
        assert found[label] == surface_distance.compute_robust_hausdorff(distances, 95.0)


@pytest.mark.parametrize("shape", [(90, 80), (50, 60, 40)], ids=str)
def test_whole_voxels_and_voxels_of_any_size_are_measured_alike(shape):
    """The one by a distance transform, the other by a search tree: the same number to the last bit but the unit's."""
    rng = np.random.default_rng(6)
    fixed, warped = (scipy.ndimage.gaussian_filter(rng.normal(size=(2, *shape)), (0, *[3] * len(shape))) > 0.02).astype(
        np.uint8
    )
    found = hd95(fixed, warped, [1])[1]
    assert found > 2
    assert hd95(fixed, warped, [1], [2.0] * len(shape))[1] == 2 * found


@pytest.mark.parametrize("ndim", [2, 3])
def test_translated_cube(ndim):
    fixed, warped = np.zeros((2, *[30] * ndim), dtype=np.uint8)
    fixed[(slice(5, 15), *[slice(5, 15)] * (ndim - 1))] = 1
    warped[(slice(9, 19), *[slice(5, 15)] * (ndim - 1))] = 1
    # A whole face of the cube is moved: more than 5 % of the surface lies at the full distance.
    assert hd95(fixed, warped, [1])[1] == 4
    assert hd95(fixed, warped, [1], [2.5] + [1] * (ndim - 1))[1] == 10
    assert hd95(fixed, fixed, [1])[1] == 0


def test_labels_that_are_missing():
    fixed, warped = np.zeros((2, 8, 8, 8), dtype=np.uint8)
    fixed[2:4, 2:4, 2:4] = 1
    scores = hd95(fixed, warped, [1, 2])
    assert scores[1] == np.inf
    assert np.isnan(scores[2])


def test_labels_touching_the_border_end_there():
    fixed, warped = np.zeros((2, 10, 10), dtype=np.uint8)
    fixed[:6], warped[:8] = 1, 1
    assert hd95(fixed, warped, [1])[1] == 2


def test_bad_input():
    with pytest.raises(ShapeError, match="fixed grid"):
        hd95(np.zeros((3, 3), dtype=int), np.zeros((3, 4), dtype=int), [1])
    with pytest.raises(ShapeError, match="voxel size"):
        hd95(np.zeros((3, 3), dtype=int), np.zeros((3, 3), dtype=int), [1], [1.0, 1.0, 1.0])


def test_thirteen_organs_in_seconds():
    shape = (192, 160, 128)
    axes = np.indices(shape, sparse=True)
    fixed, warped = np.zeros((2, *shape), dtype=np.uint8)
    for organ in range(13):
        centre = 30 + 10 * organ, 40 + 6 * organ, 30 + 5 * organ
        for labelled, shift in ((fixed, 0), (warped, 3)):
            distance = sum((a - c - shift) ** 2 for a, c in zip(axes, centre, strict=True))
            labelled[distance < (12 + organ) ** 2] = organ + 1
    started = time.perf_counter()
    assert len(hd95(fixed, warped, range(1, 14))) == 13
    assert time.perf_counter() - started < 6
