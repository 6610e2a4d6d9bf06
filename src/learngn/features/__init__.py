"""Representations φ of a pair of images, one file each."""

from learngn.features.base import Feature, FeatureImage
from learngn.features.combined import Combined, parse_features
from learngn.features.distance import Distance, OrganDistance
from learngn.features.intensity import Intensity
from learngn.features.labels import Labels
from learngn.features.mind import Mind
from learngn.features.network import ChannelProfiles, EncoderDecoder, NetworkFeature

__all__ = [
    "ChannelProfiles",
    "Combined",
    "Distance",
    "EncoderDecoder",
    "Feature",
    "FeatureImage",
    "Intensity",
    "Labels",
    "Mind",
    "NetworkFeature",
    "OrganDistance",
    "parse_features",
]
