"""Features φ of a pair of images, one file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from learngn.features.base import Feature, FeatureImage, OneByOne, Traits
from learngn.features.combined import Combined, parse_features
from learngn.features.corners import Corners
from learngn.features.distance import Distance, OrganDistance
from learngn.features.intensity import Intensity
from learngn.features.kept import FeatureStore, for_linear_stage, kept
from learngn.features.labels import Labels
from learngn.features.local import EdgeStrength, LocalIntensity, NormalisedGradient, NormalisedGradientScales
from learngn.features.mind import Mind, MindCentre, MindScales
from learngn.features.network_feature import NetworkFeature
from learngn.features.none import Nothing
from learngn.features.probabilities import ChannelFiles, Given, ScoreDistances, ScoreFiles
from learngn.features.scale import CommonScale, common_grids, cut_alike
from learngn.features.script import NetworkFile
from learngn.features.stains import automatic_stains, check_stains, has_stains, is_light, stain_channels
from learngn.features.vesselness import Vesselness

if TYPE_CHECKING:
    from learngn.features.network import ChannelProfiles, EncoderDecoder

__all__ = [
    "ChannelFiles",
    "ChannelProfiles",
    "Combined",
    "CommonScale",
    "Corners",
    "Distance",
    "EdgeStrength",
    "EncoderDecoder",
    "Feature",
    "FeatureImage",
    "FeatureStore",
    "Given",
    "Intensity",
    "Labels",
    "LocalIntensity",
    "Mind",
    "MindCentre",
    "MindScales",
    "NetworkFeature",
    "NetworkFile",
    "NormalisedGradient",
    "NormalisedGradientScales",
    "Nothing",
    "OneByOne",
    "OrganDistance",
    "ScoreDistances",
    "ScoreFiles",
    "Traits",
    "Vesselness",
    "automatic_stains",
    "check_stains",
    "common_grids",
    "cut_alike",
    "for_linear_stage",
    "has_stains",
    "is_light",
    "kept",
    "parse_features",
    "stain_channels",
]


def __getattr__(name: str) -> Any:
    if name in ("ChannelProfiles", "EncoderDecoder"):  # networks, which need PyTorch
        return getattr(import_module("learngn.features.network"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
