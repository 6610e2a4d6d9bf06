"""A pair to register: two scans with masks, labels and landmarks, read and checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from learngn.errors import ImageError, LabelError, LandmarkError
from learngn.geometry.grid import FloatArray, Grid
from learngn.geometry.image import Image
from learngn.interop import ImageLike, TransformLike, as_image
from learngn.io import Pair, labels_on
from learngn.optimise import LandmarkPairs
from learngn.registration.masks import read_mask
from learngn.registration.recognise import as_label_map, looks_like_label_map

_MOST_LABELS = 1000


@dataclass(frozen=True, eq=False)
class Side:
    """One scan of a pair, with its mask, labels and landmarks.

    Attributes
    ----------
    name : str
        File name of the scan, or ``"image"`` for an image in memory.
    grid : Grid
        Grid of the scan.
    image : Image or None
        The scan itself; None if only the grid is needed, for example to score a given displacement.
    mask : Image or None
        Weight of the features, 0 to 1, on any grid.
    labels : Image or None
        Label map on the scan's grid, used for the scores.
    landmarks : array, shape (M, D) [RAS mm], or None
        Landmarks, used for the scores.
    evaluation_mask : Image or None
        Region in which the deformation is scored, on the scan's grid.
    colour : Image or None
        The colours of a 2D picture, (1, 3, *S), whose luminance is the scan; None for other scans.
    """

    name: str
    grid: Grid
    image: Image | None = None
    mask: Image | None = None
    labels: Image | None = None
    landmarks: FloatArray | None = None
    evaluation_mask: Image | None = None
    colour: Image | None = None

    def __repr__(self) -> str:
        given = [name for name in ("mask", "labels", "landmarks", "evaluation_mask") if getattr(self, name) is not None]
        return f"Side({', '.join([self.name, str(self.grid), *given])})"

    @classmethod
    def of(
        cls,
        image: Image,
        what: str,
        mask: ImageLike | None = None,
        labels: ImageLike | None = None,
        landmarks: FloatArray | None = None,
        colour: Image | None = None,
    ) -> Side:
        """Create a side from an image in memory.

        Parameters
        ----------
        image : Image
        what : str
            ``"fixed"`` or ``"moving"``, for error messages.
        mask, labels : ImageLike, optional
        landmarks : array, shape (M, D) [RAS mm], optional
        colour : Image, optional
            Colours of a picture, on the image's grid.

        Raises
        ------
        LearnGNError
            If one of these cannot be read, or does not fit the image.
        """
        return cls(
            name=image.name,
            grid=image.grid,
            image=image,
            mask=read_mask(mask, image.grid, f"{what} mask"),
            labels=None if labels is None else _labels_of(labels, image.grid, f"labels of the {what} scan"),
            landmarks=landmarks,
            colour=colour,
        )

    @property
    def scan(self) -> Image:
        """The image; raises TypeError if only its grid has been read."""
        if self.image is None:
            raise TypeError(f"{self.name}: the scan itself has not been read")
        return self.image


@dataclass(frozen=True, eq=False)
class RegistrationPair:
    """A fixed and a moving scan, with key points and tissues.

    Attributes
    ----------
    fixed, moving : Side
    keypoints : LandmarkPairs or None
        Corresponding points that guide the registration.
    tissue : Image or None
        Label map in the fixed image's world; organs may slide along the boundaries of its labels.
    files : dict
        Files from which the pair was read, by role: ``fixed``, ``moving``, ``fixed_labels``, ...

    Raises
    ------
    ImageError
        If the scans differ in dimension.
    LandmarkError
        If the numbers of landmarks differ.
    """

    fixed: Side
    moving: Side
    keypoints: LandmarkPairs | None = None
    tissue: Image | None = None
    files: Mapping[str, Path] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        fixed, moving = self.fixed, self.moving
        if fixed.grid.ndim != moving.grid.ndim:
            raise ImageError(
                "fixed and moving image",
                f"{fixed.grid.ndim}D ({fixed.name}) and {moving.grid.ndim}D ({moving.name})",
                "two images of the same dimension",
                "extract the slice or the volume first",
            )
        if (
            fixed.landmarks is not None
            and moving.landmarks is not None
            and len(fixed.landmarks) != len(moving.landmarks)
        ):
            raise LandmarkError(
                f"landmarks of {fixed.name} and {moving.name}",
                f"{len(fixed.landmarks)} and {len(moving.landmarks)} points",
                "the same number in both, in the same order",
                "check that the files belong together",
            )

    def to(self, device: str) -> RegistrationPair:
        """Return the pair with its scans as tensors on a device; masks are moved only when they are used.

        Raises
        ------
        MissingPackageError
            If PyTorch is not installed.
        """
        fixed, moving = (replace(side, image=side.scan.to(device)) for side in (self.fixed, self.moving))
        return replace(self, fixed=fixed, moving=moving)

    def of_one_library(self) -> RegistrationPair:
        """Return the pair with the moving scan in the library and on the device of the fixed one."""
        return replace(self, moving=replace(self.moving, image=self.moving.scan.like(self.fixed.scan.data)))

    def recognised(self) -> RegistrationPair:
        """Return the pair as label maps if both scans have values of label maps; otherwise unchanged."""
        sides = self.fixed, self.moving
        if not all(looks_like_label_map(side.scan) for side in sides):
            return self
        fixed, moving = (replace(side, image=as_label_map(side.scan)) for side in sides)
        return replace(self, fixed=with_own_labels(fixed), moving=with_own_labels(moving))

    @property
    def labels(self) -> tuple[Image, Image] | None:
        """Label maps of both scans; None unless both have one."""
        if self.fixed.labels is None or self.moving.labels is None:
            return None
        return self.fixed.labels, self.moving.labels

    @property
    def landmarks(self) -> tuple[FloatArray, FloatArray] | None:
        """Landmarks of both scans [RAS mm]; None unless both have landmarks."""
        if self.fixed.landmarks is None or self.moving.landmarks is None:
            return None
        return self.fixed.landmarks, self.moving.landmarks


@dataclass(frozen=True)
class Guidance:
    """Options for masks, key points and an initial transform, which guide the registration beside the features.

    Attributes
    ----------
    masks : bool
        Compare the features within the masks only.
    keypoints : float, optional
        Weight of the key points, see :class:`learngn.optimise.LandmarkPairs`; None leaves them out.
    scale : float
        Distance of a pair of key points above which its weight decreases [mm].
    initial : TransformLike or sequence of these, optional
        Initial transform of a single pair, see :func:`learngn.register`; pairs of a table have their own.
    """

    masks: bool = False
    keypoints: float | None = None
    scale: float = float("inf")
    initial: TransformLike | Sequence[TransformLike] | None = None

    def check(self, pair: Pair) -> None:
        """Check that the requested masks and key points exist.

        Raises
        ------
        LandmarkError
            If key points are requested and a subject has none.
        ImageError
            If masks are requested and a subject has none.
        """
        for subject in (pair.fixed, pair.moving):
            if self.masks and subject.mask is None:
                raise ImageError(
                    f"mask of {subject.image.name}", "no file", "one in masksTr", "add it, or leave masks out"
                )
            if self.keypoints is not None and subject.keypoints is None:
                raise LandmarkError(
                    f"key points of {subject.image.name}",
                    "no file",
                    "one in keypointsTr",
                    "add it, or leave keypoints out",
                )

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON; empty without masks and key points."""
        if not self.masks and self.keypoints is None:
            return {}
        values = {"masks": self.masks, "keypoints": self.keypoints, "scale": self.scale}
        return {key: value for key, value in values.items() if value not in (None, float("inf"))}


def _labels_of(source: ImageLike, grid: Grid, what: str) -> Image:
    """Return a label map on the grid of its scan."""
    image = as_image(source, labels=True)
    if not image.labels:
        raise LabelError(what, f"a scan ({image.name})", "a label map", "read it with labels=True")
    return labels_on(image, grid, what)


def with_own_labels(side: Side) -> Side:
    """Use a registered label map for scoring, too, unless there are other labels."""
    if side.labels is None and side.image is not None and side.image.labels:
        return replace(side, labels=side.image)
    return side


def check_labels(image: Image, what: str) -> None:
    """Raise :class:`LabelError` for an empty label map, and for a scan read as a label map."""
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
