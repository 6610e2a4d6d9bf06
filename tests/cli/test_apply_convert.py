"""learngn apply and convert: images, labels and points, there and back."""

import numpy as np
import pytest
import SimpleITK as sitk

from learngn.geometry.grid import Grid
from learngn.geometry.image import Image
from learngn.geometry.transform import Affine, Composite, DisplacementField
from learngn.io import read_image, read_landmarks, read_transform, write_transform


@pytest.fixture
def transform(scans, tmp_path):
    """Paths of a bump and an affine map."""
    grid = read_image(scans["fixed"]).grid
    x = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in grid.shape], indexing="ij"))
    bump = np.exp(-((x - 0.5) ** 2).sum(axis=0) / 0.05)
    field = DisplacementField(np.float32([bump, -bump, 0.5 * bump])[None], grid)
    matrix = np.eye(4)
    matrix[:3, :3] += [[0, 0.05, 0], [-0.05, 0, 0], [0, 0, 0.02]]
    matrix[:3, 3] = 1.0, -2.0, 0.5
    paths = tmp_path / "bump.nii.gz", tmp_path / "affine.tfm"
    write_transform(field, paths[0])
    write_transform(Affine(matrix), paths[1])
    return paths


def chain_of(paths):
    return Composite(tuple(read_transform(path) for path in paths))


def test_one_interpolation_of_a_chain(learngn, scans, transform, tmp_path):
    out = tmp_path / "warped.nii.gz"
    parts = [item for path in transform for item in ("-t", path)]
    assert learngn("apply", scans["moving"], *parts, "-r", scans["fixed"], "-o", out).exit_code == 0
    fixed, moving = read_image(scans["fixed"]), read_image(scans["moving"])
    expected = chain_of(transform).warp(moving, fixed.grid)
    np.testing.assert_array_equal(read_image(out).data, expected.data)


def test_labels_stay_labels(learngn, scans, transform, tmp_path):
    out = tmp_path / "labels.nii.gz"
    learngn("apply", scans["moving_labels"], "-t", transform[0], "-r", scans["fixed"], "-o", out, "--labels")
    assert read_image(out, labels=True).label_values == [1, 2]


def test_inverse_brings_the_image_back(learngn, scans, transform, tmp_path):
    parts = [item for path in transform for item in ("-t", path)]
    there, back = tmp_path / "there.nii.gz", tmp_path / "back.nii.gz"
    learngn("apply", scans["fixed"], *parts, "-r", scans["moving"], "-o", there, "--inverse")
    result = learngn("apply", there, *parts, "-r", scans["fixed"], "-o", back)
    assert (result.exit_code, result.stderr) == (0, "")
    got, expected = (read_image(path).data[0, 0, 6:-6, 5:-5, 4:-4] for path in (back, scans["fixed"]))
    still = read_image(there).data[0, 0, 6:-6, 5:-5, 4:-4]
    assert np.abs(got - expected).mean() < 0.5 * np.abs(still - expected).mean()


def test_folded_field_has_no_inverse(learngn, scans, tmp_path):
    grid = read_image(scans["fixed"]).grid
    data = np.zeros((1, 3, *grid.shape), np.float32)
    data[:, 0] = 6 * np.sin(0.5 * np.arange(24)).reshape(1, 24, 1, 1)
    write_transform(DisplacementField(data, grid), tmp_path / "folds.nii.gz")
    arguments = ("-t", tmp_path / "folds.nii.gz", "-r", scans["moving"], "-o", tmp_path / "out.nii.gz", "--inverse")
    result = learngn("apply", scans["fixed"], *arguments)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: the inverse")


@pytest.mark.parametrize("header", ["", "x_lps,y_lps,z_lps\n"])
def test_points_there_and_back(header, learngn, scans, transform, tmp_path):
    points, there, back = (tmp_path / f"{name}.csv" for name in ("points", "there", "back"))
    points.write_text(header + "8,9,5\n10.5,7,9\n" if not header else header + "1,2,3\n-4,5,-6\n")
    grids = ("-r", scans["fixed"], "--moving", scans["moving"])
    parts = [item for path in transform for item in ("-t", path)]
    assert learngn("apply", points, *parts, *grids, "-o", there).exit_code == 0
    assert learngn("apply", there, *parts, *grids, "-o", back, "--inverse").exit_code == 0
    grid = read_image(scans["fixed"]).grid
    start, middle, end = (read_landmarks(path, grid) for path in (points, there, back))
    np.testing.assert_allclose(middle.points, chain_of(transform).map_points(start.points), atol=1e-4)
    np.testing.assert_allclose(end.points, start.points, atol=0.1)  # mm, of voxels of 2 mm
    assert middle.space == start.space


def test_points_need_their_scans(learngn, scans, transform, tmp_path):
    arguments = ("apply", scans["fixed_landmarks"], "-t", transform[1], "-o", tmp_path / "out.csv")
    for given, told in (((), "--reference"), (("-r", scans["fixed"]), "--moving")):
        result = learngn(*arguments, *given)
        assert result.exit_code == 2
        assert told in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_image_needs_a_reference(learngn, scans, transform, tmp_path):
    result = learngn("apply", scans["moving"], "-t", transform[1], "-o", tmp_path / "out.nii.gz")
    assert result.exit_code == 2
    assert "--reference" in result.stderr


@pytest.mark.parametrize("name", ["field.mha", "field.nrrd", "field.h5", "disp_0001_0002.nii.gz", "field.npz"])
def test_convert_there_and_back(name, learngn, scans, transform, tmp_path):
    middle, back = tmp_path / name, tmp_path / "back.nii.gz"
    grids = ("-r", scans["fixed"], "--moving", scans["moving"])
    for source, target in ((transform[0], middle), (middle, back)):
        result = learngn("convert", source, target, *grids)
        assert (result.exit_code, result.stderr) == (0, "")
    np.testing.assert_allclose(read_transform(back).data, read_transform(transform[0]).data, atol=1e-4, rtol=1e-4)


def test_learn2reg_by_option(learngn, scans, transform, tmp_path):
    grids = ("-r", scans["fixed"], "--moving", scans["moving"])
    voxels, back = tmp_path / "voxels.nii.gz", tmp_path / "back.nii.gz"
    assert learngn("convert", transform[0], voxels, "--to", "learn2reg", *grids).exit_code == 0
    assert learngn("convert", voxels, back, *grids).exit_code == 2
    assert learngn("convert", voxels, back, "--from", "learn2reg", *grids).exit_code == 0
    np.testing.assert_allclose(read_transform(back).data, read_transform(transform[0]).data, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("names", [("bump.nii.gz", "disp_0001_0002.nii.gz"), ("disp_0001_0002.nii.gz", "x.mha")])
def test_learn2reg_needs_both_scans(names, learngn, transform, tmp_path):
    result = learngn("convert", tmp_path / names[0], tmp_path / names[1])
    assert result.exit_code == 2
    assert "--reference FIXED --moving MOVING" in result.stderr


def test_plane(learngn, tmp_path):
    grid = Grid.from_spacing((20, 16), 1.5)
    Image.from_array(np.arange(320, dtype=np.float32).reshape(20, 16), grid).save(tmp_path / "plane.nii.gz")
    write_transform(Affine.identity(2), tmp_path / "identity.tfm")
    paths = tmp_path / "plane.nii.gz", tmp_path / "same.nii.gz"
    result = learngn("apply", paths[0], "-t", tmp_path / "identity.tfm", "-r", paths[0], "-o", paths[1])
    assert result.exit_code == 0
    np.testing.assert_allclose(read_image(paths[0]).data, read_image(paths[1]).data)


@pytest.fixture
def shift(tmp_path):
    """A shift by 6 mm along x, as a file."""
    matrix = np.eye(4)
    matrix[0, 3] = 6.0
    write_transform(Affine(matrix), tmp_path / "shift.tfm")
    return tmp_path / "shift.tfm"


def integers(path, dtype, low, high, shape=(24, 20, 16)):
    """A scan of integers, a ball in air."""
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    values = np.where((x**2).sum(axis=0) < 0.6, high, low).astype(dtype)
    image = sitk.GetImageFromArray(values.T)
    image.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(image, path)
    return path


@pytest.mark.parametrize(("dtype", "low", "high"), [("int16", -1024, 60), ("uint8", 0, 250), ("uint16", 7, 60000)])
@pytest.mark.parametrize("interpolation", ["linear", "nearest", "bspline"])
def test_integers_stay_integers_and_the_background_is_the_scans(
    dtype, low, high, interpolation, learngn, shift, tmp_path
):
    source, out = integers(tmp_path / "a.nii.gz", dtype, low, high), tmp_path / "out.nii.gz"
    result = learngn("apply", source, "-t", shift, "-r", source, "-o", out, "--interpolation", interpolation)
    assert (result.exit_code, result.stderr) == (0, "")
    found = sitk.GetArrayFromImage(sitk.ReadImage(out))
    assert found.dtype == dtype
    outside = found[:, :, :3] if (found[:, :, :3] == found[0, 0, 0]).all() else found[:, :, -3:]
    assert (outside == low).all()
    kinds = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "bspline": sitk.sitkBSpline}
    moving = sitk.ReadImage(source, sitk.sitkFloat64)
    expected = sitk.Resample(moving, moving, sitk.ReadTransform(shift), kinds[interpolation], float(low))
    limits = np.iinfo(dtype)
    expected = np.rint(sitk.GetArrayFromImage(expected)).clip(limits.min, limits.max)
    assert np.abs(found - expected).max() <= (2 if interpolation == "bspline" else 1)


def test_background_of_ones_own(learngn, shift, tmp_path):
    source, out = integers(tmp_path / "a.nii.gz", "uint8", 0, 250), tmp_path / "out.nii.gz"
    arguments = ("apply", source, "-t", shift, "-r", source, "-o", out)
    for value, dtype in (("9", np.uint8), ("-1000", np.int16), ("0.5", np.float32), ("nan", np.float32)):
        assert learngn(*arguments, f"--background={value}").exit_code == 0
        found = sitk.GetArrayFromImage(sitk.ReadImage(out))
        assert found.dtype == dtype
        if value != "nan":
            assert (found == float(value)).sum() > 900
    result = learngn(*arguments, "--labels", "--interpolation", "linear")
    assert result.exit_code == 2
    assert "expected nearest" in result.stderr


def test_series_frame_by_frame(learngn, shift, tmp_path):
    frames = [sitk.ReadImage(integers(tmp_path / f"{n}.nii.gz", "int16", -1000, 40 * n)) for n in range(3)]
    series = sitk.JoinSeries(frames, 0.0, 2.5)
    sitk.WriteImage(series, tmp_path / "series.nii.gz")
    for reference in ("0.nii.gz", "series.nii.gz"):
        result = learngn(
            "apply", tmp_path / "series.nii.gz", "-t", shift, "-r", tmp_path / reference, "-o", tmp_path / "out.nii.gz"
        )
        assert (result.exit_code, result.stderr) == (0, "")
        found = sitk.ReadImage(tmp_path / "out.nii.gz")
        assert (found.GetSize(), found.GetSpacing()[3]) == (series.GetSize(), 2.5)
        for n, frame in enumerate(frames):
            expected = sitk.Resample(frame, frame, sitk.ReadTransform(shift), sitk.sitkLinear, -1000.0)
            difference = sitk.GetArrayFromImage(found)[n].astype(int) - sitk.GetArrayFromImage(expected)
            assert np.abs(difference).max() <= 1
    result = learngn("apply", tmp_path / "series.nii.gz", "-t", shift, "-r", tmp_path / "0.nii.gz", "-o", "out.mha")
    assert result.exit_code == 2
    assert ".nii.gz" in result.stderr


@pytest.mark.parametrize("name", ["out.png", "out.tif"])
def test_colour_channel_by_channel(name, learngn, tmp_path):
    x, y = np.meshgrid(np.arange(30), np.arange(24), indexing="ij")
    colour = np.stack([240 - 3 * x, 230 - 2 * y, 255 - x - y], axis=-1).astype(np.uint8)
    picture = sitk.GetImageFromArray(np.ascontiguousarray(colour.swapaxes(0, 1)), isVector=True)
    sitk.WriteImage(picture, tmp_path / "a.png")
    matrix = np.eye(3)
    matrix[0, 2] = -2.0  # RAS: two pixels along the first axis
    write_transform(Affine(matrix), tmp_path / "shift.tfm")
    image, out = tmp_path / "a.png", tmp_path / name
    result = learngn("apply", image, "-t", tmp_path / "shift.tfm", "-r", image, "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    found = sitk.GetArrayFromImage(sitk.ReadImage(out)).swapaxes(0, 1)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:-2], colour[2:])


def test_identity_resamples(learngn, tmp_path):
    source = integers(tmp_path / "a.nii.gz", "int16", -1000, 40)
    grid = Grid.from_spacing((30, 20, 20), 2.5, (-60.0, -50, 3))
    Image.from_array(np.zeros(grid.shape), grid).save(tmp_path / "onto.nii.gz")
    arguments = ("apply", source, "-r", tmp_path / "onto.nii.gz", "-o", tmp_path / "out.nii.gz")
    assert learngn(*arguments, "--identity").exit_code == 0
    found, moving = sitk.ReadImage(tmp_path / "out.nii.gz"), sitk.ReadImage(source)
    expected = sitk.Resample(moving, found, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, -1000.0)
    close = np.abs(sitk.GetArrayFromImage(found).astype(int) - sitk.GetArrayFromImage(expected)) <= 1
    assert close.mean() > 0.995  # where rounding does not decide what is outside
    for wrong, told in (((), "--identity"), (("--identity", "-t", tmp_path / "x.tfm"), "leave one of them out")):
        result = learngn(*arguments, *wrong)
        assert result.exit_code == 2
        assert told in result.stderr


@pytest.mark.parametrize("name", ["out.fcsv", "out.mrk.json", "out.pts", "out.csv"])
def test_points_in_files_of_other_programs(name, learngn, scans, shift, tmp_path):
    grid = read_image(scans["fixed"]).grid
    points = grid.index_to_world([[4, 5, 6], [10, 9, 8]])
    (tmp_path / "in.pts").write_text("point\n2\n" + "".join(f"{-x} {-y} {z}\n" for x, y, z in points))
    result = learngn("apply", tmp_path / "in.pts", "-t", shift, "-r", scans["fixed"], "-o", tmp_path / name)
    assert (result.exit_code, result.stderr) == (0, "")
    np.testing.assert_allclose(read_landmarks(tmp_path / name, grid).points, points + np.array([6, 0, 0]), atol=1e-6)


def test_matrices_of_other_programs(learngn, scans, tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = 1, 2, 3
    np.savetxt(tmp_path / "a.mat", matrix)
    result = learngn("convert", tmp_path / "a.mat", tmp_path / "a.tfm")
    assert result.exit_code == 2
    assert "--from greedy" in result.stderr
    assert learngn("convert", tmp_path / "a.mat", tmp_path / "a.tfm", "--from", "greedy").exit_code == 0
    np.testing.assert_allclose(read_transform(tmp_path / "a.tfm").matrix, matrix)
    grids = ("-r", scans["fixed"], "--moving", scans["moving"])
    assert learngn("convert", tmp_path / "a.mat", tmp_path / "a.tfm", "--from", "fsl", *grids).exit_code == 0
    np.testing.assert_allclose(read_transform(tmp_path / "a.tfm").matrix[:3, 3], [1, -2, -3])  # to fixed; x reversed
