"""Filters against SciPy, NumPy and scikit-image; corners, vessels and local contrast where they are known."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import feature as skfeature
from skimage import filters as skfilters

from learngn.features import (
    Corners,
    EdgeStrength,
    LocalIntensity,
    Mind,
    MindCentre,
    MindScales,
    NormalisedGradient,
    Vesselness,
    parse_features,
)
from learngn.features.corners import distinctiveness
from learngn.features.filters import eigenvalues, gaussian, gradient, hessian
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.kernels.stencils import full_blocks


def field(shape, spacing=1.0):
    """Coordinates in mm, each (1, 1, *S) in float64, and their grid."""
    grid = Grid.from_spacing(shape, spacing)
    axes = [s * (np.arange(n) - (n - 1) / 2) for n, s in zip(shape, grid.spacing, strict=True)]
    return [x[None, None] for x in np.meshgrid(*axes, indexing="ij")], grid


def image(data, grid):
    return Image(data.astype(np.float32), grid)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "spacing"), [((15, 12), (1.0, 0.5)), ((11, 1, 9), (1.0, 2.0, 3.0))], ids=str)
def test_gaussian_is_scipys(rng, shape, spacing, dtype):
    data = rng.normal(size=(1, 2, *shape)).astype(dtype)
    found = gaussian(data, Grid.from_spacing(shape, spacing), 1.5)
    for channel in (0, 1):
        sigma = 1.5 / np.array(spacing)
        expected = ndimage.gaussian_filter(data[0, channel].astype(float), sigma, mode="nearest", truncate=3.5)
        np.testing.assert_allclose(found[0, channel], expected, atol=1e-6 if dtype == "float32" else 1e-12)
    assert found.dtype == dtype


@pytest.mark.parametrize("spacing", [1.0, (0.5, 1.0, 4.0)], ids=str)
def test_derivatives_of_a_quadratic_are_exact(spacing):
    (x, y, z), grid = field((9, 8, 7), spacing)
    data = 2 * x * x - 3 * x * y + y * z + 0.5 * z * z + x
    inner = (..., *[slice(2, -2)] * 3)
    expected = [4 * x - 3 * y + 1, -3 * x + z, y + z]
    for found, truth in zip(gradient(data, grid)[0], expected, strict=True):
        np.testing.assert_allclose(found[inner], truth[0, 0][inner], atol=1e-9)
    second = [np.full_like(x, v)[0, 0][inner] for v in (4, -3, 0, 0, 1, 1)]
    for found, truth in zip(hessian(data, grid)[0], second, strict=True):
        np.testing.assert_allclose(found[inner], truth, atol=1e-9)


@pytest.mark.parametrize(("ndim", "scale"), [(2, 1.0), (3, 1.0), (3, 1e-6), (3, 1e6)])
def test_eigenvalues_are_lapacks(rng, ndim, scale):
    blocks = scale * rng.normal(size=(2, ndim * (ndim + 1) // 2, 6, 5))
    blocks[0, :, 0, 0] = 0
    blocks[0, :, 1, 0] = scale * np.array([1, 0, 1] if ndim == 2 else [1, 0, 0, 1, 0, 1])  # all equal
    blocks[0, :, 2, 0] = scale * np.array([2, 0, 1] if ndim == 2 else [2, 0, 0, 2, 0, 1])  # two equal
    expected = np.moveaxis(np.linalg.eigvalsh(full_blocks(blocks, ndim)), -1, 1)
    np.testing.assert_allclose(eigenvalues(blocks), expected, atol=1e-7 * scale, rtol=1e-7)
    single = eigenvalues(blocks.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=2e-3 * scale, rtol=0)


def test_distinctiveness_is_that_of_scikit_image(rng):
    data = ndimage.gaussian_filter(rng.normal(size=(24, 22)), 1.5)
    found = distinctiveness(data[None, None], Grid.from_spacing((24, 22)), 2.0)[0, 0]
    w, _ = skfeature.corner_foerstner(data, sigma=2.0)  # its Sobel derivatives smooth a little more
    inner = (slice(4, -4),) * 2
    assert np.corrcoef(found[inner].ravel(), w[inner].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("ndim", [2, 3])
def test_distinctiveness_is_one_over_the_trace_of_the_inverse(rng, ndim):
    shape = (9, 8, 7)[:ndim]
    data, grid = rng.normal(size=(1, 1, *shape)), Grid.from_spacing(shape, (1.0, 2.0, 0.5)[:ndim])
    slope = gradient(data, grid)
    tensor = np.stack([gaussian(slope[:, a : a + 1] * slope[:, b : b + 1], grid, 2.0)
                          for a in range(ndim) for b in range(ndim)], axis=-1)  # fmt: skip
    matrices = tensor.reshape(*tensor.shape[:-1], ndim, ndim)
    expected = 1 / np.linalg.inv(matrices).diagonal(axis1=-2, axis2=-1).sum(-1)
    np.testing.assert_allclose(distinctiveness(data, grid, 2.0), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("spacing", [1.0, (1.0, 1.0, 2.0)], ids=str)
def test_corner_of_a_box_is_distinct_its_edges_are_not(spacing):
    (x, y, z), grid = field((25, 25, 25), spacing)
    box = ((x > 0) & (y > 0) & (z > 0)).astype(float)
    found = Corners()(image(box, grid), image(box, grid), 1.0)[0].data[0, 0]
    edge, face = found[12, 12, 21], found[12, 21, 21]
    where = np.array(np.unravel_index(int(found.argmax()), found.shape)) - 12
    assert np.abs(where).max() <= 2
    assert edge < 0.5 * found.max()
    assert face < 0.1 * found.max()


def tube(shape=(25, 25, 25), spacing=1.0, radius=2.0, axis=2):
    coordinates, grid = field(shape, spacing)
    r2 = sum(x * x for a, x in enumerate(coordinates) if a != axis)
    return np.exp(-r2 / (2 * radius**2)), grid


@pytest.mark.parametrize("ndim", [2, 3])
def test_vesselness_is_frangis(rng, ndim):
    """Against scikit-image, whose derivatives are those of the sampled Gaussian: all but the same at σ = 3."""
    shape = (32, 30, 28)[:ndim]
    data = ndimage.gaussian_filter(rng.normal(size=shape), 1.0)
    inner = (slice(8, -8),) * ndim
    expected = skfilters.frangi(
        data, sigmas=[3.0], alpha=0.5, beta=0.5, gamma=0.004, black_ridges=False, mode="nearest"
    )
    own = Vesselness(scales=(3.0,))
    # γ is in units of the Hessian times σ² here.
    found = own.response(data[None, None], Grid.from_spacing(shape), gamma=0.004 * 9)[0, 0]
    assert expected[inner].max() > 0.2
    assert np.corrcoef(found[inner].ravel(), expected[inner].ravel())[0, 1] > 0.98
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.15)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (3.0, 1.0, 1.0)], ids=str)
@pytest.mark.parametrize("axis", [0, 2])
def test_tube_lights_up_whichever_way_it_runs(spacing, axis):
    shape = tuple(int(27 / s) | 1 for s in spacing)
    data, grid = tube(shape, spacing, 3.0, axis)
    bright = Vesselness(scales=(3.0,))(image(data, grid), image(1 - data, grid), 1.0)
    middle = tuple(n // 2 for n in shape)
    assert float(bright[0].data[(0, 0, *middle)]) > 0.6
    assert float(bright[1].data[(0, 0, *middle)]) == 0
    dark = Vesselness(scales=(3.0,), bright=False)(image(data, grid), image(1 - data, grid), 1.0)
    assert float(dark[1].data[(0, 0, *middle)]) > 0.6
    assert float(bright[0].data.max()) <= 1


def test_neither_plate_nor_ball_is_a_tube():
    (x, y, z), grid = field((25, 25, 25))
    shapes = {"ball": x * x + y * y + z * z, "plate": x * x, "tube": x * x + y * y}
    own = Vesselness(scales=(2.0,))
    found = {name: own.response(np.exp(-r2 / 8), grid, gamma=0.2)[0, 0, 12, 12, 12] for name, r2 in shapes.items()}
    assert found["tube"] > 0.6
    assert found["ball"] < 0.3 * found["tube"]
    assert found["plate"] < 0.1 * found["tube"]


def textured(rng, shape=(24, 22, 20)):
    return Image.from_array(
        ndimage.gaussian_filter(rng.normal(size=shape), 1.5).astype(np.float32), Grid.from_spacing(shape)
    )


def test_local_intensity_ignores_a_slow_change_of_gain(rng):
    plain = textured(rng)
    ramp = np.linspace(1, 3, 24, dtype=np.float32)[None, None, :, None, None]
    changed = Image(ramp * plain.data + 0.2 * ramp, plain.grid)
    own, other = LocalIntensity(sigma=4)(plain, changed, 1.0)
    raw, raw_changed = parse_features("intensity")(plain, changed, 1.0)
    inner = (..., *[slice(4, -4)] * 3)

    def distance(a, b):
        return float(((a - b)[inner] ** 2).mean() / a[inner].var())

    assert distance(own.data, other.data) < 0.1
    assert distance(raw.data, raw_changed.data) > 0.5
    assert float(own.data.std()) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("name", ["mind", "mind-multi", "mind-centre", "ngf", "edges", "corners"])
def test_blind_to_the_sign_of_the_contrast(rng, name):
    plain = textured(rng)
    own, inverted = parse_features(name)(plain, Image(7 - 3 * plain.data, plain.grid), 1.0)
    np.testing.assert_allclose(own.data, inverted.data, atol=2e-3, rtol=1e-3)


def test_distance_of_normalised_gradients(rng):
    """|n nᵀ - m mᵀ|² = |n|⁴ + |m|⁴ - 2 (n · m)², and n is in world coordinates."""
    grid = Grid((12, 11, 10), np.diag([-1.0, 2.0, 1.5, 1]) @ np.eye(4)[[1, 0, 2, 3]])
    first, second = (Image(textured(rng, grid.shape).data, grid) for _ in range(2))
    own = NormalisedGradient()
    a, b = (f.data.astype(float) for f in own(first, second, 1.0))
    normals = []
    for one in (first, second):
        smooth = gaussian(one.data / (one.data.max() - one.data.min()), grid, 1.0)
        slope = np.einsum("wa,na...->nw...", grid.direction, gradient(smooth, grid))
        squared = (slope**2).sum(1, keepdims=True)
        normals.append(slope / np.sqrt(squared + np.sqrt(squared).mean() ** 2))
    n, m = normals
    length = [(v**2).sum(1) ** 2 for v in (n, m)]
    expected = length[0] + length[1] - 2 * (n * m).sum(1) ** 2
    np.testing.assert_allclose(((a - b) ** 2).sum(1), expected, atol=1e-4, rtol=1e-3)


def test_edges_are_where_the_image_changes():
    (x, y), grid = field((31, 31))
    disc = image((x**2 + y**2 < 64).astype(float), grid)
    found = EdgeStrength()(disc, disc, 1.0)[0].data[0, 0]
    assert float(found[15, 23]) > 0.9
    assert float(found[15, 15]) < 0.1


def test_scales_of_mind_stand_side_by_side(rng):
    plain = textured(rng)
    multi, _ = MindScales(scales=((1, 1), (2, 3)))(plain, plain, 1.0)
    for index, (radius, dilation) in enumerate([(1, 1), (2, 3)]):
        single, _ = Mind(radius, dilation)(plain, plain, 1.0)
        np.testing.assert_allclose(multi.data[:, 12 * index : 12 * index + 12] * 2**0.5, single.data, rtol=1e-6)


def test_mind_of_the_centre_is_its_definition(rng):
    plain = textured(rng, (7, 6))
    found, _ = MindCentre(radius=1, dilation=1)(plain, plain, 1.0)
    padded = np.pad(plain.data[0, 0].astype(float), 3, mode="edge")
    distances = []
    for step in ((-1, 0), (1, 0), (0, -1), (0, 1)):  # left, right, posterior, anterior
        moved = np.roll(padded, [-s for s in step], axis=(0, 1))[3:-3, 3:-3]
        squared = np.pad((padded[3:-3, 3:-3] - moved) ** 2, 1, mode="edge")
        distances.append(sum(squared[i : i + 7, j : j + 6] for i in range(3) for j in range(3)) / 9)
    distances = np.array(distances) - np.min(distances, axis=0)
    variance = distances.mean(0)
    expected = np.exp(-distances / np.clip(variance, variance.mean() * 1e-3, variance.mean() * 1e3))
    np.testing.assert_allclose(found.data[0], expected, atol=1e-3)
