"""learngn jacobian: names, headers, tables; chains, displacement files and result folders."""

import csv
import json

import nibabel
import numpy as np
import pytest

from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.io import read_image, read_transform, write_transform


@pytest.fixture
def grid(scans):
    return read_image(scans["fixed"]).grid


@pytest.fixture
def parts(grid, tmp_path):
    """Paths of a displacement that shrinks the middle, of an affine map, and of both as one displacement."""
    x = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in grid.shape], indexing="ij"))
    field = DisplacementField(np.float32(-0.1 * x * np.exp(-(x**2).sum(axis=0) / 40))[None], grid)
    affine = Affine(np.diag([1.1, 0.95, 1.0, 1.0]))
    paths = {name: tmp_path / name for name in ("field.nii.gz", "affine.tfm", "both.nii.gz")}
    write_transform(field, paths["field.nii.gz"])
    write_transform(affine, paths["affine.tfm"])
    write_transform(Composite((field, affine)), paths["both.nii.gz"], reference=grid)
    return paths


def test_names_and_headers_say_the_direction(learngn, parts, scans, tmp_path):
    out = tmp_path / "out"
    arguments = (parts["field.nii.gz"], parts["affine.tfm"], "--log", "--without-affine", "-o", out)
    result = learngn("jacobian", *arguments, "--labels", scans["fixed_labels"], "--json")
    assert result.exit_code == 0
    stem = "log-jacobian_moving-over-fixed_without-affine"
    assert sorted(path.name for path in out.iterdir()) == [f"{stem}.json", f"{stem}.nii.gz", f"{stem}_labels.csv"]
    image = nibabel.load(out / f"{stem}.nii.gz")
    words = bytes(image.header["descrip"]).rstrip(b"\0").decode()
    assert words == "log det J = volume moving / fixed, affine parts left out"
    content = json.loads((out / f"{stem}.json").read_text())
    assert content == json.loads(result.stdout)
    assert content["affine_removed"] == "chain"
    np.testing.assert_allclose(content["affine"], read_transform(parts["affine.tfm"]).matrix)
    rows = list(csv.DictReader((out / f"{stem}_labels.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["1", "2"]
    assert float(rows[0]["change_percent"]) == pytest.approx(content["labels"][0]["change_percent"], rel=1e-4)
    field = read_transform(parts["field.nii.gz"])
    np.testing.assert_allclose(np.exp(image.get_fdata()), field.jacobian_determinant()[0], rtol=1e-5)


def test_the_same_without_affine_from_chain_and_displacement(learngn, parts, tmp_path):
    """An affine inside a displacement file is fitted: nearly that of the chain, as the rest moves little."""
    found = {}
    for name, files in {"chain": ("field.nii.gz", "affine.tfm"), "file": ("both.nii.gz",)}.items():
        out = tmp_path / f"{name}.nii.gz"
        assert learngn("jacobian", *(parts[f] for f in files), "--without-affine", "-o", out).exit_code == 0
        found[name] = read_image(out).data
        content = json.loads((tmp_path / f"{name}.json").read_text())
        assert content["affine_removed"] == {"chain": "chain", "file": "fit"}[name]
    np.testing.assert_allclose(found["file"], found["chain"], rtol=0.03)


def test_inverse_is_the_reciprocal_where_it_leads_to(learngn, scans, parts, tmp_path):
    out = tmp_path / "inverse"
    result = learngn("jacobian", parts["affine.tfm"], "--inverse", "-r", scans["moving"], "-o", out)
    assert result.exit_code == 0
    assert "volume fixed / moving" in result.stdout
    values = read_image(out / "jacobian_fixed-over-moving.nii.gz").data
    np.testing.assert_allclose(values, 1 / (1.1 * 0.95), rtol=1e-5)


def test_result_folder_with_uncertainty(learngn, scans, fast, tmp_path):
    result = tmp_path / "result"
    pair = (scans["fixed"], scans["moving"], "--fixed-labels", scans["fixed_labels"])
    assert learngn("register", *pair, *fast, "--uncertainty", "-o", result, "--no-report").exit_code == 0
    shown = learngn("jacobian", result, "--labels", scans["fixed_labels"], "-o", tmp_path / "out", "--without-affine")
    assert shown.exit_code == 0, shown.stderr
    assert "95 % interval" in shown.stdout
    content = json.loads((tmp_path / "out" / "jacobian_moving-over-fixed_without-affine.json").read_text())
    assert content["affine_removed"] == "chain"
    np.testing.assert_allclose(content["affine"], read_transform(result / "affine.tfm").matrix, atol=1e-6)
    for label in content["labels"]:
        assert label["low_percent"] < label["change_percent"] < label["high_percent"]


def test_mask(learngn, scans, parts, tmp_path):
    out = tmp_path / "out.nii.gz"
    arguments = (parts["field.nii.gz"], "--log", "--mask", scans["fixed_labels"], "-o", out)
    assert learngn("jacobian", *arguments).exit_code == 0
    outside = read_image(scans["fixed_labels"], labels=True).data == 0
    values = read_image(out).data
    assert (values[outside] == 0).all()
    assert np.abs(values[~outside]).max() > 0.05


def test_bad_input_is_one_line(learngn, scans, parts, tmp_path):
    out = tmp_path / "out.nii.gz"
    for arguments, message in (
        ((parts["affine.tfm"], "-o", out), "name it by --reference"),
        ((tmp_path / "no.nii.gz", "-o", out), "no such file"),
        ((parts["field.nii.gz"], "-o", parts["field.nii.gz"]), "another file, so that the input is kept"),
        (
            (parts["field.nii.gz"], "--labels", scans["fixed_labels"], "--uncertainty", scans["fixed"], "-o", out),
            "no series of vectors",
        ),
    ):
        result = learngn("jacobian", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()
