"""Several features at once, and their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from learngn.errors import FeatureError
from learngn.features.base import Feature, FeatureImage, channels_last
from learngn.features.distance import Distance, OrganDistance
from learngn.features.intensity import Intensity
from learngn.features.labels import Labels
from learngn.features.mind import Mind
from learngn.image import Image

# A new feature is one file and one line here.
FEATURES: dict[str, Callable[[], Feature]] = {
    "distance": Distance,
    "intensity": Intensity,
    "labels": Labels,
    "mind": Mind,
    "organ-distance": OrganDistance,
}


@dataclass(frozen=True)
class Combined:
    """The channels of several features, each with a weight on its squared residual.

    Attributes
    ----------
    parts : sequence of (Feature, float)
    """

    parts: tuple[tuple[Feature, float], ...]

    @property
    def name(self) -> str:
        """The parts' names with their weights, as :func:`parse_features` reads them."""
        return ",".join(f.name if w == 1 else f"{f.name}:{w:g}" for f, w in self.parts)

    @property
    def labels(self) -> bool:
        """Whether the parts read label maps."""
        return self.parts[0][0].labels

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`."""
        pairs = [(feature(fixed, moving, spacing), weight**0.5) for feature, weight in self.parts]
        if len(pairs) == 1 and pairs[0][1] == 1:
            return pairs[0][0]
        both = []
        for side in (0, 1):
            data = torch.cat([weight * pair[side].data for pair, weight in pairs], dim=1)
            both.append(FeatureImage(channels_last(data), pairs[0][0][side].grid))
        return both[0], both[1]


def parse_features(text: str, organs: tuple[int, ...] | None = None) -> Combined:
    """Read ``"mind,intensity:0.5"``: names with optional weights.

    Parameters
    ----------
    text : str
    organs : tuple of int, optional
        Give features that have a channel a label a channel for each of these, whatever the pair shows: what a network
        needs.

    Raises
    ------
    FeatureError
        If a name is unknown, a weight is not a positive number, or features of scans and of label maps are mixed.
    """
    parts: list[tuple[Feature, float]] = []
    for item in text.split(","):
        name, _, weight_text = item.strip().partition(":")
        if name not in FEATURES:
            raise FeatureError("feature", repr(name), f"one of {', '.join(sorted(FEATURES))}", "mend --features")
        try:
            weight = float(weight_text) if weight_text else 1.0
        except ValueError:
            weight = 0.0
        if not 0 < weight < float("inf"):
            raise FeatureError(
                f"weight of {name}", repr(weight_text), "a positive number", "write for example mind:0.5"
            )
        feature = FEATURES[name]()
        if organs is not None and isinstance(feature, OrganDistance):
            feature = replace(feature, organs=organs)
        parts.append((feature, weight))
    return _uniform(parts)


def _uniform(parts: Sequence[tuple[Feature, float]]) -> Combined:
    if len({feature.labels for feature, _ in parts}) > 1:
        raise FeatureError(
            "features",
            ", ".join(feature.name for feature, _ in parts),
            "features of scans alone or of label maps alone",
            "choose one kind",
        )
    return Combined(tuple(parts))
