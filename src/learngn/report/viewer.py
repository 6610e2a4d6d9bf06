"""Data of the viewer: volumes of a pair on a common display grid, small enough for one page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learngn.arrays import as_numpy
from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Transform
from learngn.quality.inside import Body
from learngn.report import palette, volumes
from learngn.report.material import Material
from learngn.report.orientation import VIEWS, Orientation, View
from learngn.report.points import described
from learngn.report.scans import Shown, display_of_colours, displays_of
from learngn.report.volumes import Part

BUDGET = 7_000_000  # largest size of the volumes [bytes], 9.3 MB in base64

_VOXELS = 1 << 23  # most voxels of a scan, for the canvas of a phone
# Voxels per byte of the budget: six bytes per voxel of a displacement take a quarter, one of a determinant a sixth.
_FIELD_SHARE, _JACOBIAN_SHARE = 1 / 24, 1 / 6
_QUALITIES = (95, 90, 85, 75, 60)  # JPEG
_STEP = 0.05  # precision of a stored displacement [mm]
_ROLES = {"fixed": "fixed", "moving": "before", "warped": "warped"}


def viewer_data(
    material: Material, budget: int = BUDGET, view: View | None = None
) -> tuple[dict[str, Any], dict[str, Part]] | None:
    """Make the data of the viewer, of at most `budget` bytes.

    Parameters
    ----------
    material : Material
    budget : int
        Largest size of all volumes together [bytes]. Scans are compressed more, and then resampled to a coarser grid,
        until they fit.
    view : View, optional
        Only view to show, for a grid of a single slice; by default all.

    Returns
    -------
    (dict, dict of Part) or None
        Description of the volumes for JSON, and the volumes by name; None if there is nothing to show.
    """
    grid = material.grid
    if grid is None:
        return None
    turn = Orientation.of(grid) if view is None else Orientation.of(grid).facing(view)
    values = _label_values(material)
    deformation = _deformation(material.transform, grid, turn, budget)
    if material.uncertainty is not None:
        deformation["uncertainty"] = _uncertainty(material.uncertainty, grid, turn, budget)
    voxels = _VOXELS
    while True:
        display = volumes.display_grid(grid, voxels)
        exact, scans = _images(material, display, turn, values)
        parts = exact | {name: part for name, part in deformation.items() if isinstance(part, Part)}
        folds = deformation.get("determinant")
        if isinstance(folds, np.ndarray) and (folds <= 0).any():
            parts["folds"] = volumes.pack_codes(turn.volume(_folds(folds, display, material.fixed)))
        remaining = budget - sum(len(part.data) for part in parts.values())
        packed = _packed_scans(scans, remaining)
        if packed is not None or display.size < 1000:
            break
        voxels = display.size // 2
    if not (parts or packed):
        return None
    parts |= packed or {}
    return _description(material, display, turn, view, values, parts), parts


def _images(
    material: Material, display: Grid, turn: Orientation, values: list[int]
) -> tuple[dict[str, Part], dict[str, Shown]]:
    """Return packed label maps and masks, and scans, on the display grid."""
    exact = _masks(material, display, turn)
    scans: dict[str, Shown] = {}
    given = {role: getattr(material, role) for role in _ROLES}
    grey = {role: scan for role, scan in given.items() if scan is not None and not scan.labels}
    displays = displays_of(grey, material.windows)
    for role, name in _ROLES.items():
        labels = getattr(material, f"{role}_labels")
        if labels is not None:
            exact[f"{name}_labels"] = volumes.pack_codes(turn.volume(_codes(labels, display, values)))
        image: Image | None = getattr(material, role)
        if image is None:
            continue
        if image.labels:
            exact[name] = volumes.pack_codes(turn.volume(_codes(image, display, values)))
            continue
        colour = material.colours.get(role)
        if colour is None:
            scans[name] = Shown.of(turn.volume(_shown(image, display)), displays[role])
            continue
        channels = (replace(colour, data=colour.data[:, channel : channel + 1]) for channel in range(3))
        painted = np.stack([turn.volume(_shown(channel, display)) for channel in channels], axis=-1)
        scans[name] = Shown.of(painted, display_of_colours(role, colour))
    return exact, scans


def _masks(material: Material, display: Grid, turn: Orientation) -> dict[str, Part]:
    """Return the packed masks of the fixed scan, and of the moving one before and after registration."""
    fixed, moving, transform = material.fixed_mask, material.moving_mask, material.transform
    shown = {} if fixed is None else {"fixed_mask": _moved(fixed, None, display)}
    if moving is not None:
        shown["before_mask"] = _moved(moving, None, display)
        if transform is not None:
            shown["warped_mask"] = _moved(moving, transform, display)
    return {name: volumes.pack_codes(turn.volume((mask > 0.5).astype(np.uint8))) for name, mask in shown.items()}


def _moved(mask: Image, transform: Transform | None, display: Grid) -> NDArray[Any]:
    moved = (transform or Affine.identity(display.ndim)).warp(mask, display, background=0.0)
    return np.asarray(as_numpy(moved.data)[0, 0])


def _folds(determinant: NDArray[Any], display: Grid, fixed: Image | None) -> NDArray[np.uint8]:
    """Return the folds on the display grid: 2 inside the body of the fixed scan, 1 elsewhere."""
    folded = determinant <= 0
    codes = (volumes.pooled(folded.astype(np.float32), display.shape) > 0).astype(np.uint8)
    if fixed is None or fixed.grid.shape != folded.shape:
        return codes
    places = np.argwhere(folded)
    inside = np.zeros(folded.shape, dtype=np.float32)
    inside[tuple(places[Body.of(fixed).holds(places)].T)] = 1
    codes[volumes.pooled(inside, display.shape) > 0] = 2
    return codes


def _shown(image: Image, display: Grid) -> NDArray[Any]:
    """Resample an image onto the display grid by its world coordinates."""
    if image.grid.resized(display.shape).same_space(display):
        array = image.data[0, 0]
        return volumes.picked(array, display.shape) if image.labels else volumes.pooled(array, display.shape)
    moved = Affine.identity(display.ndim).warp(image, display)
    shown: NDArray[Any] = moved.data[0, 0]
    return shown


def _codes(image: Image, display: Grid, values: list[int]) -> NDArray[np.uint8]:
    return volumes.codes_of(_shown(image, display), values)


def _packed_scans(scans: Mapping[str, Shown], budget: int) -> dict[str, Part] | None:
    """Pack scans at the highest quality that fits the budget; None if none does."""
    for quality in _QUALITIES:
        if sum(scan.estimate(quality) for scan in scans.values()) > budget:
            continue
        packed = {name: scan.packed(quality) for name, scan in scans.items()}
        if sum(len(part.data) for part in packed.values()) <= budget:
            return packed
    return None


def _deformation(transform: Transform | None, grid: Grid, turn: Orientation, budget: int) -> dict[str, Any]:
    """Return the packed displacement and log Jacobian, and the Jacobian determinant."""
    if transform is None:
        return {}
    coarse = volumes.display_grid(grid, int(_FIELD_SHARE * budget))
    field = turn.vectors(as_numpy(transform.on(coarse).displacement())[0])
    spacing = np.array(turn.spacing(coarse))[: grid.ndim].reshape(-1, 1, 1, 1)
    field = field * spacing
    magnitude = np.sqrt(np.square(field).sum(axis=0))
    step = max(_STEP, float(np.abs(field).max()) / 32000)
    displacement = volumes.pack_smooth(np.round(field / step).astype(np.int16))
    displacement.spec.update(components=grid.ndim, step=step)
    displacement.spec["top"] = max(volumes.rounded_up(float(np.percentile(magnitude, 99.5))), 0.1)

    determinant = as_numpy(transform.on(grid).jacobian_determinant())[0]
    medium = volumes.display_grid(grid, int(_JACOBIAN_SHARE * budget))
    logarithm = np.log(np.maximum(volumes.pooled(determinant, medium.shape), 1e-6))
    top = max(volumes.rounded_up(float(np.percentile(np.abs(logarithm), 99))), 0.1)
    shown, top = top, max(top, math.log(2))  # the page also has a scale from a half to twice the volume
    codes = np.round(127.5 + np.clip(logarithm / top, -1, 1) * 127.5).astype(np.uint8)
    jacobian = volumes.pack_smooth(turn.volume(codes))
    jacobian.spec.update(top=top, shown=shown)
    return {"displacement": displacement, "jacobian": jacobian, "determinant": determinant}


def _uncertainty(deviation: Image, grid: Grid, turn: Orientation, budget: int) -> Part:
    """Return the packed standard deviation of the displacement."""
    values = _shown(deviation, volumes.display_grid(grid, int(_JACOBIAN_SHARE * budget)))
    top = max(volumes.rounded_up(float(np.percentile(values, 99))), 0.1)
    packed = volumes.pack_smooth(turn.volume(np.round(np.clip(values / top, 0, 1) * 255).astype(np.uint8)))
    packed.spec["top"] = top
    return packed


def _label_values(material: Material) -> list[int]:
    """Return the labels of all label maps in ascending order."""
    labels = {value for image in _label_images(material) for value in volumes.label_values(image.data[0, 0])}
    return sorted(labels)


def _label_images(material: Material) -> Iterator[Image]:
    for role in _ROLES:
        for image in (getattr(material, role), getattr(material, f"{role}_labels")):
            if image is not None and image.labels:
                yield image


def _description(
    material: Material,
    display: Grid,
    turn: Orientation,
    view: View | None,
    values: list[int],
    parts: Mapping[str, Part],
) -> dict[str, Any]:
    views = VIEWS[display.ndim] if view is None else (View(view.name, 0, 1, 2, view.marks),)
    outlines = {
        name: label for name in _ROLES.values() for label in (f"{name}_labels", name) if _is_codes(parts, label)
    }
    # Labels of the scan, if there are any, take precedence over registered label maps.
    outlines |= {name: f"{name}_labels" for name in _ROLES.values() if f"{name}_labels" in parts}
    return {
        "shape": [*([1] if display.ndim == 2 else []), *(display.shape[axis] for axis in turn.order)],
        "spacing": turn.spacing(display),
        "world": turn.affine(display).tolist() if len(views) == 3 else None,
        "views": [vars(shown) for shown in views],
        "start": _start(material, display, turn, values),
        "labels": [
            {"value": value, "name": label_name(material.metrics, value), "colour": palette.label_colour(value)}
            for value in values
        ],
        "outlines": outlines,
        "volumes": {name: part.spec for name, part in parts.items()},
        "points": {
            kind: described(points, material.transform, display, turn)
            for kind in ("landmarks", "keypoints")
            if view is None and (points := getattr(material, kind)) is not None
        },
        "palettes": {"length": palette.LENGTH, "jacobian": palette.LOG_JACOBIAN, "fold": palette.FOLD},
    }


def _is_codes(parts: Mapping[str, Part], name: str) -> bool:
    return name in parts and parts[name].spec["kind"] == "codes"


def _start(material: Material, display: Grid, turn: Orientation, values: list[int]) -> list[int]:
    """Return the first slices x, y, z of the views: those with the largest areas of most labels, or the middle."""
    guide = material.fixed_labels or (material.fixed if material.label_maps else None)
    shape = [display.shape[axis] for axis in turn.order]
    place = [n // 2 for n in shape]
    if guide is not None:
        place = volumes.fullest(np.ascontiguousarray(turn.volume(_codes(guide, display, values))))[-display.ndim :]
    return [*reversed(place), *([0] if display.ndim == 2 else [])]


def label_name(metrics: Mapping[str, Any], label: int | str) -> str:
    """Return the name of a label, or ``label 7``."""
    return str(metrics.get("label_names", {}).get(str(label), f"label {label}")).replace("_", " ")
