"""learngn series: a 4D file, with labels and points of one frame, becomes a folder."""

import csv
import json

import nibabel
import numpy as np
import pytest

from learngn import Grid, Image, read_transform
from learngn.io import read_frames, write_frames

GRID = Grid.from_spacing((20, 18, 16), 2.0)
SHIFTS = (0.0, 1.5, 3.0, 1.0)  # mm along x
EDGE = np.array([5.0, 0, 0])  # of the object, where its brightness tells how it moves
FAST = ("--strides", "4,2", "--iterations", "6,6", "--lambda", "0.1,0.01", "--threads", "1")
LINEAR = ("--transform", "translation", "--threads", "1")


def blob(shift):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), axis=-1)
    away = GRID.index_to_world(index) - (GRID.centre + np.array([shift, 0, 0]))
    return 100 * np.exp(-((away / np.array([7, 9, 6])) ** 2).sum(axis=-1)) + 20 * np.exp(
        -((away + 5) ** 2).sum(-1) / 30
    )


@pytest.fixture
def files(tmp_path):
    frames = [Image.from_array(blob(shift).astype(np.float32), GRID) for shift in SHIFTS]
    write_frames(frames, tmp_path / "heart.nii.gz", 0.1)
    labels = Image.from_array((blob(SHIFTS[2]) > 40).astype(np.uint8) * 3, GRID, labels=True)
    labels.save(tmp_path / "labels.nii.gz")
    place = GRID.centre + EDGE + np.array([SHIFTS[2], 0, 0])
    (tmp_path / "points.csv").write_text("name,x_ras,y_ras,z_ras\napex," + ",".join(f"{x:.3f}" for x in place) + "\n")
    (tmp_path / "names.json").write_text('{"3": "ventricle"}')
    return tmp_path


@pytest.mark.parametrize("options", [FAST, LINEAR], ids=["deformable", "translation"])
def test_labels_and_points_follow(options, learngn, files, files_in):
    out = files / "out"
    result = learngn(
        "series", files / "heart.nii.gz", "-o", out, "--labels", files / "labels.nii.gz", "--labels-frame", 2,
        "--points", files / "points.csv", "--points-frame", 2, "--label-names", files / "names.json", *options,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "4 frames onto frame 2" in result.stdout
    assert "3 ventricle" in result.stdout
    suffix = "nii.gz" if options is FAST else "tfm"
    assert files_in(out) == sorted([
        *(f"frame_{n:03d}.{suffix}" for n in range(4)), "labels.nii.gz", "learngn.log", "mean.nii.gz", "metrics.json",
        "motion.csv", "report.html", "trajectories.csv", "volumes.csv", "warped.nii.gz",
    ])  # fmt: skip
    with (out / "trajectories.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["apex"] * 4
    found = np.array([float(row["x_ras"]) for row in rows]) - (GRID.centre + EDGE)[0]
    np.testing.assert_allclose(found, SHIFTS, atol=0.5)  # a quarter of a voxel
    assert [float(row["time_s"]) for row in rows] == pytest.approx([0, 0.1, 0.2, 0.3])
    with (out / "volumes.csv").open() as file:
        volumes = [float(row["volume_ml"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(volumes, volumes[2], rtol=0.12)
    labels = nibabel.load(out / "labels.nii.gz")
    assert labels.shape == (*GRID.shape, 4)
    assert float(labels.header.get_zooms()[3]) == pytest.approx(0.1)
    assert [int((np.asarray(labels.dataobj)[..., k] == 3).sum()) * 0.008 for k in range(4)] == pytest.approx(
        volumes, rel=0.15
    )
    moved = read_transform(out / f"frame_001.{suffix}").map_points(GRID.centre + EDGE + np.array([SHIFTS[2], 0, 0]))
    assert moved[0] == pytest.approx(found[1] + (GRID.centre + EDGE)[0], abs=0.05)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["reference"] == 2
    assert metrics["change_in_time"]["after"] < 0.5 * metrics["change_in_time"]["before"]
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 3 * 2 * 4
    assert "ventricle" in page
    assert "Volumes" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_mean_by_default_and_nothing_stale(learngn, files, files_in):
    out = files / "out"
    assert learngn("series", files / "heart.nii.gz", "-o", out, "--frame", 0, *LINEAR).exit_code == 0
    for n, frame in enumerate(read_frames(files / "heart.nii.gz")):
        (files / "frames").mkdir(exist_ok=True)
        frame.save(files / "frames" / f"{n}.nii.gz") if n < 3 else None
    result = learngn("series", files / "frames", "-o", out, "--json", "--no-report", *LINEAR)
    assert result.exit_code == 0, result.stderr
    metrics = json.loads(result.stdout)
    assert metrics["reference"] == "mean"
    assert "frame_003.tfm" not in files_in(out)
    assert "report.html" not in files_in(out)
    shifts = np.array([row["x_mm"] for row in metrics["frames"]])
    np.testing.assert_allclose(shifts, np.array(SHIFTS[:3]) - np.mean(SHIFTS[:3]), atol=0.05)
    result = learngn("series", *sorted((files / "frames").iterdir()), "-o", files / "b", "--quiet", *LINEAR)
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--frame", "7"), "from 0 to 3"),
        (("--frame", "first"), "--frame: got 'first', expected a number"),
        (("--transform", "bent"), "got 'bent', expected one of deformable"),
        (("--smooth-in-time", "1"), "period of 2 frames"),
        (("--labels", "labels.nii.gz"), "--labels: got no frame"),
        (("--labels-frame", "1"), "without --labels"),
        (("--labels", "labels.nii.gz", "--labels-frame", "9"), "from 0 to 3"),
        (("--points", "lost.csv", "--points-frame", "0"), "no such file"),
    ],
)
def test_bad_input_is_one_line(options, message, learngn, files, monkeypatch):
    monkeypatch.chdir(files)
    result = learngn("series", "heart.nii.gz", "-o", "out", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (files / "out").exists()


def test_inputs_are_kept(learngn, files):
    source = files / "warped.nii.gz"
    (files / "heart.nii.gz").rename(source)
    content = source.read_bytes()
    result = learngn("series", source, "-o", files, *LINEAR)
    assert result.exit_code == 2
    assert "without the inputs" in result.stderr
    assert source.read_bytes() == content


@pytest.mark.data
@pytest.mark.slow
def test_ultrasound_of_a_heart(learngn, data_root, tmp_path):
    """Coarse settings: the labels of frame 4 follow the heart about as another program's do."""
    echo = data_root / "Echo4D"
    result = learngn(
        "series", echo / "img4d.nii.gz", "--labels", echo / "seg05.nii.gz", "--labels-frame", 4, "-o", tmp_path / "out",
        "--strides", "8,4,3", "--iterations", "8,8,8", "--no-quality", "--no-report", "--threads", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    ours = np.asarray(nibabel.load(tmp_path / "out" / "labels.nii.gz").dataobj)
    theirs = np.asarray(nibabel.load(echo / "seg4d_resliced.nii.gz").dataobj)
    np.testing.assert_array_equal(ours[..., 4], theirs[..., 4])

    def dice(frame):
        pairs = [(ours[..., frame] == label, theirs[..., frame] == label) for label in (1, 2, 3, 4, 6)]
        return np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs])

    others = [dice(frame) for frame in (0, 1, 2, 3, 5, 6)]
    still = [2 * ((ours[..., 4] == 4) & (theirs[..., k] == 4)).sum() / (2 * (ours[..., 4] == 4).sum()) for k in (2, 3)]
    assert np.mean(others) > 0.7
    assert min(others) > 0.6 > 2 * max(still) - 0.2
