"""Learned registration models: architecture, weights and the folder that holds them."""

from learngn.model.architecture import LineariserConfig, Modality, ModelConfig, NetworkConfig, VoxelMorphConfig
from learngn.model.encoder import Encoder, Profiles, pooled_shape
from learngn.model.folder import Provenance, read_description, read_model, write_model
from learngn.model.model import Model
from learngn.model.trainable import TrainableGaussNewton
from learngn.model.voxelmorph import VoxelMorphRegistration

__all__ = [
    "Encoder",
    "LineariserConfig",
    "Modality",
    "Model",
    "ModelConfig",
    "NetworkConfig",
    "Profiles",
    "Provenance",
    "TrainableGaussNewton",
    "VoxelMorphConfig",
    "VoxelMorphRegistration",
    "pooled_shape",
    "read_description",
    "read_model",
    "write_model",
]
