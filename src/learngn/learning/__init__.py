"""Training: configuration, examples, augmentation, losses, training loop."""

from learngn.learning.config import TrainingConfig
from learngn.learning.config_parts import AugmentationConfig, LossConfig
from learngn.learning.train import train
from learngn.learning.trainer import Trained, TrainingEvents
from learngn.learning.validation import Validation, validate

__all__ = [
    "AugmentationConfig",
    "LossConfig",
    "Trained",
    "TrainingConfig",
    "TrainingEvents",
    "Validation",
    "train",
    "validate",
]
