"""Features φ of a pair of images, one file each."""

from learngn.features.base import Feature, FeatureImage, OneByOne, Traits
from learngn.features.combined import Combined, parse_features
from learngn.features.corners import Corners
from learngn.features.distance import Distance, OrganDistance
from learngn.features.intensity import Intensity
from learngn.features.kept import FeatureStore, kept
from learngn.features.labels import Labels
from learngn.features.local import EdgeStrength, LocalIntensity, NormalisedGradient
from learngn.features.mind import Mind, MindCentre, MindScales
from learngn.features.network import ChannelProfiles, EncoderDecoder, NetworkFeature
from learngn.features.none import Nothing
from learngn.features.probabilities import ChannelFiles, Given, ScoreDistances, ScoreFiles
from learngn.features.scale import CommonScale, common_grids, cut_alike
from learngn.features.script import NetworkFile
from learngn.features.vesselness import Vesselness

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
    "Nothing",
    "OneByOne",
    "OrganDistance",
    "ScoreDistances",
    "ScoreFiles",
    "Traits",
    "Vesselness",
    "common_grids",
    "cut_alike",
    "kept",
    "parse_features",
]
