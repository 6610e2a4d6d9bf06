"""Registration as a dictionary transform of MONAI. Requires the packages monai and torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from learngn.errors import require_packages
from learngn.interop import as_image, to_monai
from learngn.interop.monai import displacement_to_monai
from learngn.registration import register

require_packages("the transform for MONAI", "train", "torch", "monai")
from monai.transforms.transform import MapTransform  # noqa: E402


class RegisterD(MapTransform):
    """Register the moving image of a dictionary to the fixed image, and warp further images and labels with it.

    Existing entries are kept. These are added, the images with the fixed image's affine:

    - ``moving_warped``, and the same for every other key of `images` and `labels`: MetaTensor, shape (1, *S)
    - ``ddf``: MetaTensor, shape (D, *S) [voxel, components in array order], index in the moving image minus index in
      the fixed image. For images of the same shape it suits ``monai.networks.blocks.Warp``, with a batch dimension.
    - ``registration``: the :class:`learngn.Registration`, if `keep` is set.

    Parameters
    ----------
    fixed, moving : str
        Keys of the two images: MetaTensors of shape (1, *S), as LoadImaged and EnsureChannelFirstd make them, or
        anything else that :func:`learngn.interop.as_image` accepts.
    labels : sequence of str
        Keys of label maps in the moving image's world, warped with nearest-neighbour interpolation.
    images : sequence of str
        Keys of further scans in the moving image's world, warped with linear interpolation.
    options : dict, optional
        Keyword arguments of :func:`learngn.register`: ``{"features": "mind", "affine": "rigid"}``.
    suffix : str
        Suffix of the keys of warped images.
    field_key : str
        Key of the displacement.
    keep : str, optional
        Key of the complete registration; None to leave it out.
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
        """Register the images of one dictionary."""
        result = dict(data)
        registration = register(data[self.fixed], data[self.moving], **self.options)
        grid = registration.fixed.grid
        # The transform is sampled on the grid once, for all images.
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
