"""What a registration starts from: features, images and masks, read and checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learngn._defaults import LABEL_FEATURES, SCAN_FEATURES
from learngn.errors import ImageError, LabelError, LandmarkError
from learngn.features import Combined, Feature, FeatureImage, parse_features
from learngn.features.base import working_image
from learngn.grid import Grid
from learngn.image import Image, check_scan
from learngn.interop import ImageLike, as_image, is_label_map
from learngn.io import Pair, read_grid, read_landmarks
from learngn.optimise import LandmarkPairs
from learngn.transform import Affine

_MOST_LABELS = 1000


def feature_of(features: str | Feature | None, fixed: ImageLike) -> Feature:
    """The feature asked for; by default that of scans, or that of label maps if the fixed image is one.

    Raises
    ------
    FeatureError
        If a name is unknown.
    """
    if isinstance(features, str):
        return parse_features(features)
    if features is not None:
        return features if isinstance(features, Combined) else Combined(((features, 1.0),))
    return parse_features(LABEL_FEATURES if is_label_map(fixed) else SCAN_FEATURES)


def load(source: ImageLike, feature: Feature, what: str) -> Image:
    """An image that a feature can work on.

    Parameters
    ----------
    source : ImageLike
        Whatever :func:`learngn.interop.as_image` takes.
    feature : Feature
    what : str
        For messages: "fixed image".

    Raises
    ------
    LearnGNError
        If it cannot be read, or is a scan where the feature wants a label map, or the other way round.
    """
    image = as_image(source, labels=feature.labels)
    if feature.labels:
        if not image.labels:
            raise LabelError(
                what,
                f"a scan ({image.name})",
                f"a label map for {feature.name}",
                "pass a segmentation, or other features",
            )
        _check_labels(image, what)
        return image
    check_scan(image, what)
    return image


def _check_labels(image: Image, what: str) -> None:
    """Tell an empty label map, and a scan that was taken for one."""
    values = image.label_values
    if not values:
        raise LabelError(what, f"an empty label map ({image.name})", "at least one label", "check the file")
    if values[0] < 0 or len(values) > _MOST_LABELS:
        raise LabelError(
            what,
            f"{len(values)} different values from {values[0]} to {values[-1]} ({image.name})",
            f"a label map of at most {_MOST_LABELS} labels, none below zero",
            "pass a segmentation, or features of scans such as mind",
        )


def check_pair(fixed: Image, moving: Image) -> None:
    """Raise :class:`ImageError` unless both images have the same dimension."""
    if fixed.grid.ndim != moving.grid.ndim:
        raise ImageError(
            "fixed and moving image",
            f"{fixed.grid.ndim}D ({fixed.name}) and {moving.grid.ndim}D ({moving.name})",
            "two images of the same dimension",
            "extract the slice or the volume first",
        )


def load_mask(source: ImageLike | None, image: Image, what: str) -> Image | None:
    """A mask, 0 to 1, checked against its image.

    Parameters
    ----------
    source : ImageLike, optional
        Of a label map what is not zero.
    image : Image
    what : str
        For messages: "fixed mask".

    Raises
    ------
    LearnGNError
        If it cannot be read, does not overlap with the image, or has other values.
    """
    if source is None:
        return None
    mask = as_image(source)
    data = (mask.data != 0 if mask.labels else mask.data).to(torch.float32)
    if mask.grid.ndim != image.grid.ndim or not mask.grid.overlap(image.grid):
        raise ImageError(what, f"{mask.name}, {mask.grid}", "a mask of the image", "check the file")
    if float(data.min()) < 0 or float(data.max()) > 1 or not float(data.max()) > 0:
        raise ImageError(
            what,
            f"values from {float(data.min()):g} to {float(data.max()):g} ({mask.name})",
            "values from 0 to 1, not all of them 0",
            "write a mask with 1 where the image counts",
        )
    return Image(data, mask.grid)


def load_tissue(source: ImageLike | None, fixed: Image) -> Image | None:
    """A label map of the fixed image's tissues.

    Raises
    ------
    LabelError
        If it is none, or lies elsewhere.
    LearnGNError
        If it cannot be read.
    """
    if source is None:
        return None
    image = as_image(source, labels=True)
    if not image.labels or image.grid.ndim != fixed.grid.ndim or not image.grid.overlap(fixed.grid):
        raise LabelError(
            "tissues", f"{image.name}, {image.grid}", "a label map in the world of the fixed image", "check the file"
        )
    _check_labels(image, "tissues")
    return image


def masked(features: FeatureImage, mask: Image | None) -> FeatureImage:
    """Features that count where a mask is one."""
    if mask is None:
        return features
    # Averaged like the features: a small mask would slip through between the voxels of a coarse grid.
    coarse = working_image(mask, float(features.grid.spacing.min()))
    weight = Affine.identity(mask.grid.ndim).warp(coarse, features.grid, background=0.0).data.to(features.data)
    return replace(features, weight=weight if features.weight is None else weight * features.weight)


@dataclass(frozen=True)
class Guidance:
    """What guides the registrations of a data set beside the features.

    Attributes
    ----------
    masks : bool
        Let the features count within the subjects' masks alone.
    keypoints : float, optional
        Weight of the subjects' key points, see :class:`learngn.optimise.LandmarkPairs`; None leaves them out.
    scale : float
        Distance from which on a pair of key points counts less [mm].
    """

    masks: bool = False
    keypoints: float | None = None
    scale: float = float("inf")

    def of(self, pair: Pair) -> dict[str, Any]:
        """Arguments of :func:`learngn.register` for a pair.

        Raises
        ------
        LandmarkError
            If key points are asked for and a subject has none.
        ImageError
            If masks are asked for and a subject has none.
        """
        given: dict[str, Any] = {}
        for side, subject in (("fixed", pair.fixed), ("moving", pair.moving)):
            if self.masks:
                if subject.mask is None:
                    raise ImageError(
                        f"mask of {subject.image.name}", "no file", "one in masksTr", "add it, or leave masks out"
                    )
                given[f"{side}_mask"] = subject.mask
            if self.keypoints is not None and subject.keypoints is None:
                raise LandmarkError(
                    f"key points of {subject.image.name}",
                    "no file",
                    "one in keypointsTr",
                    "add it, or leave keypoints out",
                )
        if self.keypoints is not None and pair.fixed.keypoints is not None and pair.moving.keypoints is not None:
            files = pair.fixed.keypoints, pair.moving.keypoints
            grids = read_grid(pair.fixed.image), read_grid(pair.moving.image)
            given["landmarks"] = read_keypoints(files, grids, self.keypoints, self.scale)
        return given

    def as_dict(self) -> dict[str, Any]:
        """For JSON; empty if there is none."""
        if not self.masks and self.keypoints is None:
            return {}
        return {key: value for key, value in asdict(self).items() if value not in (None, float("inf"))}


def read_keypoints(
    files: tuple[Path, Path], grids: tuple[Grid, Grid], weight: float, scale: float = float("inf")
) -> LandmarkPairs:
    """Read corresponding key points of the fixed and the moving image; a column ``weight`` is their confidence.

    Raises
    ------
    LandmarkError
        If a file cannot be read, or their numbers differ.
    """
    ours, theirs = (read_landmarks(path, grid) for path, grid in zip(files, grids, strict=True))
    trust = [points.weights for points in (ours, theirs) if points.weights is not None]
    confidence = np.prod(trust, axis=0) if trust and len(ours.points) == len(theirs.points) else None
    return LandmarkPairs(ours.points, theirs.points, weight, confidence, scale)
