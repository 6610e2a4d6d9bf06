"""Channels of colour pictures in which sections of different stains can be compared: stains, and darkness."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.errors import require_packages
from learngn.geometry.image import Image
from learngn.settings import STAINS

_LUMINANCE = (0.299, 0.587, 0.114)  # weights of red, green and blue, ITU-R BT.601
_HED = {"haematoxylin": 0, "eosin": 1, "dab": 2}  # rows of scikit-image's matrix
_LIGHT = 0.6  # of the full range: least luminance of an empty slide
_WHITE = 0.5  # of the full range: least value of its colours, which a lamp may tint


def is_light(colour: Image) -> bool:
    """Whether a picture has a light background, as a stained section in bright field has.

    Parameters
    ----------
    colour : Image, (1, 3, *S)
    """
    values, full = _values(colour)
    return float(np.dot(_background(values), _LUMINANCE)) >= _LIGHT * full


def stain_channels(colour: Image, stains: Sequence[str]) -> Image:
    """Return channels of a colour picture that are 0 on an empty slide.

    Parameters
    ----------
    colour : Image, (1, 3, *S)
        Red, green and blue, as stored.
    stains : sequence of str
        ``"grey"``: the luminance subtracted from that of the background if this is light, the luminance itself
        otherwise. ``"haematoxylin"``, ``"eosin"``, ``"dab"``: amounts of these stains, by deconvolution of the
        optical densities; a negative amount counts as none.

    Returns
    -------
    Image
        (1, C, *S), a channel for each of the stains, in this order.

    Raises
    ------
    MissingPackageError
        If a stain is asked for, and scikit-image is not installed.

    References
    ----------
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", Analytical and
    Quantitative Cytology and Histology 2001.
    """
    values, full = _values(colour)
    light = is_light(colour)
    white = _background(values).clip(_WHITE * full, full) if light else np.full(3, full)
    amounts = _amounts(values, white) if any(name in _HED for name in stains) else None
    channels = []
    for name in stains:
        if name in _HED and amounts is not None:
            channels.append(amounts[..., _HED[name]])
            continue
        grey = values @ np.asarray(_LUMINANCE, np.float32)
        channels.append(np.maximum(float(np.dot(white, _LUMINANCE)) - grey, 0) if light else grey)
    data = np.stack(channels)[None].astype(np.float32)
    return Image(data, colour.grid, path=colour.path).like(colour.data)


def automatic_stains(*pictures: Image | None) -> tuple[str, ...]:
    """Return the channels that suit pictures: haematoxylin, which most stains share, where all are stained sections.

    Parameters
    ----------
    *pictures : Image or None
        Colour pictures; None for a scan without colours, which only grey can be compared with.
    """
    stained = all(picture is not None and is_light(picture) for picture in pictures)
    return ("haematoxylin", "grey") if stained else ("grey",)


def has_stains() -> bool:
    """Whether scikit-image is installed, which separates stains."""
    return find_spec("skimage") is not None


def check_stains(stains: Sequence[str]) -> None:
    """Raise :class:`learngn.errors.MissingPackageError` if a stain needs scikit-image, and it is not installed."""
    named = [name for name in stains if name in _HED]
    if named:
        require_packages(f"stain {named[0]}", "stains", "skimage", otherwise="or compare the stain grey")


def _amounts(values: NDArray[np.float32], white: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the amounts of haematoxylin, eosin and DAB, (*S, 3), of colours seen before a white, (3,)."""
    check_stains(STAINS)
    from skimage.color import hed_from_rgb, separate_stains

    return np.asarray(separate_stains(np.minimum(values / white.astype(np.float32), 1), hed_from_rgb))


def _values(colour: Image) -> tuple[NDArray[np.float32], float]:
    """Return the colours, (*S, 3), and the value of full light."""
    values = np.moveaxis(as_numpy(colour.data)[0, :3], 0, -1).astype(np.float32, copy=False)
    if colour.stored is not None:
        return values, float(np.iinfo(colour.stored).max)
    top = float(values.max(initial=0.0))
    return values, next((full for full in (1.0, 255.0) if top <= full), max(top, 1.0))


def _background(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median colour of the outermost pixels, (3,)."""
    edges = [values[0], values[-1], values[:, 0], values[:, -1]]
    return np.asarray(np.median(np.concatenate(edges), axis=0), dtype=np.float64)
