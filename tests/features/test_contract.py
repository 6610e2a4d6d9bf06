"""What every registered feature of scans promises: a new one is tested as soon as it has a name."""

import numpy as np
import pytest
import torch

from learngn.features import FeatureImage, parse_features
from learngn.features.combined import FEATURES
from learngn.grid import Grid
from learngn.image import Image


def smooth_scan(shape, spacing=1.0, seed=0, affine=None):
    """An image with structure at several scales, the same in every run."""
    rng = np.random.default_rng(seed)
    coarse = torch.as_tensor(rng.normal(size=[1, 1, *[max(2, n // 3) for n in shape]]))
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    data = torch.nn.functional.interpolate(coarse, size=shape, mode=mode, align_corners=False)
    data = 100 * (data + 0.1 * torch.as_tensor(rng.normal(size=[1, 1, *shape])))
    grid = Grid.from_spacing(shape, spacing) if affine is None else Grid(shape, affine)
    return Image(data.float(), grid)


def turned(image, order, flips):
    """The same image in the world, its array's axes in another order and direction."""
    ndim = image.grid.ndim
    data = image.data.permute(0, 1, *[a + 2 for a in order]).flip([a + 2 for a in flips]).contiguous()
    to_old = np.zeros((ndim + 1, ndim + 1))
    to_old[-1, -1] = 1
    for new, old in enumerate(order):
        to_old[old, new] = -1 if new in flips else 1
        to_old[old, -1] = image.grid.shape[old] - 1 if new in flips else 0
    return Image(data, Grid(tuple(data.shape[2:]), image.grid.affine @ to_old))


def turned_back(data, order, flips):
    """Undo what :func:`turned` does to an array."""
    data = data.flip([a + 2 for a in flips])
    return data.permute(0, 1, *[int(a) + 2 for a in np.argsort(order)])


SCANS = sorted(name for name, make in FEATURES.items() if not make().labels)
SHAPES = [(20, 17), (12, 11, 10)]


@pytest.mark.parametrize("feature", [parse_features(n) for n in [*SCANS, "mind,intensity:10"]], ids=lambda f: f.name)
class TestContract:
    """Of one feature at a time."""

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("spacing", [1.0, 2.0, 0.1], ids=str)
    def test_grid_channels_and_layout(self, feature, shape, spacing):
        fixed, moving = smooth_scan(shape), smooth_scan(shape[::-1], seed=1)
        first, second = feature(fixed, moving, spacing)
        for features, image in ((first, fixed), (second, moving)):
            assert isinstance(features, FeatureImage)
            assert features.grid == image.grid.coarsened(spacing)  # never finer than the image
            assert features.data.shape[2:] == features.grid.shape
            assert features.data.dtype == torch.float32
            assert features.data.device == image.data.device
            last = torch.channels_last if len(shape) == 2 else torch.channels_last_3d
            assert features.data.is_contiguous(memory_format=last)
            assert torch.isfinite(features.data).all()
            assert (float(features.data.std()) > 0) == (feature.name != "none")
        assert first.data.shape[1] == second.data.shape[1]

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_orientation_of_the_array_does_not_matter(self, feature, shape):
        """Stored along other axes, the image has the same features at the same places of the world."""
        spacing = np.array([1.0, 1.5, 1.2])[: len(shape)]
        image = smooth_scan(shape, spacing)
        plain, _ = feature(image, image, 1.0)
        for order in [(1, 0)] if len(shape) == 2 else [(0, 1, 2), (1, 2, 0), (2, 1, 0)]:
            for flips in ((0,), tuple(range(len(shape)))):
                other = turned(image, order, flips)
                _, found = feature(image, other, 1.0)
                torch.testing.assert_close(turned_back(found.data, order, flips), plain.data, rtol=1e-3, atol=1e-3)

    def test_thick_slices(self, feature):
        image = smooth_scan((16, 14, 6), (1.0, 1.0, 5.0))
        found, _ = feature(image, image, 1.0)
        assert found.grid.shape == (16, 14, 6)
        assert torch.isfinite(found.data).all()
        assert (float(found.data.std()) > 0) == (feature.name != "none")

    @pytest.mark.parametrize("shape", [(18, 1), (16, 14, 1), (1, 14, 16), (12, 1, 1)], ids=str)
    def test_axis_of_one_voxel(self, feature, shape):
        image = smooth_scan(shape)
        found, _ = feature(image, image, 1.0)
        assert found.data.shape[2:] == shape
        assert torch.isfinite(found.data).all()

    @pytest.mark.parametrize("value", [0.0, -1000.0, 1e6, 1e-6])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_constant_image(self, feature, value, shape):
        image = Image(torch.full((1, 1, *shape), value), Grid.from_spacing(shape))
        found, _ = feature(image, smooth_scan(shape), 1.0)
        assert torch.isfinite(found.data).all()
        inner = found.data[(..., *[slice(2, -2)] * len(shape))]
        assert float(inner.flatten(2).std(dim=2).max()) < 1e-3  # rounding is not structure

    @pytest.mark.parametrize("factor", [1e-6, 1e6])
    def test_units_of_the_scanner_do_not_matter(self, feature, factor):
        image = smooth_scan((14, 12, 13))
        plain, scaled = feature(image, Image(factor * image.data, image.grid), 1.0)
        torch.testing.assert_close(scaled.data, plain.data, rtol=1e-2, atol=1e-2)

    def test_deterministic(self, feature):
        image = smooth_scan((14, 12, 13))
        assert torch.equal(feature(image, image, 1.0)[0].data, feature(image, image, 1.0)[1].data)

    def test_integers_and_doubles(self, feature):
        """What a file holds: the features are those of the same values in float32."""
        image = smooth_scan((14, 12, 13))
        whole = image.data.round()
        plain, _ = feature(Image(whole, image.grid), image, 1.0)
        for dtype in (torch.int16, torch.float64):
            found, _ = feature(Image(whole.to(dtype), image.grid), image, 1.0)
            torch.testing.assert_close(found.data, plain.data)

    @pytest.mark.gpu
    def test_same_on_the_gpu(self, feature):
        image = smooth_scan((14, 12, 13))
        plain, _ = feature(image, image, 1.0)
        found, _ = feature(image.to("cuda"), image.to("cuda"), 1.0)
        assert found.data.device.type == "cuda"
        torch.testing.assert_close(found.data.cpu(), plain.data, rtol=1e-3, atol=1e-3)
