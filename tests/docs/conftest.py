"""The files that the pages speak of, small and synthetic, in the folder in which the blocks of a page run."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine
from learngn.io import (
    Mesh,
    Streamlines,
    read_dataset,
    read_grid,
    read_image,
    write_frames,
    write_learn2reg,
    write_mesh,
    write_streamlines,
    write_transform,
)
from learngn.phantom import ORGANS, abdomens, stained_sections

SHAPE = (32, 28, 24)
SUBJECTS = 6

# What the pages call a scan, and which of the two phantoms' files it is here.
COPIES = {
    "fixed.nii.gz": (
        "fixed.nii.gz",
        "baseline.nii.gz",
        "followup.nii.gz",
        "exhale.nii.gz",
        "first.nii.gz",
        "scans/A_0000.nii.gz",
        "s0001/ct.nii.gz",
    ),
    "moving.nii.gz": ("moving.nii.gz", "inhale.nii.gz", "second.nii.gz", "scans/B_0000.nii.gz", "s0002/ct.nii.gz"),
    "fixed_labels.nii.gz": (
        "fixed_labels.nii.gz",
        "baseline_labels.nii.gz",
        "f.nii.gz",
        "segmentations/fixed.nii.gz",
        "scores/A.nii.gz",
        "s0001/segmentations/organs.nii.gz",
    ),
    "moving_labels.nii.gz": (
        "moving_labels.nii.gz",
        "m.nii.gz",
        "organs.nii.gz",
        "segmentations/moving.nii.gz",
        "scores/B.nii.gz",
        "s0002/segmentations/organs.nii.gz",
    ),
    "points.csv": ("points.csv", "exhale.csv", "inhale.csv"),
    "displacement.nii.gz": ("displacement.nii.gz",),
    **{name: (name,) for name in ("he.jpg", "he.csv", "dab.jpg", "dab.csv")},
    "liver.vtk": ("liver.vtk",),
    "bundle.trk": ("bundle.trk",),
}


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> Path:
    """Two phantoms with labels and points, and a data set of six."""
    root = tmp_path_factory.mktemp("samples")
    phantoms = list(abdomens(SUBJECTS, SHAPE, seed=1))
    for side, phantom in zip(("fixed", "moving"), phantoms, strict=False):
        phantom.scan.save(root / f"{side}.nii.gz")
        phantom.labels.save(root / f"{side}_labels.nii.gz")
    np.savetxt(root / "points.csv", np.array([[8, 8, 8], [12, 10, 6]]), delimiter=",", fmt="%.1f")
    grid = phantoms[0].scan.grid
    write_transform(_shift(grid), root / "displacement.nii.gz", reference=grid)
    _surface_and_bundle(root, phantoms[1].scan.grid, grid)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    names = [f"Toy_{number:04d}_0000.nii.gz" for number in range(1, SUBJECTS + 1)]
    for name, phantom in zip(names, phantoms, strict=True):
        phantom.labels.save(root / "imagesTr" / name)  # features of scans and of label maps both read them
        phantom.labels.save(root / "labelsTr" / name)
    description = {
        "name": "Toy",
        "labels": {str(value): name for value, name in ORGANS.items()},
        "training": [{"image": f"./imagesTr/{name}"} for name in names],
        "registration_val": [{"fixed": f"./imagesTr/{names[-2]}", "moving": f"./imagesTr/{names[-1]}"}],
    }
    (root / "Toy_dataset.json").write_text(json.dumps(description))
    _sections(root)
    return root


def _sections(root: Path) -> None:
    """Two stained sections with landmarks in ANHIR's format, of which the second lacks the last."""
    sections = stained_sections((96, 80), angle=140)
    for name, picture, points in (
        ("he", sections.fixed, sections.fixed_points),
        ("dab", sections.moving, sections.moving_points[:-1]),
    ):
        colours = np.moveaxis(picture.data[0], 0, -1).swapaxes(0, 1).astype(np.uint8)
        Pillow.fromarray(colours).save(root / f"{name}.jpg", quality=95)
        rows = [f"{number},{x:.2f},{y:.2f}" for number, (x, y) in enumerate(points, start=1)]
        (root / f"{name}.csv").write_text("\n".join([",X,Y", *rows]))


@pytest.fixture
def prepare(samples, tmp_path, monkeypatch):
    """Fill a folder with what a page names and make it the current one; returns the page's first variables."""

    def prepared(text: str) -> dict[str, object]:
        for source, names in COPIES.items():
            for name in names:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(samples / source, tmp_path / name)
        for name in {"Toy_dataset.json", *re.findall(r"\b\w+_dataset\.json", text)} - {"Phantoms_dataset.json"}:
            _data_set(samples, tmp_path, name)
        _data_set(samples, tmp_path / "AbdomenCTCT", "AbdomenCTCT_dataset.json")
        _fields(tmp_path / "AbdomenCTCT", tmp_path / "theirs")
        _transforms(tmp_path)
        if "study" in text:
            _bids(samples, tmp_path / "study")
        if table := re.search(r"^id,fixed,moving.*?(?=^```)", text, re.MULTILINE | re.DOTALL):
            _table(samples, tmp_path, table[0])
        if "heart4d.nii.gz" in text:
            _series(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("learngn.cli.demo._SHAPE", SHAPE)
        channels = read_image(samples / "fixed.nii.gz").data
        return {
            "__name__": "__main__",
            "fixed": read_image(samples / "fixed.nii.gz"),
            "moving": read_image(samples / "moving.nii.gz"),
            "channels_of_fixed": channels,
            "channels_of_moving": channels,
        }

    return prepared


def _data_set(samples: Path, root: Path, name: str) -> None:
    for folder in ("imagesTr", "labelsTr"):
        shutil.copytree(samples / folder, root / folder, dirs_exist_ok=True)
    shutil.copy(samples / "Toy_dataset.json", root / name)


def _table(samples: Path, root: Path, text: str) -> None:
    """The table of pairs that a page shows, and the files that it names."""
    (root / "pairs.csv").write_text(text)
    for name in re.findall(r"[^,\n]+\.nii\.gz", text):
        source = ("fixed" if "exhale" in name else "moving") + ("_labels" if "seg" in name else "")
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(samples / f"{source}.nii.gz", root / name)


def _transforms(root: Path) -> None:
    """Linear maps in files of several programs: a shift; FSL's is from moving to fixed."""
    shift = _shift(read_grid(root / "fixed.nii.gz"))
    write_transform(shift, root / "initial.tfm")
    np.savetxt(root / "affine.mat", shift.matrix)
    np.savetxt(root / "flirt.mat", np.eye(4))


def _bids(samples: Path, root: Path) -> None:
    """A study of one subject with two sessions."""
    for side, session in (("fixed", "01"), ("moving", "02")):
        folder = root / "sub-01" / f"ses-{session}" / "anat"
        folder.mkdir(parents=True)
        shutil.copy(samples / f"{side}.nii.gz", folder / f"sub-01_ses-{session}_T1w.nii.gz")
        shutil.copy(samples / f"{side}_labels.nii.gz", folder / f"sub-01_ses-{session}_dseg.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Study", "BIDSVersion": "1.10.0"}')


def _fields(dataset: Path, folder: Path) -> None:
    """Displacements of another method: a shift."""
    folder.mkdir()
    for pair in read_dataset(dataset).validation:
        grids = [read_grid(subject.image) for subject in (pair.fixed, pair.moving)]
        write_learn2reg(_shift(grids[0]), folder / pair.field_name, *grids)


def _surface_and_bundle(root: Path, moving: Grid, fixed: Grid) -> None:
    """A tetrahedron in the moving scan, and two streamlines in the fixed one."""
    corners = moving.index_to_world([[12, 10, 9], [18, 10, 9], [12, 16, 9], [12, 10, 15]])
    write_mesh(Mesh(corners, [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]), root / "liver.vtk")
    lines = [fixed.index_to_world(np.linspace((8, 9, 8 + n), (20, 18, 12), 20)) for n in range(2)]
    write_streamlines(Streamlines.from_list(lines), root / "bundle.trk", grid=fixed)


def _series(root: Path) -> None:
    """A beating ventricle in four frames, labels of one of them, and points of another."""
    grid = Grid.from_spacing((24, 22, 20), 2.0, origin=(-23, -21, -19))
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(grid.index_to_world(index), axis=-1)
    radii = (10.0, 11.0, 12.0, 11.0)
    frames = [
        Image.from_array((100 / (1 + np.exp(away - r)) + 50 / (1 + np.exp(away - r - 6))).astype(np.float32), grid)
        for r in radii
    ]
    for name in ("heart4d.nii.gz", "bold4d.nii.gz"):
        write_frames(frames, root / name, 0.1)
    Image.from_array((away < radii[2]).astype(np.uint8), grid, labels=True).save(root / "frame2.nii.gz")
    (root / "valve.csv").write_text("x_ras,y_ras,z_ras\n10,0,0\n0,-10,0\n")


def _shift(grid: Grid) -> Affine:
    matrix = np.eye(grid.ndim + 1)
    matrix[:-1, -1] = 1.0  # [mm]
    return Affine(matrix)
