"""learngn apply on points, meshes, streamlines, vectors and tensors: the right direction, which it says."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Affine, DisplacementField, Grid, Image
from learngn.io import (
    Mesh,
    Streamlines,
    read_image,
    read_landmarks,
    read_mesh,
    read_streamlines,
    write_mesh,
    write_streamlines,
    write_transform,
)

pytest.importorskip("vtkmodules", reason="needs the extra [shapes]")
pytest.importorskip("trx", reason="needs the extra [shapes]")

LPS = np.array([-1.0, -1, 1])
SHIFT = np.array([6.0, -4, 3])  # from the fixed to the moving scan


@pytest.fixture
def shift(tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT
    write_transform(Affine(matrix), tmp_path / "shift.tfm")
    return tmp_path / "shift.tfm"


@pytest.fixture
def bump(scans, tmp_path):
    """A displacement file, and SimpleITK's transform of it."""
    grid = read_image(scans["fixed"]).grid
    x = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in grid.shape], indexing="ij"))
    bump = np.exp(-((x - 0.5) ** 2).sum(axis=0) / 0.05)
    write_transform(DisplacementField(np.float32([bump, -bump, 0.5 * bump])[None], grid), tmp_path / "bump.nii.gz")
    field = sitk.ReadImage(tmp_path / "bump.nii.gz", sitk.sitkVectorFloat64)
    return tmp_path / "bump.nii.gz", sitk.DisplacementFieldTransform(field)


def corners(grid: Grid) -> np.ndarray:
    return grid.index_to_world(np.array([[8.0, 9, 5], [10, 9, 5], [8, 11, 5], [8, 9, 8]]))


def shape_in(grid: Grid, path, **more):
    points = corners(grid)
    if path.suffix in (".trk", ".tck", ".trx"):
        write_streamlines(replace(Streamlines.from_list([points, points[:2]]), grid=grid, **more), path)
    else:
        write_mesh(Mesh(points, [[0, 1, 2], [0, 1, 3]], **more), path)
    return path


def points_of(path):
    return read_streamlines(path).points[:4] if path.suffix in (".trk", ".tck", ".trx") else read_mesh(path).points


SUFFIXES = [".vtk", ".vtp", ".ply", ".gii", ".trk", ".tck", ".trx"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_of_the_moving_scan_goes_with_the_moving_image(suffix, learngn, scans, bump, tmp_path):
    fixed, moving = (read_image(scans[side]).grid for side in ("fixed", "moving"))
    source, out, back = shape_in(moving, tmp_path / f"a{suffix}"), tmp_path / f"b{suffix}", tmp_path / f"c{suffix}"
    both = ("-t", bump[0], "-r", scans["fixed"], "-m", scans["moving"])
    result = learngn("apply", source, *both, "-o", out, "--of", "moving")
    assert (result.exit_code, result.stderr) == (0, "")
    what = "2 streamlines of 6 points" if suffix in (".trk", ".tck", ".trx") else "mesh of 4 points"
    assert result.stdout == f"{what} of the moving scan, carried to the fixed scan\n"
    theirs = np.array([bump[1].TransformPoint((LPS * p).tolist()) for p in points_of(out)]) * LPS
    np.testing.assert_allclose(theirs, corners(moving), atol=1e-3)  # T maps what was carried back to where it was
    result = learngn("apply", out, *both, "-o", back, "--of", "fixed")
    assert "of the fixed scan, carried to the moving scan" in result.stdout
    np.testing.assert_allclose(points_of(back), corners(moving), atol=1e-3)
    if suffix in (".trk", ".trx"):
        assert read_streamlines(out).grid.same_space(fixed)


@pytest.mark.parametrize("suffix", [".vtk", ".gii", ".tck"])
def test_direction_must_be_named(suffix, learngn, scans, shift, tmp_path):
    source, out = shape_in(read_image(scans["moving"]).grid, tmp_path / f"a{suffix}"), tmp_path / f"b{suffix}"
    result = learngn("apply", source, "-t", shift, "-r", scans["fixed"], "-o", out)
    assert result.exit_code == 2
    assert "--of moving" in result.stderr
    assert not out.exists()
    result = learngn("apply", source, "-t", shift, "-o", out, "--inverse")
    assert result.exit_code == 0
    assert "of the moving scan, carried to the fixed scan" in result.stdout
    np.testing.assert_allclose(points_of(out), points_of(source) - SHIFT, atol=1e-4)
    result = learngn("apply", source, "-t", shift, "-o", out, "--inverse", "--of", "fixed")
    assert result.exit_code == 2
    assert "--inverse means --of moving" in result.stderr
    assert learngn("apply", source, "-t", shift, "-o", out, "--of", "fixed", "--quiet").stdout == ""


def test_points_and_images_say_their_direction(learngn, scans, shift, tmp_path):
    grid = read_image(scans["fixed"]).grid
    points = grid.index_to_world([[8.0, 9, 5], [10, 9, 5]])
    (tmp_path / "a.csv").write_text("x_ras,y_ras,z_ras\n" + "".join(f"{x},{y},{z}\n" for x, y, z in points))
    scan = ("-t", shift, "-r", scans["fixed"], "-m", scans["moving"], "-o", tmp_path / "b.csv")
    for options, side, sign in ((), "fixed", 1), (("--of", "moving"), "moving", -1), (("--inverse",), "moving", -1):
        result = learngn("apply", tmp_path / "a.csv", *scan, *options)
        other = {"fixed": "moving", "moving": "fixed"}[side]
        assert result.stdout == f"2 points of the {side} scan, carried to the {other} scan\n"
        np.testing.assert_allclose(read_landmarks(tmp_path / "b.csv", grid).points, points + sign * SHIFT, atol=1e-4)
    image = ("apply", scans["moving"], "-t", shift, "-r", scans["fixed"], "-o", tmp_path / "out.nii.gz")
    results = [learngn(*image, *options) for options in ((), ("--of", "moving"))]
    assert {result.stdout for result in results} == {"image of the moving scan, pulled back onto fixed.nii.gz\n"}
    inverses = []
    for options in (("--inverse",), ("--of", "fixed")):
        result = learngn("apply", scans["fixed"], *image[2:4], "-r", scans["moving"], *image[6:], *options)
        assert result.stdout == "image of the fixed scan, pulled back onto moving.nii.gz\n"
        inverses.append(read_image(tmp_path / "out.nii.gz").data)
    np.testing.assert_array_equal(*inverses)


@pytest.mark.parametrize("suffix", [".trk", ".trx"])
def test_header_that_names_the_other_scan(suffix, learngn, scans, shift, tmp_path):
    grid = read_image(scans["fixed"]).grid
    other = Grid.from_spacing((30, 30, 30), 2.0, grid.origin - 3)
    Image.from_array(np.zeros(other.shape), other).save(tmp_path / "moving.nii.gz")
    source = shape_in(grid, tmp_path / f"a{suffix}")
    both = ("-t", shift, "-r", scans["fixed"], "-m", tmp_path / "moving.nii.gz", "-o", tmp_path / f"b{suffix}")
    result = learngn("apply", source, *both, "--of", "moving")
    assert result.exit_code == 2
    assert "add --of fixed" in result.stderr
    assert learngn("apply", source, *both, "--of", "fixed").exit_code == 0
    result = learngn("apply", source, *both[:2], *both[-2:], "--of", "moving")
    assert result.exit_code == 2
    assert "--reference" in result.stderr


def test_coordinates_that_the_file_does_not_say(learngn, scans, shift, tmp_path):
    grid = Grid.from_spacing((20, 20, 20), 2.0, (50.0, 60, 70))
    Image.from_array(np.zeros(grid.shape), grid).save(tmp_path / "far.nii.gz")
    source = shape_in(grid, tmp_path / "a.stl", world="ras")
    source.write_bytes(source.read_bytes().replace(b"SPACE=RAS", b"space: no"))
    arguments = (
        "apply",
        source,
        "-t",
        shift,
        "-m",
        tmp_path / "far.nii.gz",
        "-o",
        tmp_path / "b.stl",
        "--of",
        "moving",
    )
    result = learngn(*arguments)
    assert result.exit_code == 2
    assert "in the other coordinates, LPS or RAS, some do" in result.stderr
    assert learngn(*arguments, "--coordinates", "ras").exit_code == 0
    back = read_mesh(tmp_path / "b.stl")
    assert back.world == "ras"
    found, expected = (p[np.lexsort(np.round(p, 3).T)] for p in (back.points, corners(grid) - SHIFT))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_the_displacement_does_not_reach(learngn, scans, bump, tmp_path):
    grid = read_image(scans["fixed"]).grid
    far = grid.index_to_world([[300.0, 0, 0], [301, 0, 0], [300, 1, 0]])
    write_mesh(Mesh(far, [[0, 1, 2]]), tmp_path / "far.vtk")
    result = learngn("apply", tmp_path / "far.vtk", "-t", bump[0], "-o", tmp_path / "out.vtk", "--of", "moving")
    assert result.exit_code == 2
    assert "no point on the grid of the displacement" in result.stderr
    near = np.concatenate([far[:1], corners(grid)])
    write_mesh(Mesh(near, [[0, 1, 2]], point_data={"a": np.arange(5.0)}), tmp_path / "near.vtp")
    result = learngn("apply", tmp_path / "near.vtp", "-t", bump[0], "-o", tmp_path / "out.stl", "--of", "moving")
    assert result.exit_code == 0
    assert "1 of 5 points lie outside the displacement's grid" in result.stderr
    assert "out.stl does not hold the data a" in result.stderr
    quiet = learngn("apply", tmp_path / "near.vtp", "-t", bump[0], "-o", tmp_path / "out.vtk", "--of", "moving", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_points_in_a_fold_are_counted(learngn, scans, tmp_path):
    grid = read_image(scans["fixed"]).grid
    data = np.zeros((1, 3, *grid.shape), np.float32)
    data[:, 0] = 7.0  # nothing arrives at the first voxels
    write_transform(DisplacementField(data, grid), tmp_path / "away.nii.gz")
    write_mesh(Mesh(grid.index_to_world([[2.0, 9, 5], [12, 9, 5], [12, 11, 5]]), [[0, 1, 2]]), tmp_path / "a.vtk")
    arguments = ("-t", tmp_path / "away.nii.gz", "-o", tmp_path / "out.vtk", "--of", "moving")
    result = learngn("apply", tmp_path / "a.vtk", *arguments)
    assert result.exit_code == 0
    assert "1 of 3 points have no exact counterpart" in result.stderr


def test_identity_and_the_wrong_output(learngn, scans, tmp_path):
    source = shape_in(read_image(scans["moving"]).grid, tmp_path / "a.vtk")
    result = learngn("apply", source, "--identity", "--of", "moving", "-o", tmp_path / "b.gii")
    assert result.exit_code == 0  # a change of format
    np.testing.assert_allclose(points_of(tmp_path / "b.gii"), points_of(source), atol=1e-4)
    for name in ("b.trk", "b.nii.gz", "b.csv"):
        assert learngn("apply", source, "--identity", "--of", "moving", "-o", tmp_path / name).exit_code == 2
    assert learngn("apply", source, "--identity", "--of", "moving", "-o", source).exit_code == 2
    plane = np.eye(3)
    write_transform(Affine(plane), tmp_path / "plane.tfm")
    result = learngn("apply", source, "-t", tmp_path / "plane.tfm", "--of", "moving", "-o", tmp_path / "b.vtk")
    assert result.exit_code == 2
    assert "2D transform" in result.stderr


def vectors(path, grid, dtype=np.float32, count=3):
    rng = np.random.default_rng(0)
    values = np.stack([np.round(100 * rng.random(grid.shape)) for _ in range(count)], axis=-1).astype(dtype)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0, 3)), isVector=True)
    image.SetOrigin((LPS * grid.origin).tolist())
    image.SetSpacing(grid.spacing.tolist())
    image.SetDirection((np.diag(LPS) @ grid.direction).ravel().tolist())
    sitk.WriteImage(image, path)
    return path


@pytest.mark.parametrize(("name", "dtype"), [("a.nii.gz", np.float32), ("a.mha", np.float32), ("a.nrrd", np.int16)])
def test_vectors_component_by_component(name, dtype, learngn, scans, shift, tmp_path):
    source, out = vectors(tmp_path / name, read_image(scans["moving"]).grid, dtype), tmp_path / f"out_{name}"
    result = learngn("apply", source, "-t", shift, "-r", scans["fixed"], "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "image of vectors (not turned) of the moving scan, pulled back onto fixed.nii.gz\n"
    found, moving, fixed = (sitk.ReadImage(path) for path in (out, source, scans["fixed"]))
    assert found.GetNumberOfComponentsPerPixel() == 3
    assert sitk.GetArrayFromImage(found).dtype == dtype
    expected = sitk.Resample(moving, fixed, sitk.ReadTransform(shift), sitk.sitkLinear, 0.0)
    difference = np.abs(sitk.GetArrayFromImage(found).astype(float) - sitk.GetArrayFromImage(expected))
    assert np.quantile(difference, 0.99) <= (1 if dtype == np.int16 else 1e-3)


def test_vectors_turned_with_the_anatomy(learngn, scans, tmp_path):
    """A turn by a quarter about the third axis, by ITK's convention: components along LPS."""
    grid = read_image(scans["moving"]).grid
    values = np.broadcast_to(np.float32([1, 2, 3]), (16, 20, 24, 3))
    image = sitk.GetImageFromArray(np.ascontiguousarray(values), isVector=True)
    image.CopyInformation(sitk.ReadImage(scans["moving"]))
    sitk.WriteImage(image, tmp_path / "a.mha")
    turn = sitk.Euler3DTransform()
    turn.SetCenter((LPS * grid.centre).tolist())
    turn.SetRotation(0, 0, np.pi / 2)
    sitk.WriteTransform(turn, str(tmp_path / "turn.tfm"))
    arguments = ("apply", tmp_path / "a.mha", "-t", tmp_path / "turn.tfm", "-r", scans["fixed"])
    result = learngn(*arguments, "-o", tmp_path / "b.nii.gz", "--reorient")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "vectors (turned with the anatomy)" in result.stdout
    expected = turn.GetInverse().TransformVector((1.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(sitk.ReadImage(tmp_path / "b.nii.gz").GetPixel(12, 10, 8), expected, atol=1e-5)
    for path, told in ((scans["moving"], "no vectors"), (vectors(tmp_path / "c.mha", grid, count=2), "2 components")):
        result = learngn("apply", path, *arguments[2:], "-o", tmp_path / "d.nii.gz", "--reorient")
        assert result.exit_code == 2
        assert told in result.stderr


def test_displacements_in_ras_are_written_for_itk(learngn, scans, tmp_path):
    """NIfTI's intent 1006 has its components along RAS; all that is written has them along LPS."""
    grid = read_image(scans["fixed"]).grid
    values = np.zeros((*grid.shape, 1, 3), np.float32)
    values[..., :] = 1, 2, 3
    image = nibabel.Nifti1Image(values, grid.affine)
    image.header.set_intent("displacement vector")
    nibabel.save(image, tmp_path / "a.nii.gz")
    for name in ("b.nii.gz", "b.mha"):
        arguments = ("--identity", "-r", scans["fixed"], "-o", tmp_path / name)
        assert learngn("apply", tmp_path / "a.nii.gz", *arguments).exit_code == 0
        assert sitk.ReadImage(tmp_path / name).GetPixel(5, 5, 5) == (-1, -2, 3)


@pytest.mark.parametrize("name", ["symmetric.nii.gz", "general.nii.gz", "six.mha", "tensor.nrrd"])
def test_tensors_are_refused(name, learngn, scans, shift, tmp_path):
    grid, path = read_image(scans["moving"]).grid, tmp_path / name
    if name.endswith(".nii.gz"):
        count = 6 if "sym" in name else 9
        image = nibabel.Nifti1Image(np.zeros((*grid.shape, 1, count), np.float32), grid.affine)
        image.header.set_intent("symmetric matrix" if count == 6 else "general matrix", (3,) if count == 6 else (3, 3))
        nibabel.save(image, path)
    elif name == "six.mha":
        vectors(path, grid, count=6)
    else:
        head = "NRRD0005\ntype: float\ndimension: 4\nsizes: 6 4 4 4\nkinds: 3D-symmetric-matrix domain domain domain\n"
        path.write_bytes(f"{head}endian: little\nencoding: raw\n\n".encode() + bytes(4 * 6 * 64))
    result = learngn("apply", path, "-t", shift, "-r", scans["fixed"], "-o", tmp_path / "out.nii.gz")
    assert result.exit_code == 2
    assert "got tensors" in result.stderr
    assert not (tmp_path / "out.nii.gz").exists()
