"""Selection of the subjects of a training: pairs, held-out pairs, modalities, and the labels that teach φ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learngn.arrays import as_numpy
from learngn.errors import TrainingError
from learngn.geometry.grid import FloatArray
from learngn.io import Dataset, Pair, Subject, read_image, scan_numbers
from learngn.learning.config import TrainingConfig
from learngn.learning.pairing import AnyOfEach, AnyTwo, Listed, Pairing

_FEWEST = 3  # subjects: two that make a pair, one for validation
_PLACED = 1.5  # variation of the place of a label that means the same in every subject [radii]
_BALL = {2: math.pi**0.5, 3: (4 * math.pi / 3) ** (1 / 3)}  # root of the volume of a ball of radius one


@dataclass(frozen=True, eq=False)
class Selection:
    """Subjects of a training.

    Attributes
    ----------
    pairing : Pairing of Subject
        From which every step draws.
    held_out : tuple of (Subject, Subject)
        Pairs that choose the weights and λ; none of their subjects is trained on, unless a single one is held out.
    modalities : tuple of str
        Numbers of the two modalities in file names, that of the fixed scans first; empty for pairs of one modality.
    """

    pairing: Pairing[Subject]
    held_out: tuple[tuple[Subject, Subject], ...]
    modalities: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """All subjects, each once: those to train on, then those held out."""
        held = [subject for pair in self.held_out for subject in pair]
        return tuple({subject.image: subject for subject in (*self.pairing.members, *held)}.values())

    @property
    def by_pair(self) -> bool:
        """Whether labels may correspond within a pair alone: the pairs are those of a list."""
        return isinstance(self.pairing, Listed)

    def described(self, dataset: Dataset) -> str:
        """Return a sentence on what is drawn."""
        if isinstance(self.pairing, Listed):
            drawn = f"{len(self.pairing.pairs)} pairs of the list training_paired_images"
        elif isinstance(self.pairing, AnyOfEach):
            drawn = f"any of {len(self.pairing.fixed)} fixed with any of {len(self.pairing.moving)} moving scans"
        else:
            drawn = f"any two of {len(self.pairing.members)} subjects"
        names = [dataset.modalities.get(code, code) for code in self.modalities]
        kinds = f" ({names[0]} fixed, {names[1]} moving)" if names else ""
        return f"{drawn}{kinds}; {len(self.held_out)} pairs held out"


def select(dataset: Dataset, config: TrainingConfig) -> Selection:
    """Choose what a training draws; the last subjects or pairs are held out, a third at most.

    Pairs that the data set lists for training are drawn as listed. Otherwise any two subjects make a pair, or, if the
    pairs of `registration_val` have two modalities, any two of different modality.

    Raises
    ------
    TrainingError
        If there are fewer than three pairs or subjects.
    """
    if dataset.training_pairs:
        pairs = [(pair.fixed, pair.moving) for pair in dataset.training_pairs]
        _check_number(dataset, len(pairs), "training pairs")
        held = min(config.validation, len(pairs) // 3)
        return Selection(
            Listed(pairs[:-held]), _spread(pairs[-held:], config), modalities_of_pairs(dataset.training_pairs)
        )
    modalities = modalities_of_pairs(dataset.validation)
    numbers = sorted({scan_numbers(subject.image)[0] for subject in dataset.training})
    _check_number(dataset, len(numbers), "training subjects")
    held = min(config.validation, len(numbers) // 3)
    kept_out = set(numbers[-held:])
    fitting, validating = (
        [subject for subject in dataset.training if (scan_numbers(subject.image)[0] in kept_out) == out]
        for out in (False, True)
    )
    if modalities:
        sides = [[s for s in fitting if scan_numbers(s.image)[1] == code] for code in modalities]
        held_sides = [[s for s in validating if scan_numbers(s.image)[1] == code] for code in modalities]
        for side, code in zip(sides, modalities, strict=True):
            _check_number(dataset, len(side), f"training subjects of modality {code}", least=2)
        pairs = [(fixed, moving) for fixed in held_sides[0] for moving in held_sides[1]]
        return Selection(AnyOfEach(*sides), _spread(pairs, config), modalities)
    others = validating if len(validating) > 1 else fitting
    pairs = [(fixed, moving) for fixed in validating for moving in others if moving is not fixed]
    return Selection(AnyTwo(fitting), _spread(pairs, config))


def organs_of(dataset: Dataset, selection: Selection, config: TrainingConfig) -> tuple[int, ...]:
    """Return the labels that teach φ: those of the configuration, or of the data set.

    Of a list of pairs, labels may mean the same within a pair alone, other regions in every one. There, labels count
    that every scan has at much the same place: whose distance to the centre of all labels varies by less than 1.5 radii
    (a ball of the label's volume has this radius).
    """
    if config.organs is not None:
        return tuple(sorted(config.organs))
    if not selection.by_pair:
        return tuple(sorted(dataset.label_names)) or labels_in(selection.subjects)
    places = [_places(subject.labels) for subject in selection.subjects if subject.labels is not None]
    everywhere = sorted(set.intersection(*(set(place) for place in places))) if places else []
    return tuple(value for value in everywhere if _variation([place[value] for place in places]) < _PLACED)


def labels_in(subjects: Sequence[Subject]) -> tuple[int, ...]:
    """Return the labels that occur in the subjects' label maps."""
    paths = [subject.labels for subject in subjects if subject.labels is not None]
    return tuple(sorted({value for path in paths for value in read_image(path, labels=True).label_values}))


def _places(path: Path) -> dict[int, tuple[FloatArray, float]]:
    """Return, by label, the offset of its centre from that of all labels [mm], and its volume [mm³ or mm²]."""
    image = read_image(path, labels=True)
    data, spacing = as_numpy(image.data)[0, 0], image.grid.spacing
    centre = np.argwhere(data != 0).mean(0)
    voxels = {value: np.argwhere(data == value) for value in image.label_values}
    volume = float(np.prod(spacing))
    return {value: ((index.mean(0) - centre) * spacing, len(index) * volume) for value, index in voxels.items()}


def _variation(places: Sequence[tuple[FloatArray, float]]) -> float:
    """Return the standard deviation of a label's offsets, relative to the radius of a ball of its volume."""
    offsets = np.stack([offset for offset, _ in places])
    ndim = offsets.shape[1]
    radius = float(np.median([volume for _, volume in places])) ** (1 / ndim) / _BALL[ndim]
    return float(np.sqrt(offsets.var(0).sum()) / radius)


def modalities_of_pairs(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the modalities of the fixed and the moving scans, if they are two; otherwise none."""
    found = {(scan_numbers(pair.fixed.image)[1], scan_numbers(pair.moving.image)[1]) for pair in pairs}
    if len(found) != 1:
        return ()
    (codes,) = found
    return codes if codes[0] != codes[1] else ()


def _spread(pairs: Sequence[tuple[Subject, Subject]], config: TrainingConfig) -> tuple[tuple[Subject, Subject], ...]:
    """Return as many pairs as the configuration allows, spread over the list."""
    chosen = np.linspace(0, len(pairs) - 1, min(config.validation_pairs, len(pairs))).round().astype(int)
    return tuple(pairs[i] for i in chosen)


def _check_number(dataset: Dataset, number: int, what: str, least: int = _FEWEST) -> None:
    if number < least:
        raise TrainingError(
            f"data set {dataset.name}",
            f"{number} {what}",
            f"{least} at least: two to register, one to validate with",
            "list more under training, that no pair of registration_val shows",
        )
