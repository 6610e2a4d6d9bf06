"""Configuration of a training, checked as a whole when it is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from learngn.learning.config_parts import AugmentationConfig, LossConfig
from learngn.model import LineariserConfig, NetworkConfig, VoxelMorphConfig
from learngn.model.architecture import Strict


class TrainingConfig(Strict):
    """Configuration of a training.

    Attributes
    ----------
    features : str
        Input features of the model; see :func:`learngn.features.parse_features`.
    strides, iterations, lam, longest_step, min_jacobian
        Schedule of the model, see :class:`learngn.settings.Settings`; by default that of the features.
    organs : tuple of int, optional
        Labels that mean the same in every subject: they teach φ. Other labels correspond within a pair alone, and count
        for the overlap of that pair only. By default all labels of the data set; for pairs that it lists, those that
        lie at much the same place in all of them (:func:`learngn.learning.selection.organs_of`).
    pose : str
        Linear alignment by φ before the Gauss-Newton steps, "none" for scans that lie on one another; see
        :class:`learngn.settings.Settings.affine`. In training, the centres of the organs are put on one another.
    network : NetworkConfig, optional
        Network of the learned features; null for none.
    lineariser : LineariserConfig, optional
        Learned J, f and w; null for the analytic ones.
    learn_lam : bool
        Learn the regularisation weight λ of every level.
    lam_factors : tuple of float
        Before the first whole step that follows steps of φ alone, and after training, λ of all levels is multiplied by
        the factor with the best validation score, out of these, 1, and further ones beyond their ends; see
        :func:`learngn.learning.regularisation_weight.suited_factor`. Empty to leave λ to the training.
    voxelmorph : VoxelMorphConfig, optional
        Predict the displacement by VoxelMorph instead of Gauss-Newton, as a baseline.
    augmentation : AugmentationConfig
        Random deformation of the scans.
    losses : LossConfig
        Weights of the losses.
    validation : int
        Number of training subjects held out to choose the best weights.
    validation_pairs : int
        Largest number of pairs of held-out subjects.
    seed : int
        Random seed.
    steps : int
        Number of optimiser steps.
    pretraining : float
        Fraction of the steps, at the beginning, that use the losses of φ alone: such a step costs a tenth of a whole
        one.
    unseen : float
        Fraction of the subjects or pairs to train on whose labels do not teach φ, and of which whole steps draw: there
        φ errs as on the scans of others. Without such subjects, whole steps see a φ that knows their scans by heart.
    known : float
        Fraction of the whole steps whose pairs are one scan deformed twice, see :attr:`LossConfig.known_maps`.
    start : float
        Standard deviation of a random smooth displacement from which a whole step starts [fraction of the extent].
    batch : int
        Pairs per step, of all processes together; rounded up to a multiple of their number.
    rate, weight_decay : float
        Learning rate and weight decay of AdamW; in each of the two parts of a training, of φ alone and of whole steps,
        the rate rises over `warmup` steps and falls along a cosine to zero.
    through_rate : float
        Factor of the learning rate of the network in whole steps; with 0 the network is fixed then.
    factor_rate : float, optional
        Learning rate of parameters with one number per channel or level: factors of channels, profiles, λ. They need,
        and tolerate, a far larger one than convolutions; by default it is the same.
    warmup : int
        Steps over which the learning rate rises.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the running mean of the weights, which the model keeps; 0 keeps the last weights instead.
    fewest, most : float
        Each level takes a random number of Gauss-Newton steps between these fractions of the schedule's number.
    limit : float, optional
        Largest norm of the gradient that reaches one scan's φ through the Gauss-Newton steps; null for no limit.
    last : int, optional
        Differentiate only this number of Gauss-Newton steps at the end of every level; null for all of them.
    finest : float
        Levels with a smaller stride take no steps in training: they cost the most, and features that are trained on
        coarser levels suit them too.
    curriculum : float
        Fraction of the end-to-end steps over which `most` rises from `fewest`.
    validate_every : int
        Steps between validations.
    checkpoint_every : int
        Steps between checkpoints, from which an interrupted training resumes.
    precision : str
        Floating-point type of the networks; ``"auto"``: bfloat16 where the processor or GPU has instructions for it.
        The solver always uses float32.
    """

    features: str
    organs: tuple[int, ...] | None = None
    pose: Literal["none", "translation", "rigid", "similarity", "affine"] = "none"
    strides: tuple[float, ...] | None = None
    iterations: tuple[int, ...] | None = None
    lam: tuple[float, float] | None = None
    longest_step: float | None = Field(None, gt=0)
    min_jacobian: float | None = None
    network: NetworkConfig | None = NetworkConfig.model_validate({})
    lineariser: LineariserConfig | None = None
    learn_lam: bool = True
    lam_factors: tuple[Annotated[float, Field(gt=0)], ...] = (0.03, 0.1, 0.3, 3.0)
    voxelmorph: VoxelMorphConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig.model_validate({})
    losses: LossConfig = LossConfig.model_validate({})
    validation: int = Field(3, ge=1)
    validation_pairs: int = Field(6, ge=1)
    seed: int = Field(0, ge=0)
    steps: int = Field(2000, ge=1)
    pretraining: float = Field(0.6, ge=0, le=1)
    unseen: float = Field(0.0, ge=0, lt=1)
    known: float = Field(0.0, ge=0, le=1)
    start: float = Field(0.0, ge=0)
    batch: int = Field(1, ge=1)
    rate: float = Field(2e-3, gt=0)
    through_rate: float = Field(1.0, ge=0)
    factor_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    warmup: int = Field(50, ge=0)
    clip: float = Field(1.0, gt=0)
    average: float = Field(0.98, ge=0, lt=1)
    fewest: float = Field(0.5, gt=0, le=1)
    most: float = Field(1.0, gt=0, le=4)
    limit: float | None = Field(0.1, gt=0)
    last: int | None = Field(None, ge=1)
    finest: float = Field(1.0, ge=1)
    curriculum: float = Field(0.2, ge=0, le=1)
    validate_every: int = Field(100, ge=1)
    checkpoint_every: int = Field(50, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "float32"

    @property
    def teaches_features(self) -> bool:
        """Whether there is a loss on φ alone."""
        return self.network is not None and (self.losses.auxiliary > 0 or self.losses.distances > 0)

    @property
    def pretraining_steps(self) -> int:
        """Number of steps that use the losses of φ alone."""
        return round(self.pretraining * self.steps) if self.teaches_features else 0
