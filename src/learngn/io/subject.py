"""Scans with the files that belong to them, pairs of scans, and data sets of both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learngn.errors import DatasetError

_SCAN_NAME = re.compile(r"_(\d{4})_(\d{4})\.")


@dataclass(frozen=True)
class Subject:
    """A scan and the files that belong to it; None for files that do not exist.

    Attributes
    ----------
    image : Path
        Scan, in ``imagesTr``.
    labels : Path or None
        Label map, in ``labelsTr``.
    landmarks : Path or None
        Landmarks, in ``landmarksTr``; where there are none, the key points.
    mask : Path or None
        Mask, in ``masksTr``.
    keypoints : Path or None
        Key points that guide a registration, found by a detector, in ``keypointsTr``. For a pair of other modalities
        than 0000 and 0001, in this order, in ``keypoints01Tr``, ``keypoints02Tr``, ..., named by the two modalities.
    """

    image: Path
    labels: Path | None = None
    landmarks: Path | None = None
    mask: Path | None = None
    keypoints: Path | None = None


@dataclass(frozen=True)
class Pair:
    """Fixed and moving scan to register.

    Attributes
    ----------
    fixed, moving : Subject
    name : str or None
        Name of the pair, for its files; by default that of Learn2Reg, from the names of the scans.
    initial : str or None
        Initial transform, a path or ``"FORMAT:FILE"``; see :func:`learngn.io.read_named_transform`.
    """

    fixed: Subject
    moving: Subject
    name: str | None = None
    initial: str | None = None

    @property
    def id(self) -> str:
        """Name of the pair: its `name`, or ``FFFF_MMMM`` by its subjects, as in Learn2Reg's ``disp_FFFF_MMMM``.

        Learn2Reg's name includes the modality of each scan, ``FFFF_ffff_MMMM_mmmm``, unless both scans are of one
        modality or of 0000 and 0001 in this order.
        """
        if self.name is not None:
            return self.name
        (fixed, fixed_modality), (moving, moving_modality) = (
            scan_numbers(self.fixed.image),
            scan_numbers(self.moving.image),
        )
        if is_plain(fixed_modality, moving_modality):
            return f"{fixed}_{moving}"
        return f"{fixed}_{fixed_modality}_{moving}_{moving_modality}"

    @property
    def field_name(self) -> str:
        """Name of the pair's displacement file by Learn2Reg's rule."""
        return f"disp_{self.id}.nii.gz"


@dataclass(frozen=True)
class Dataset:
    """Data set: that of a description of Learn2Reg, or the pairs of a table.

    Attributes
    ----------
    name : str
    root : Path
        Folder of ``NAME_dataset.json`` or of the table, to which its paths are relative.
    ndim : int
        Dimension of the scans, 2 or 3.
    training : tuple of Subject
        Training subjects that are in no validation pair: Learn2Reg lists its validation subjects under ``training``
        too.
    validation : tuple of Pair
    label_names : dict
        Name of every label except the background.
    training_pairs : tuple of Pair
        Pairs that the data set names for training, without validation subjects; empty where there are none. The pairs
        of a table are both validation and training pairs.
    test : tuple of Pair
        Test pairs; empty where there are none, or none of their scans has been published.
    modalities : dict
        Name of every modality by its number in file names, ``{"0000": "CT"}``; empty where the description has none.
    """

    name: str
    root: Path
    ndim: int
    training: tuple[Subject, ...]
    validation: tuple[Pair, ...]
    label_names: Mapping[int, str]
    training_pairs: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    modalities: Mapping[str, str] = field(default_factory=dict)


def scan_numbers(scan: Path) -> tuple[str, str]:
    """Return subject and modality of a scan, four digits each: ``NAME_0021_0000.nii.gz`` is ``("0021", "0000")``.

    Raises
    ------
    DatasetError
        If the name has no such numbers.
    """
    numbers = _SCAN_NAME.search(scan.name)
    if numbers is None:
        raise DatasetError(
            f"scan {scan}", "a name without numbers", "NAME_0001_0000.nii.gz (subject, modality)", "name it so"
        )
    return numbers[1], numbers[2]


def is_plain(fixed: str, moving: str) -> bool:
    """Whether Learn2Reg's names leave out a pair of modalities."""
    return fixed == moving or (fixed, moving) == ("0000", "0001")
