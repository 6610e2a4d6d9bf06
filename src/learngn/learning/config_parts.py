"""Parts of the configuration of a training: augmentation and losses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from learngn.model.architecture import Strict


class AugmentationConfig(Strict):
    """Random deformation of every scan, drawn anew at each step and independently for both scans of a pair.

    Attributes
    ----------
    rotation : float
        Standard deviation of the rotation about every axis [degrees].
    scale, shear : float
        Standard deviations of the logarithm of the size along each axis, and of the shear.
    shift : float
        Standard deviation of the translation along each axis [fraction of the extent].
    smooth : float
        Standard deviation of a smooth displacement at its control points [fraction of the extent].
    control : int
        Number of control points of the smooth displacement along the longest axis.
    mirror : tuple of int
        Array axes along which both scans of a pair are mirrored, with a probability of one half each: those along which
        the anatomy is symmetric, or both orientations occur.
    contrast : float
        Standard deviation of the logarithm of gamma for features of scans; 0 for label maps.
    bias : float
        Standard deviation of the logarithm of a smooth factor, for features of scans.
    noise : float
        Largest standard deviation of white noise, for features of scans [range of the feature].
    blur : float
        Largest standard deviation of a Gaussian filter, for features of scans [voxel].
    thick : float
        Largest thickness of simulated slices along a random axis, for features of scans [voxel]; drawn for one scan in
        four.
    drop : float
        Probability that a channel of both scans of a pair is set to zero, for features of organs: a segmentation may
        miss one of them.
    """

    rotation: float = Field(6.0, ge=0)
    scale: float = Field(0.08, ge=0)
    shear: float = Field(0.04, ge=0)
    shift: float = Field(0.03, ge=0)
    smooth: float = Field(0.015, ge=0)
    control: int = Field(6, ge=2)
    mirror: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    contrast: float = Field(0.0, ge=0)
    bias: float = Field(0.0, ge=0)
    noise: float = Field(0.0, ge=0)
    blur: float = Field(0.0, ge=0)
    thick: float = Field(1.0, ge=1)
    drop: float = Field(0.0, ge=0, lt=1)

    @property
    def varies(self) -> bool:
        """Whether intensities are changed, as of scans."""
        return max(self.contrast, self.bias, self.noise, self.blur, self.thick - 1) > 0


class LossConfig(Strict):
    """Weights of the losses; a loss of weight zero is not computed.

    Attributes
    ----------
    labels : float
        Soft Dice + `entropy` times cross-entropy of the warped against the fixed labels.
    entropy : float
        Weight of the cross-entropy in the loss `labels`. It counts voxels, so that large organs weigh more; soft Dice
        alone, with zero, counts organs, as the mean Dice of an evaluation does.
    mse : float
        Squared difference of the warped and the fixed labels, each label weighted by the inverse root of its volume,
        as published.
    auxiliary : float
        Soft Dice + cross-entropy of the learned features against the scan's own labels: it teaches the features to
        distinguish the organs. The learned distances are its logits, so that a distance of zero is the boundary;
        without a loss on distances a 1 x 1 convolution of the learned features.
    distances : float
        Mean squared difference of the learned features to the signed distances of the organs, one channel an organ:
        such features have gradients also far from an organ, which Gauss-Newton needs.
    smoothness : float
        Mean squared derivative of the displacement [mm per mm].
    features : float
        Mean squared difference of the input features after warping; needs no labels.
    landmarks : float
        Mean distance of the landmarks after warping [mm].
    known_maps : float
        Mean distance [mm] of the moved points to the right ones, for pairs of which both scans are one scan deformed
        twice (:attr:`TrainingConfig.known`): their map is known exactly; needs no labels.
    blur : float
        Standard deviation of a Gaussian filter of the labels before they are compared [voxel of `stride`]: overlap of
        blurred labels has a slope where sharp ones lie beside each other.
    earlier : float
        Weight of each level's result relative to that of the next finer level; with zero only the finest level counts.
    stride : float
        Voxel size at which labels are compared [voxel of the scans].
    """

    labels: float = Field(0.1, ge=0)
    entropy: float = Field(1.0, ge=0)
    mse: float = Field(0.0, ge=0)
    auxiliary: float = Field(0.3, ge=0)
    distances: float = Field(1.0, ge=0)
    smoothness: float = Field(0.0, ge=0)
    features: float = Field(0.0, ge=0)
    landmarks: float = Field(0.0, ge=0)
    known_maps: float = Field(0.0, ge=0)
    blur: float = Field(0.0, ge=0)
    earlier: float = Field(0.3, ge=0)
    stride: float = Field(2.0, ge=1)
