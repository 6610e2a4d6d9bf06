"""Several features at once, and their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import mul, or_

import torch
from torch import Tensor

from learngn.errors import FeatureError
from learngn.features.base import Feature, FeatureImage, Traits
from learngn.features.corners import Corners
from learngn.features.distance import Distance, OrganDistance
from learngn.features.intensity import Intensity
from learngn.features.labels import Labels
from learngn.features.local import EdgeStrength, LocalIntensity, NormalisedGradient
from learngn.features.mind import Mind, MindCentre, MindScales
from learngn.features.none import Nothing
from learngn.features.scores import ChannelFiles, ScoreDistances, ScoreFiles
from learngn.features.script import NetworkFile
from learngn.features.vesselness import Vesselness
from learngn.geometry.image import Image

# A new feature is one file and one line here.
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
    "none": Nothing,
    "organ-distance": OrganDistance,
    "vesselness": Vesselness,
}
# The same for features that read files: their names go with a path, "scores=DIR".
FILE_FEATURES: dict[str, Callable[[str], Feature]] = {
    "channels": ChannelFiles,
    "network": NetworkFile,
    "score-distance": ScoreDistances,
    "scores": ScoreFiles,
}


@dataclass(frozen=True)
class Combined:
    """The channels of several features, each with a weight on its squared residual.

    Where parts say how much a voxel counts (:attr:`FeatureImage.weight`), their product is what it counts for all of
    them: a voxel has one weight, and weights multiply wherever they meet.

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
    def traits(self) -> Traits:
        """Every trait that one of the parts has."""
        return reduce(or_, (feature.traits for feature, _ in self.parts), Traits())

    def __call__(self, fixed: Image, moving: Image, spacing: float) -> tuple[FeatureImage, FeatureImage]:
        """See :class:`learngn.features.Feature`.

        Raises
        ------
        FeatureError
            If the parts lie on different grids.
        """
        pairs = (feature(fixed, moving, spacing) for feature, _ in self.parts)
        sides = [list(side) for side in zip(*pairs, strict=True)]
        theirs = self._joined(sides.pop())  # and its parts are gone before the other side's are joined
        return self._joined(sides.pop()), theirs

    def _joined(self, images: Sequence[FeatureImage]) -> FeatureImage:
        """One side's parts, channel beside channel."""
        if len(images) == 1 and self.parts[0][1] == 1:
            return images[0]
        grid = images[0].grid
        for image, (feature, _) in zip(images, self.parts, strict=True):
            if not image.grid.same_space(grid):
                raise FeatureError(
                    f"feature {feature.name}",
                    str(image.grid),
                    f"the grid of {self.parts[0][0].name}, {grid}",
                    "make all features at the spacing that is asked for",
                )
        counts = [image.data.shape[1] for image in images]
        side_by_side = torch.channels_last if grid.ndim == 2 else torch.channels_last_3d
        shape, like = (len(images[0].data), sum(counts), *grid.shape), images[0].data
        data = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=side_by_side)
        for room, image, (_, factor) in zip(torch.split(data, counts, dim=1), images, self.parts, strict=True):
            torch.mul(image.data, factor**0.5, out=room)
        weights: list[Tensor] = [image.weight for image in images if image.weight is not None]
        return FeatureImage(data, grid, reduce(mul, weights) if weights else None)


def parse_features(text: str, organs: tuple[int, ...] | None = None) -> Combined:
    """Read ``"mind,intensity:0.5"`` or ``"mind,scores=DIR:2"``: names, some with a path, and optional weights.

    Parameters
    ----------
    text : str
        Paths may hold anything but a comma.
    organs : tuple of int, optional
        Give features that have a channel a label a channel for each of these, whatever the pair shows: what a network
        needs.

    Raises
    ------
    FeatureError
        If a name is unknown, a path is missing or out of place, a weight is not a positive number, or features of scans
        and of label maps are mixed.
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
    """Name, path and weight of one feature."""
    name, equals, path = item.partition("=")
    if equals:
        # The path of a Windows drive has a colon too: what follows the last one is a weight if it is a number.
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
            "features of scans alone or of label maps alone",
            "choose one kind",
        )
    return Combined(tuple(parts))
