"""Registration as a step of MONAI's pipelines: a dictionary transform. Needs the package monai."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms.transform import MapTransform

from learngn.interop import as_image, to_monai
from learngn.interop.monai import displacement_to_monai
from learngn.registration import register


class RegisterD(MapTransform):
    """Register the moving image of a dictionary onto the fixed one, and warp what belongs to it along.

    What is there stays; set are, each with the fixed image's affine:

    - ``moving_warped``, and the same for every other key of `images` and `labels`: MetaTensor, shape (1, *S)
    - ``ddf``: MetaTensor, shape (D, *S) [voxel, components in array order], index in the moving image minus index in
      the fixed one. With images of one shape ``monai.networks.blocks.Warp`` takes it, given a batch dimension.
    - ``registration``: the :class:`learngn.Registration`, if `keep` is set.

    Parameters
    ----------
    fixed, moving : str
        Keys of the two images: MetaTensors of shape (1, *S), as LoadImaged and EnsureChannelFirstd make them, or
        anything else that :func:`learngn.interop.as_image` takes.
    labels : sequence of str
        Keys of label maps in the moving image's world: warped to the nearest voxel.
    images : sequence of str
        Keys of further scans in the moving image's world: warped linearly.
    options : dict, optional
        Keywords of :func:`learngn.register`: ``{"features": "mind", "affine": "rigid"}``.
    suffix : str
        Behind the key of what is warped.
    field_key : str
        Where the displacement goes.
    keep : str, optional
        Where the whole registration goes.
    allow_missing_keys : bool
        Whether keys of `labels` and `images` may be missing.

    Raises
    ------
    LearnGNError
        When called: as :func:`learngn.register` does.
    KeyError
        When called: if a key is missing.
    """

    def __init__(
        self,
        fixed: str = "fixed",
        moving: str = "moving",
        labels: Sequence[str] = (),
        images: Sequence[str] = (),
        *,
        options: Mapping[str, Any] | None = None,
        suffix: str = "_warped",
        field_key: str = "ddf",
        keep: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__((fixed, moving, *labels, *images), allow_missing_keys)
        self.fixed, self.moving, self.labels, self.images = fixed, moving, tuple(labels), tuple(images)
        self.options = dict(options or {})
        self.suffix, self.field_key, self.kept = suffix, field_key, keep

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Register one dictionary's images."""
        result = dict(data)
        registration = register(data[self.fixed], data[self.moving], **self.options)
        grid = registration.fixed.grid
        # One map for all that is warped: the transform is brought onto the grid once.
        on_grid = registration.transform.on(grid)
        result[self.moving + self.suffix] = to_monai(registration.warped)
        for key in (*self.labels, *self.images):
            if key in data or not self.allow_missing_keys:
                image = as_image(data[key], labels=key in self.labels)
                result[key + self.suffix] = to_monai(on_grid.warp(image))
        result[self.field_key] = displacement_to_monai(registration.transform, grid, registration.moving.grid)
        if self.kept is not None:
            result[self.kept] = registration
        return result
