"""Conformance checks of a feature: grid, layout, orientation, unusual shapes and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from learngn.arrays import Array, as_numpy, device_of, is_tensor, kind_of, namespace, require_torch
from learngn.features import Feature, FeatureImage
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.testing.images import label_map, orientation_undone, reoriented, smooth_scan
from learngn.testing.require import require, require_close, require_finite

_SHAPES = ((20, 17), (12, 11, 10))
_SPACINGS = (1.0, 2.0, 0.1)  # [mm]: equal to the voxel size, coarser, finer


def check_feature(feature: Feature, *, device: Any = None, varies: bool = True) -> None:
    """Check that a feature fulfils the contract of :class:`learngn.features.Feature`.

    It is applied to small scans or, if ``feature.traits.reads_labels``, label maps: 2D and 3D, stored in several
    orientations, with thick slices, one voxel thick, constant, in other units and of other types.

    Parameters
    ----------
    feature : Feature
    device : torch.device or str, optional
        Device of PyTorch to compute on, with tensors, whose values are also compared with those of arrays of NumPy. By
        default these are used.
    varies : bool
        Whether its channels vary with the image; False for a feature that is constant by design.

    Raises
    ------
    AssertionError
        If a rule is broken; the message says which.

    Examples
    --------
    >>> from learngn.features import Intensity
    >>> check_feature(Intensity())
    """
    for rule in FEATURE_RULES.values():
        rule(feature, device, varies)


def _image(
    feature: Feature,
    shape: Sequence[int],
    device: Any,
    *,
    spacing: float | Sequence[float] = 1.0,
    seed: int = 0,
) -> Image:
    """Make a scan or a label map, depending on what the feature reads."""
    image = (label_map if feature.traits.reads_labels else smooth_scan)(shape, spacing, seed)
    return image if device is None else image.to(device)


def _on(device: Any, array: Array) -> Array:
    """Return an array of NumPy as a tensor on a device, unless that is None."""
    return array if device is None else require_torch("this check").as_tensor(array).to(device)


def _deviation(data: Array) -> float:
    return float(np.std(as_numpy(data)))


def _has_channels_last(data: Array) -> bool:
    moved = namespace(data).moveaxis(data, 1, -1)
    return bool(moved.is_contiguous() if is_tensor(moved) else moved.flags.c_contiguous)


def grid_and_layout(feature: Feature, device: Any, varies: bool) -> None:
    """Check the channels, the type float32, the layout (channels last), and the grids, never finer than the images."""
    require(isinstance(feature.name, str) and bool(feature.name), f"feature {feature!r}: its name must not be empty")
    for shape in _SHAPES:
        fixed, moving = _image(feature, shape, device), _image(feature, shape[::-1], device, seed=1)
        for spacing in _SPACINGS:
            sides = feature(fixed, moving, spacing)
            for side, features, image in zip(("fixed", "moving"), sides, (fixed, moving), strict=True):
                where = f"feature {feature.name!r} of the {side} image {image.grid.shape} at {spacing:g} mm"
                require(isinstance(features, FeatureImage), f"{where}: got {type(features)}, expected a FeatureImage")
                expected = image.grid.coarsened(spacing)
                require(
                    features.grid == expected,
                    f"{where}: got the grid {features.grid}, expected image.grid.coarsened({spacing:g}), {expected}",
                )
                data = features.data
                require(
                    data.ndim == len(shape) + 2 and tuple(data.shape[2:]) == features.grid.shape and data.shape[0] == 1,
                    f"{where}: got data {tuple(data.shape)}, expected (1, C, {features.grid.shape})",
                )
                require(
                    is_tensor(data) == is_tensor(image.data),
                    f"{where}: got {type(data)}, expected the library of the image",
                )
                xp, at = namespace(image.data), device_of(image.data)
                require(data.dtype == xp.float32, f"{where}: got {data.dtype}, expected float32")
                require(device_of(data) == at, f"{where}: got {device_of(data)}, expected {at}")
                require(_has_channels_last(data), f"{where}: expected channels last (channels_last(data))")
                require_finite(data, where)
                if features.weight is not None:
                    weight = features.weight
                    require(
                        tuple(weight.shape) == (1, 1, *features.grid.shape),
                        f"{where}: got a weight {tuple(weight.shape)}, expected (1, 1, {features.grid.shape})",
                    )
                    require(bool(xp.all((weight >= 0) & (weight <= 1))), f"{where}: weights must lie in 0..1")
                require(
                    (_deviation(data) > 0) == varies,
                    f"{where}: the channels {'are all one value' if varies else 'vary'}",
                )
            channels = [features.data.shape[1] for features in sides]
            require(
                channels[0] == channels[1],
                f"feature {feature.name!r}: got {channels[0]} channels of the fixed and {channels[1]} of the moving "
                "image, expected the same number",
            )


def orientation(feature: Feature, device: Any, varies: bool) -> None:
    """Check that an image stored along other axes has the same features at the same positions in the world."""
    for shape in _SHAPES:
        spacing = (1.0, 1.5, 1.2)[: len(shape)]
        image = _image(feature, shape, device, spacing=spacing)
        plain, _ = feature(image, image, 1.0)
        for order in [(1, 0)] if len(shape) == 2 else [(0, 1, 2), (1, 2, 0), (2, 1, 0)]:
            for flips in ((0,), tuple(range(len(shape)))):
                _, features = feature(image, reoriented(image, order, flips), 1.0)
                require_close(
                    orientation_undone(features.data, order, flips),
                    plain.data,
                    f"feature {feature.name!r} of the same image, its axes in the order {order}, {flips} backwards",
                    rtol=1e-3,
                    atol=1e-3,
                )


def awkward_shapes(feature: Feature, device: Any, varies: bool) -> None:
    """Check that thick slices are not resampled, and that axes of one voxel do not give NaN."""
    cases: tuple[tuple[tuple[int, ...], float | tuple[float, ...]], ...] = (
        ((16, 14, 6), (1.0, 1.0, 5.0)),
        ((18, 1), 1.0),
        ((16, 14, 1), 1.0),
        ((1, 14, 16), 1.0),
        ((12, 1, 1), 1.0),
    )
    for shape, spacing in cases:
        image = _image(feature, shape, device, spacing=spacing)
        features, _ = feature(image, image, 1.0)
        where = f"feature {feature.name!r} of an image {shape} of voxels of {spacing} mm"
        got = features.grid.shape
        require(got == shape, f"{where}: got the shape {got} at 1 mm, expected the image's")
        require(tuple(features.data.shape[2:]) == shape, f"{where}: got data {tuple(features.data.shape)}")
        require_finite(features.data, where)
        if 1 not in shape:
            require((_deviation(features.data) > 0) == varies, f"{where}: the channels are all one value")


def constant_image(feature: Feature, device: Any, varies: bool) -> None:
    """Check that a constant image has constant features, whatever its value: rounding errors are not amplified."""
    if feature.traits.reads_labels:
        return
    for shape in _SHAPES:
        for value in (0.0, -1000.0, 1e6, 1e-6):
            image = Image(_on(device, np.full((1, 1, *shape), value, np.float32)), Grid.from_spacing(shape))
            features, _ = feature(image, _image(feature, shape, device), 1.0)
            where = f"feature {feature.name!r} of an image {shape} that is {value:g} throughout"
            require_finite(features.data, where)
            inner = features.data[(slice(None), slice(None), *[slice(2, -2)] * len(shape))]
            deviation = float(np.std(as_numpy(inner), axis=tuple(range(2, inner.ndim))).max())
            require(deviation < 1e-3, f"{where}: got a standard deviation of {deviation:g}, expected none")


def units(feature: Feature, device: Any, varies: bool) -> None:
    """Check that a scan in other units of intensity has the same features."""
    if feature.traits.reads_labels:
        return
    image = _image(feature, (14, 12, 13), device)
    for factor in (1e-6, 1e6):
        plain, scaled = feature(image, Image(factor * image.data, image.grid), 1.0)
        what = f"feature {feature.name!r} of the same image, its intensities times {factor:g}"
        require_close(scaled.data, plain.data, what, rtol=1e-2, atol=1e-2)


def determinism(feature: Feature, device: Any, varies: bool) -> None:
    """Check that an image has the same features as the fixed and as the moving image, and in a second call."""
    image = _image(feature, (14, 12, 13), device)
    first, second = feature(image, image, 1.0)
    again, _ = feature(image, image, 1.0)
    require_close(second.data, first.data, f"feature {feature.name!r} of one image as the fixed and the moving one")
    require_close(again.data, first.data, f"feature {feature.name!r}, computed twice")


def types(feature: Feature, device: Any, varies: bool) -> None:
    """Check that images of integers and doubles have the same features as those of float32."""
    image = _image(feature, (14, 12, 13), device)
    xp = namespace(image.data)
    whole = image.data if feature.traits.reads_labels else xp.round(image.data)
    plain, _ = feature(Image(whole, image.grid, image.labels), image, 1.0)
    for dtype in (xp.int16,) if feature.traits.reads_labels else (xp.int16, xp.float64):
        features, _ = feature(Image(xp.astype(whole, dtype), image.grid, image.labels), image, 1.0)
        what = f"feature {feature.name!r} of the same values as {dtype}"
        require_close(features.data, plain.data, what, rtol=1.3e-6, atol=1e-5)


def inputs_untouched(feature: Feature, device: Any, varies: bool) -> None:
    """Check that the given images are not modified."""
    image = _image(feature, (14, 12, 13), device)
    before = namespace(image.data).asarray(image.data, copy=True)
    feature(image, image, 1.0)
    require_close(image.data, before, f"the image after feature {feature.name!r} was computed")


def device_agrees(feature: Feature, device: Any, varies: bool) -> None:
    """Check that tensors on the device give the same values as arrays of NumPy."""
    if device is None:
        return
    image = _image(feature, (14, 12, 13), None)
    plain, _ = feature(image, image, 1.0)
    features, _ = feature(image.to(device), image.to(device), 1.0)
    got = kind_of(features.data)
    require(got == kind_of(image.to(device).data), f"feature {feature.name!r}: got {got} for {device}")
    what = f"feature {feature.name!r} on {device} and of NumPy"
    require_close(as_numpy(features.data), as_numpy(plain.data), what, rtol=1e-3, atol=1e-3)


FEATURE_RULES: dict[str, Callable[[Feature, Any, bool], None]] = {
    rule.__name__: rule
    for rule in (
        grid_and_layout,
        orientation,
        awkward_shapes,
        constant_image,
        units,
        determinism,
        types,
        inputs_untouched,
        device_agrees,
    )
}
"""Rules of :func:`check_feature` by name; each takes the feature, a device or None, and whether the channels vary."""
