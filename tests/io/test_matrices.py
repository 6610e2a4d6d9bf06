"""Linear maps as other programs write them: the same map, or a message that names the format and the way out."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Grid
from learngn.errors import TransformError
from learngn.geometry.transform import Affine
from learngn.io import read_matrix, read_named_transform, read_transform, split_format

TURN = np.array([[0.98, -0.19, 0.06], [0.2, 0.97, -0.1], [-0.04, 0.11, 0.99]])
RAS = np.eye(4)
RAS[:3, :3], RAS[:3, 3] = TURN, (4, -3, 2)
FLIP = np.diag([-1.0, -1, 1, 1])
LPS = FLIP @ RAS @ FLIP
FIXED = Grid.from_spacing((31, 36, 24), (2.0, 1.5, 3.0), (-30, -40, -20))  # neurological: FSL turns the first axis
MOVING = Grid.from_spacing((28, 33, 20), (1.8, 2.0, 2.5), (25, -30, -10), np.diag([-1.0, 1, 1]))  # radiological
POINTS = np.random.default_rng(0).uniform(-25, 25, (20, 3))


def numbers(values):
    return " ".join(f"{value:.15g}" for value in np.ravel(values))


def rows(matrix):
    return "\n".join(numbers(row) for row in matrix) + "\n"


def same(transform, matrix=RAS):
    np.testing.assert_allclose(transform.map_points(POINTS), POINTS @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-9)


PARAMETERS = *LPS[:3, :3].ravel(), *LPS[:3, 3]


def elastix(kind="AffineTransform", parameters=PARAMETERS, centre=(0, 0, 0), more=""):
    return (
        f'// of elastix\n(Transform "{kind}")\n(NumberOfParameters {len(parameters)})\n'
        f"(TransformParameters {numbers(parameters)})\n(FixedImageDimension 3)\n(MovingImageDimension 3)\n"
        f"(CenterOfRotationPoint {numbers(centre)})\n{more}"
    )


def lta(matrix, kind=1, count=1):
    head = f"type      = {kind}\nnxforms   = {count}\nmean      = 0 0 0\nsigma     = 1\n1 4 4\n"
    return f"{head}{rows(matrix)}src volume info\n"


def test_greedy(tmp_path):
    (tmp_path / "a.mat").write_text(rows(RAS))
    same(read_matrix(tmp_path / "a.mat", "greedy"))


def test_fsl_counts_from_the_corner_that_is_on_the_right(tmp_path):
    def corner(grid, voxel):
        scaled = np.asarray(voxel, float) * grid.spacing
        if np.linalg.det(grid.affine[:3, :3]) > 0:
            scaled[0] = (grid.shape[0] - 1) * grid.spacing[0] - scaled[0]
        return scaled

    generator = np.random.default_rng(1)
    fixed_voxels = generator.uniform(0, 20, (12, 3))
    world = FIXED.index_to_world(fixed_voxels) @ RAS[:3, :3].T + RAS[:3, 3]
    moving_voxels = MOVING.world_to_index(world)
    source = np.array([[*corner(MOVING, v), 1] for v in moving_voxels])
    target = np.array([[*corner(FIXED, v), 1] for v in fixed_voxels])
    flirt = np.linalg.lstsq(source, target, rcond=None)[0].T  # moving to fixed
    flirt[3] = 0, 0, 0, 1
    (tmp_path / "a.mat").write_text(rows(flirt))
    same(read_matrix(tmp_path / "a.mat", "fsl", FIXED, MOVING))
    with pytest.raises(TransformError, match="--reference FIXED --moving MOVING"):
        read_matrix(tmp_path / "a.mat", "fsl", FIXED)


def test_a_matrix_alone_is_not_guessed(tmp_path):
    (tmp_path / "a.mat").write_text(rows(RAS))
    with pytest.raises(TransformError, match=r"greedy, c3d and NiftyReg .* FSL .*greedy:FILE .*--from fsl"):
        read_transform(tmp_path / "a.mat")
    (tmp_path / "b.mat").write_text("1 2 3\n")
    with pytest.raises(TransformError, match="3 words, expected 3 x 3 or 4 x 4 numbers"):
        read_matrix(tmp_path / "b.mat", "greedy")


def test_freesurfer(tmp_path):
    (tmp_path / "a.lta").write_text(lta(np.linalg.inv(RAS)))  # moving to fixed
    same(read_transform(tmp_path / "a.lta"))
    for text in (lta(RAS, kind=14), lta(RAS, count=2)):
        (tmp_path / "b.lta").write_text(text)
        with pytest.raises(TransformError, match=r"FreeSurfer .*lta_convert"):
            read_transform(tmp_path / "b.lta")
    (tmp_path / "c.lta").write_text(lta(RAS)[:80])
    with pytest.raises(TransformError, match="words, expected"):
        read_transform(tmp_path / "c.lta")


CENTRE = (5.0, -7.0, 11.0)
ITK = {
    "TranslationTransform": (sitk.TranslationTransform(3), (1, 2, 3)),
    "EulerTransform": (sitk.Euler3DTransform(), (0.1, -0.2, 0.3, 1, 2, 3)),
    "SimilarityTransform": (sitk.Similarity3DTransform(), (0.1, -0.05, 0.2, 1, 2, 3, 1.1)),
    "AffineTransform": (sitk.AffineTransform(3), (*TURN.ravel(), 1, 2, 3)),
}


@pytest.mark.parametrize("kind", ITK)
def test_linear_transforms_of_elastix(kind, tmp_path):
    itk, parameters = ITK[kind]
    if kind != "TranslationTransform":
        itk.SetCenter(CENTRE)
    itk.SetParameters(parameters)
    (tmp_path / "a.txt").write_text(elastix(kind, parameters, CENTRE))
    mapped = read_transform(tmp_path / "a.txt").map_points(POINTS)
    expected = [itk.TransformPoint((p * (-1, -1, 1)).tolist()) for p in POINTS]
    np.testing.assert_allclose(mapped, np.array(expected) * (-1, -1, 1), atol=1e-9)


def test_chains_of_elastix(tmp_path):
    (tmp_path / "TransformParameters.0.txt").write_text(elastix())
    initial = '(InitialTransformParameterFileName "/gone/TransformParameters.0.txt")\n'
    (tmp_path / "TransformParameters.1.txt").write_text(
        elastix("TranslationTransform", (1, 2, 3), more=f'{initial}(HowToCombineTransforms "Compose")\n')
    )
    shift = np.eye(4)
    shift[:3, 3] = -1, -2, 3
    same(read_transform(tmp_path / "TransformParameters.1.txt"), shift @ RAS)
    (tmp_path / "TransformParameters.0.txt").rename(tmp_path / "other.txt")
    with pytest.raises(TransformError, match=r"initial transform .* not there"):
        read_transform(tmp_path / "TransformParameters.1.txt")
    (tmp_path / "TransformParameters.0.txt").write_text(
        elastix(more='(InitialTransformParameterFileName "TransformParameters.1.txt")\n')
    )
    with pytest.raises(TransformError, match=r"initial transform .* not there"):  # a circle
        read_transform(tmp_path / "TransformParameters.1.txt")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", elastix("BSplineTransform"), "parameters of elastix that make no BSplineTransform"),
        ("a.txt", elastix("SplineKernelTransform"), "a SplineKernelTransform of elastix.*transformix -def all"),
        ("a.txt", elastix(more='(UseDirectionCosines "false")\n(Direction 0 1 0 1 0 0 0 0 1)\n'), "ignores the axes"),
        ("a.txt", elastix(parameters=(1, 2, 3)), "parameters of elastix that make no AffineTransform"),
        ("a.xfm", "MNI Transform File\nTransform_Type = Linear;\n", "MINC.*lta_convert --inmni"),
        ("a.aff12.1D", "# 3dAllineate matrices:\n1 0 0 0 0 1 0 0 0 0 1 0\n", "AFNI.*afni:FILE"),
        ("a.foo", "hello", "suffix '.foo'"),
    ],
)
def test_others_are_refused_by_name(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(TransformError, match=message):
        read_transform(tmp_path / name)


def test_no_addresses_in_messages(tmp_path):
    (tmp_path / "a.txt").write_text("#Insight Transform File V1.0\nhello\n")
    with pytest.raises(TransformError) as raised:
        read_transform(tmp_path / "a.txt")
    assert "0x" not in str(raised.value)


def test_a_registration_of_elastix_as_transformix_applies_it():
    """Euler, affine and B-spline of an oblique scan, made by elastix itself."""
    folder = Path(__file__).parent / "elastix"
    points = np.loadtxt(folder / "points.txt").reshape(-1, 2, 3) * (-1, -1, 1)
    fixed = Grid.from_spacing((80, 80, 80), 0.5)
    read = read_transform(folder / "TransformParameters.2.txt", fixed=fixed)
    assert np.abs(points[:, 0] - points[:, 1]).max() > 1.5
    np.testing.assert_allclose(read.map_points(points[:, 0]), points[:, 1], atol=2e-3)
    linear = read_transform(folder / "TransformParameters.1.txt")
    assert isinstance(linear, Affine)
    assert np.abs(linear.map_points(points[:, 0]) - points[:, 1]).max() > 0.3
    with pytest.raises(TransformError, match=r"TransformParameters.2.txt: got .*BSpline.* name the fixed image"):
        read_transform(folder / "TransformParameters.2.txt")


def test_freesurfer_from_voxel_to_voxel(tmp_path):
    """As nitransforms applies it, and as the geometry in the file says."""
    pytest.importorskip("nitransforms")
    moving_affine, fixed_affine = (np.diag([-1.0, 2.0, 1.5, 1]), np.diag([2.0, 1.0, 1.0, 1]))
    moving_affine[:3, 3], fixed_affine[:3, 3] = (10, -20, -15), (-30, -16, -12)
    voxels = np.linalg.inv(fixed_affine) @ np.linalg.inv(RAS) @ moving_affine  # moving to fixed

    def geometry(name, affine, shape):
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        axes, centre = affine[:3, :3] / sizes, affine[:3, :3] @ np.array(shape) / 2 + affine[:3, 3]
        return (
            f"{name} volume info\nvalid = 1  # volume info valid\nfilename = {name}.mgz\n"
            f"volume = {shape[0]} {shape[1]} {shape[2]}\nvoxelsize = {numbers(sizes)}\n"
            f"xras   = {numbers(axes[:, 0])}\nyras   = {numbers(axes[:, 1])}\nzras   = {numbers(axes[:, 2])}\n"
            f"cras   = {numbers(centre)}\n"
        )

    head = "type      = 0 # LINEAR_VOX_TO_VOX\nnxforms   = 1\nmean      = 0 0 0\nsigma     = 1\n1 4 4\n"
    body = geometry("src", moving_affine, (20, 22, 24)) + geometry("dst", fixed_affine, (30, 32, 24))
    (tmp_path / "a.lta").write_text(f"{head}{rows(voxels)}{body}")
    np.testing.assert_allclose(
        read_transform(tmp_path / "a.lta").map_points(POINTS), POINTS @ TURN.T + RAS[:3, 3], atol=1e-4
    )
    (tmp_path / "b.lta").write_text(f"{head}{rows(voxels)}")
    with pytest.raises(TransformError, match="nitransforms cannot read"):
        read_transform(tmp_path / "b.lta")


def test_afni(tmp_path):
    """Of scans along the axes of the world it is the map itself, in LPS mm; oblique ones are turned first."""
    pytest.importorskip("nitransforms")
    path = tmp_path / "a.aff12.1D"
    path.write_text(f"# 3dAllineate matrices (DICOM-to-DICOM, row-by-row):\n{numbers(LPS[:3])}\n")
    same(read_transform(path, fixed=FIXED, moving=MOVING, format="afni"))
    path.write_text(rows(LPS[:3]))  # as cat_matvec writes it
    same(read_matrix(path, "afni", FIXED, MOVING))
    turned = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    oblique = Grid.from_spacing(FIXED.shape, FIXED.spacing, direction=turned)
    assert np.abs(read_matrix(path, "afni", oblique, MOVING).matrix - RAS).max() > 0.1
    with pytest.raises(TransformError, match=r"of AFNI alone.*--reference FIXED --moving MOVING"):
        read_matrix(path, "afni")
    path.write_text("1 2 3\n")
    with pytest.raises(TransformError, match="3 words, expected 3 x 4 numbers"):
        read_matrix(path, "afni", FIXED, MOVING)


def test_formats_are_named_before_the_path(tmp_path):
    (tmp_path / "a.mat").write_text(rows(RAS))
    same(read_named_transform(f"greedy:{tmp_path / 'a.mat'}"))
    same(read_transform(tmp_path / "a.mat", format="greedy"))
    assert split_format("fsl:x/y.mat") == ("fsl", Path("x/y.mat"))
    assert split_format("other:x.mat") == (None, Path("other:x.mat"))
    assert split_format(Path("fsl:")) == (None, Path("fsl:"))
    with pytest.raises(TransformError, match="format 'spm', expected one of itk, learn2reg, greedy, fsl, afni"):
        read_transform(tmp_path / "a.mat", format="spm")
