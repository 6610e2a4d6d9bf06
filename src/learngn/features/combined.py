"""Combinations of features, and their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import mul, or_

from learngn.arrays import Array, empty_channels_last, narrow
from learngn.errors import FeatureError
from learngn.features.base import Feature, FeatureImage, Traits
from learngn.features.corners import Corners
from learngn.features.distance import Distance, OrganDistance
from learngn.features.intensity import Intensity
from learngn.features.labels import Labels
from learngn.features.local import EdgeStrength, LocalIntensity, NormalisedGradient, NormalisedGradientScales
from learngn.features.mind import Mind, MindCentre, MindScales
from learngn.features.none import Nothing
from learngn.features.probabilities import ChannelFiles, ScoreDistances, ScoreFiles
from learngn.features.script import NetworkFile
from learngn.features.vesselness import Vesselness
from learngn.geometry.image import Image

# A new feature needs one file and one line here.
FEATURES: dict[str, Callable[[], Feature]] = {
    "corners": Corners,
    "distance": Distance,
    "edges": EdgeStrength,
    "intensity": Intensity,
    "labels": Labels,
    "local-intensity": LocalIntensity,
    "mind": Mind,
    "mind-centre": MindCentre,
    "mind-multi": MindScales,
    "ngf": NormalisedGradient,
    "ngf-multi": NormalisedGradientScales,
    "none": Nothing,
    "organ-distance": OrganDistance,
    "vesselness": Vesselness,
}
# Features that read files: their names are followed by a path, "scores=DIR".
FILE_FEATURES: dict[str, Callable[[str], Feature]] = {
    "channels": ChannelFiles,
    "network": NetworkFile,
    "score-distance": ScoreDistances,
    "scores": ScoreFiles,
}


@dataclass(frozen=True)
class Combined:
    """Combination of several features: the channels of all of them, with a weight on the squared residual of each.

    If several parts have voxel weights (:attr:`FeatureImage.weight`), the weight of a voxel is their product, for all
    channels.

    Attributes
    ----------
    parts : sequence of (Feature, float)
    """

    parts: tuple[tuple[Feature, float], ...]

    @property
    def name(self) -> str:
        """Names of the parts with their weights, in the format of :func:`parse_features`."""
        return ",".join(f.name if w == 1 else f"{f.name}:{w:g}" for f, w in self.parts)

    @property
    def traits(self) -> Traits:
        """Every trait that any of the parts has."""
        return reduce(or_, (feature.traits for feature, _ in self.parts), Traits())

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`.

        Raises
        ------
        FeatureError
            If the parts lie on different grids.
        """
        channels = zip(_channels_of(fixed), _channels_of(moving), strict=True)
        pairs = (feature(*pair, spacing) for pair in channels for feature, _ in self.parts)
        sides = [list(side) for side in zip(*pairs, strict=True)]
        moving_features = self._joined(sides.pop())  # its parts are freed before those of the fixed image are joined
        return self._joined(sides.pop()), moving_features

    def _joined(self, images: Sequence[FeatureImage]) -> FeatureImage:
        """Return the features of one image: the channels of all parts, concatenated."""
        if len(images) == 1 and self.parts[0][1] == 1:
            return images[0]
        grid, several = images[0].grid, len(images) // len(self.parts)
        parts = [(feature, weight / several) for _ in range(several) for feature, weight in self.parts]
        for image, (feature, _) in zip(images, parts, strict=True):
            if not image.grid.same_space(grid):
                raise FeatureError(
                    f"feature {feature.name}",
                    str(image.grid),
                    f"the grid of {self.parts[0][0].name}, {grid}",
                    "compute all features at the requested spacing",
                )
        counts = [image.data.shape[1] for image in images]
        data = empty_channels_last((len(images[0].data), sum(counts), *grid.shape), images[0].data)
        start = 0
        for image, count, (_, factor) in zip(images, counts, parts, strict=True):
            narrow(data, 1, start, count)[...] = image.data if factor == 1 else image.data * factor**0.5
            start += count
        weights: list[Array] = [image.weight for image in images if image.weight is not None]
        return FeatureImage(data, grid, reduce(mul, weights) if weights else None)


def parse_features(text: str, organs: tuple[int, ...] | None = None) -> Combined:
    """Read ``"mind,intensity:0.5"`` or ``"mind,scores=DIR:2"``: names, some with a path, and optional weights.

    Parameters
    ----------
    text : str
        Paths may contain any character except a comma.
    organs : tuple of int, optional
        Labels that get one channel each in features with one channel per label, whichever labels the pair contains:
        a network needs a fixed number of channels.

    Raises
    ------
    FeatureError
        If a name is unknown, a path is missing or not allowed, a weight is not a positive number, or features of scans
        and features of label maps are combined.
    """
    parts: list[tuple[Feature, float]] = []
    for item in text.split(","):
        name, path, weight = _split(item.strip())
        feature = FEATURES[name]() if path is None else FILE_FEATURES[name](path)
        if organs is not None and isinstance(feature, OrganDistance):
            feature = replace(feature, organs=organs)
        parts.append((feature, weight))
    return _uniform(parts)


def _split(item: str) -> tuple[str, str | None, float]:
    """Return name, path and weight of one feature."""
    name, equals, path = item.partition("=")
    if equals:
        # A Windows path contains a colon, too: the text after the last one is a weight if it is a number.
        front, colon, last = path.rpartition(":")
        path, weight_text = (front, last) if colon and _number(last) is not None else (path, "")
    else:
        name, _, weight_text = item.partition(":")
    if name not in (FILE_FEATURES if equals else FEATURES):
        hint = "correct the name"
        if name in FEATURES:
            hint = f"{name} reads no file: leave out {equals + path!r}"
        elif name in FILE_FEATURES:
            hint = f"{name} wants a path: {name}=PATH"
        known = [*FEATURES, *(f"{n}=PATH" for n in FILE_FEATURES)]
        raise FeatureError("feature", repr(name), f"one of {', '.join(sorted(known))}", hint)
    if equals and not path:
        raise FeatureError(f"feature {name}", "no path", "a path", f"write for example {name}=PATH")
    weight = _number(weight_text) if weight_text else 1.0
    if weight is None or not 0 < weight < float("inf"):
        raise FeatureError(f"weight of {name}", repr(weight_text), "a positive number", "write for example mind:0.5")
    return name, path if equals else None, weight


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _uniform(parts: Sequence[tuple[Feature, float]]) -> Combined:
    if len({feature.traits.reads_labels for feature, _ in parts}) > 1:
        raise FeatureError(
            "features",
            ", ".join(feature.name for feature, _ in parts),
            "features of scans only, or of label maps only",
            "choose one kind",
        )
    return Combined(tuple(parts))


def _channels_of(image: Image) -> list[Image]:
    """Return the channels of an image one by one, on its grid."""
    count = image.data.shape[1]
    return [image] if count == 1 else [replace(image, data=narrow(image.data, 1, c, 1)) for c in range(count)]
