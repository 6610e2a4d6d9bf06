"""Result folders of `learngn register`, made by hand: ellipsoids and a known displacement."""

import hashlib
import json

import numpy as np
import pytest

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import DisplacementField
from learngn.report import write_pair_report

HISTORY = [
    {
        "level": level, "stride": stride, "shape": [4 * (level + 1)] * 3, "iteration": iteration,
        "lam": 5.0 / (level + 1),
        "energy": (2.0 + 1.0 / (iteration + 1)) / (level + 1), "data_energy": 1.5 / (iteration + level + 1),
        "regularity": 0.1, "step": 1.0, "update_mean": 0.5, "update_max": 1.0, "min_jacobian": 0.4,
        "solver_iterations": 4, "solver_residual": 0.01, "solver_status": "converged", "accepted": iteration != 2,
    }
    for level, stride in enumerate((16, 8, 4, 2))
    for iteration in range(4)
]  # fmt: skip


def ellipsoids(grid, centres, seed):
    """A scan and its label map: one ellipsoid a centre (fractions of the grid), on noise."""
    axes = [(np.arange(n) + 0.5) / n for n in grid.shape]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    labels = np.zeros(grid.shape, dtype=np.int16)
    for value, centre in enumerate(centres, start=1):
        labels[(((x - centre) / 0.16) ** 2).sum(axis=-1) < 1] = value
    body = (((x - 0.5) / 0.45) ** 2).sum(axis=-1) < 1
    noise = np.random.default_rng(seed).normal(size=grid.shape)
    scan = 60.0 * body + 25.0 * labels + 4 * noise
    return Image.from_array(scan.astype(np.float32), grid), Image.from_array(labels, grid, labels=True)


def smooth_field(grid):
    """Bumps of some voxels along every axis."""
    axes = [(np.arange(n) + 0.5) / n for n in grid.shape]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=0)
    bump = np.exp(-((x - 0.5) ** 2).sum(axis=0) / 0.06)
    u = np.stack([(2 + 0.06 * n) * bump * (-1) ** a for a, n in enumerate(grid.shape)])
    return DisplacementField(np.asarray(u[None], dtype=np.float32), grid)


@pytest.fixture
def make_result(tmp_path):
    """Make a result folder; returns its path and the inputs' paths."""

    def make(grid=None, *, labels=True, features="mind,intensity:0.5", field=None, files=None):
        grid = grid or Grid.from_spacing((40, 32, 24), (1.0, 1.0, 2.5))
        places = np.array([[0.35, 0.4, 0.5], [0.65, 0.5, 0.5], [0.5, 0.7, 0.4]])[:, : grid.ndim]
        inputs, result = tmp_path / "in", tmp_path / "out"
        inputs.mkdir()
        result.mkdir()
        fixed, fixed_labels = ellipsoids(grid, places, 1)
        moving, moving_labels = ellipsoids(grid, places + 0.05, 2)
        field = field or smooth_field(grid)
        images = {"fixed": fixed, "moving": moving}
        if labels:
            images |= {"fixed_labels": fixed_labels, "moving_labels": moving_labels}
            field.warp(moving_labels, grid).save(result / "warped_labels.nii.gz")
        if features == "organ-distance":
            images |= {"fixed": fixed_labels, "moving": moving_labels}
        paths = {}
        for role, image in images.items():
            paths[role] = inputs / f"{role}.nii.gz"
            image.save(paths[role])
        for role, write in (files or {}).items():  # further inputs: functions that write a file, and its name
            paths[role] = inputs / f"{role}{'.csv' if role.endswith(('landmarks', 'keypoints')) else '.nii.gz'}"
            write(paths[role])
        field.warp(images["moving"], grid).save(result / "warped.nii.gz")
        field.save(result / "displacement.nii.gz")
        metrics = {
            "version": "0.1.0",
            "command": "learngn register fixed.nii.gz moving.nii.gz -o out",
            "inputs": {
                role: {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
                for role, path in paths.items()
            },
            "settings": {"features": features, "affine": True, "strides": [16, 8, 4, 2], "lam": [10.0, 0.5]},
            "ndim": grid.ndim,
            "folds_percent": 0.0312, "folds_body_percent": 0.00004, "std_log_jacobian": 0.21, "sdlogj": 0.05,
            "seconds": {"read": 0.4, "affine": 0.6, "features": 0.3, "optimise": 1.2, "warp": 0.1, "total": 3.21},
            "peak_memory_mb": 812.4,
            "stop": "all iterations done",
            "history": HISTORY,
        }  # fmt: skip
        if labels:
            metrics |= {
                "dice": {"1": 0.91, "2": 0.84, "3": None}, "dice_before": {"1": 0.52, "2": 0.61, "3": None},
                "dice_mean": 0.875, "dice_mean_before": 0.565,
                "hd95": {"1": 2.0, "2": 3.5, "3": None}, "hd95_mean": 2.75,
                "hd95_mm": {"1": 3.0, "2": 4.25, "3": None}, "hd95_mm_mean": 3.625,
                "label_names": {"1": "liver", "2": "spleen & co"},
            }  # fmt: skip
        (result / "metrics.json").write_text(json.dumps(metrics))
        return result, paths

    return make


@pytest.fixture
def opened(make_result, surfer):
    """Open the report of a result as `make_result` makes it, the viewer ready."""

    def open_report(*arguments, images=None, options=None, **more):
        result, paths = make_result(*arguments, **more)
        for path, image in (images(result, paths) if images else {}).items():
            image.save(path)
        page = surfer.open(write_pair_report(result), **(options or {}))
        page.wait_for_selector("#viewer[data-state=ready]")
        page.wait_for_timeout(100)
        return page

    return open_report
