"""learngn longitudinal: the files of a result, their headers and table; bad input."""

import csv
import json

import nibabel
import numpy as np

from learngn.io import read_image, read_transform

FILES = {
    "difference_2-minus-1.nii.gz",
    "displacement_1-to-2.nii.gz",
    "log-jacobian_2-over-1_baseline.nii.gz",
    "log-jacobian_2-over-1_mean-space.nii.gz",
    "mean.nii.gz",
    "metrics.json",
    "regions.csv",
    "report.html",
    "timepoint1.nii.gz",
    "timepoint1_displacement.nii.gz",
    "timepoint1_rigid.nii.gz",
    "timepoint1_rigid.tfm",
    "timepoint2.nii.gz",
    "timepoint2_displacement.nii.gz",
    "timepoint2_rigid.nii.gz",
    "timepoint2_rigid.tfm",
}


def test_result_folder(learngn, scans, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "timepoint3.nii.gz").write_text("of an earlier run")
    (out / "notes.txt").write_text("mine")
    arguments = (scans["fixed"], scans["fixed"], "--labels", scans["fixed_labels"], "-o", out, "--json")
    result = learngn("longitudinal", *arguments)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in out.iterdir()} == FILES | {"notes.txt"}
    content = json.loads((out / "metrics.json").read_text())
    assert content == json.loads(result.stdout)
    assert [point["name"] for point in content["time_points"]] == ["fixed.nii.gz"] * 2
    rows = list(csv.DictReader((out / "regions.csv").read_text().splitlines()))
    assert [(row["time_point"], row["label"]) for row in rows] == [("2", "1"), ("2", "2")]
    assert all(abs(float(row["change_percent"])) < 0.1 for row in rows)
    image = nibabel.load(out / "log-jacobian_2-over-1_baseline.nii.gz")
    assert bytes(image.header["descrip"]).startswith(b"log det J = volume time point 2 / 1")
    grid = read_image(scans["fixed"]).grid
    assert image.shape == grid.shape
    np.testing.assert_allclose(image.get_fdata(), 0, atol=1e-3)
    points = grid.index_to_world([[12.0, 10, 8], [8, 9, 7]])
    np.testing.assert_allclose(read_transform(out / "displacement_1-to-2.nii.gz").map_points(points), points, atol=0.02)
    assert "Flicker" in (out / "report.html").read_text()


def test_bad_input_is_one_line(learngn, scans, tmp_path):
    out = tmp_path / "out"
    for arguments, message in (
        ((scans["fixed"], "-o", out), "two or more"),
        ((scans["fixed"], tmp_path / "no.nii.gz", "-o", out), "no such file"),
        ((scans["fixed"], scans["moving"], "--lambda", "x", "-o", out), "--lambda"),
    ):
        result = learngn("longitudinal", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()
