"""Methods of the paper's comparison, each given by settings or by a training configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace

from learngn.features import parse_features
from learngn.io import Dataset
from learngn.learning import LossConfig, TrainingConfig
from learngn.learning.suited_config import config_for
from learngn.model import LineariserConfig, VoxelMorphConfig
from learngn.settings import Settings, default_settings

# Strides and iterations of ten Gauss-Newton steps that end at the published resolution.
STRIDES, ITERATIONS = (16.0, 8.0, 4.0), (3, 3, 4)

# λ by features, tuned for each method on training subjects of AbdomenCoronal2D: about the best Dice at 0.3 % folds for
# Adam, at 0.2 % for Gauss-Newton (docs/results.md).
_GAUSS_NEWTON = {"distance": (10.0, 1.0), "organ-distance": (10.0, 0.5)}
_ADAM_25 = {"distance": 6.0, "organ-distance": 4.0}
_ADAM_100 = {"distance": 5.0, "organ-distance": 3.0}
_RATE = 0.8


@dataclass(frozen=True)
class Method:
    """Method of the comparison: one row of the table.

    Attributes
    ----------
    key : str
        Name of the method's folder.
    title : str
        Name in the table.
    settings : Settings or None
        Settings of the registration; None for a trained method.
    training : TrainingConfig or None
        Configuration of the training; None for a method without training.
    curve : bool
        Whether the figure has a curve of Dice against iterations for it.
    """

    key: str
    title: str
    settings: Settings | None = None
    training: TrainingConfig | None = None
    curve: bool = False


def paper_methods(features: str, dataset: Dataset, steps: int | None, seed: int) -> tuple[Method, ...]:
    """Return the methods of the comparison for the given features.

    Parameters
    ----------
    features : str
    dataset : Dataset
    steps : int, optional
        Number of steps of every training; by default the number that suits the data set.
    seed : int
        Random seed of the trainings.
    """
    # What a method finds is compared, also where it makes a pair worse.
    usual = replace(default_settings(features, parse_features(features).traits.reads_labels), quality=False)
    one = replace(usual, affine="none", strides=STRIDES[-1:], iterations=(25,), update="adam", longest_step=_RATE)
    ten = replace(usual, affine="none", strides=STRIDES, iterations=ITERATIONS)
    ten = replace(ten, lam=_GAUSS_NEWTON.get(features, usual.lam))
    lam_25, lam_100 = (table.get(features, usual.lam[0]) for table in (_ADAM_25, _ADAM_100))
    learned = config_for(dataset, features=features, steps=steps, seed=seed)
    alone = {"network": None, "pretraining": 0.0}
    published = learned.model_copy(
        update={
            **alone,
            "lineariser": LineariserConfig(kind="published"),
            "learn_lam": False,
            "strides": STRIDES[-1:],
            "iterations": (ITERATIONS[-1],),
            "losses": LossConfig(labels=0, mse=1, auxiliary=0, distances=0, stride=STRIDES[-1]),
        }
    )
    voxelmorph = learned.model_copy(
        update={
            **alone,
            "voxelmorph": VoxelMorphConfig(),
            "learn_lam": False,
            "strides": STRIDES[-1:],
            "iterations": (1,),
            "losses": LossConfig(auxiliary=0, distances=0, smoothness=0.1),
        }
    )
    return (
        Method("adam-25", "Adam, 25 iterations", replace(one, lam=(lam_25, lam_25)), curve=True),
        Method("adam-100", "Adam, 100 iterations", replace(one, lam=(lam_100, lam_100), iterations=(100,)), curve=True),
        Method("published", "Gauss-Newton as published, 10 iterations", replace(ten, update="published")),
        Method("gauss-newton", "Gauss-Newton, 10 iterations", ten, curve=True),
        Method("voxelmorph", "VoxelMorph with labels", training=voxelmorph),
        Method("published-learned", "Learned J and f as published", training=published),
        Method("learned", "LearnGN, learned", training=learned, curve=True),
    )


def truncated(settings: Settings, iterations: int) -> Settings:
    """Return settings whose schedule ends after a total number of iterations."""
    remaining, counts = iterations, []
    for count in settings.iterations:
        counts.append(min(count, remaining))
        remaining -= counts[-1]
    return replace(settings, iterations=tuple(counts))


def budgets(settings: Settings) -> tuple[int, ...]:
    """Return the numbers of iterations at which a curve is measured, up to the total of the schedule."""
    total = sum(settings.iterations)
    return tuple(sorted({n for n in (1, 2, 3, 4, 6, 8, 10, 15, 25, 50, 100) if n < total} | {total}))
