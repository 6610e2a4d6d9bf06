"""Scores that other programs have written: found by name, read in the right place, refused with a reason."""

import json
import zipfile

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from learngn import Grid, Image
from learngn.errors import FeatureError, ImageError, LearnGNError
from learngn.io import find_scores, read_channels, read_image, read_scores, write_image

SHAPE = (7, 6, 5)
LPI = np.array([[-2.0, 0, 0, 40], [0, -1.5, 0, -7], [0, 0, -3.0, 9], [0, 0, 0, 1]])
# Axes A, R, S, turned by 20 degrees about the first.
_C, _S = np.cos(0.35), np.sin(0.35)
OBLIQUE = np.array([[0, 1.5 * _C, 3 * _S, 4], [2.0, 0, 0, -7], [0, -1.5 * _S, 3 * _C, 9], [0, 0, 0, 1.0]])


def softmax(rng, shape=SHAPE, classes=3):
    values = np.exp(2 * rng.normal(size=(classes, *shape)))
    return values / values.sum(0)


def scan(folder, name="case_0000.nii.gz", affine=None, shape=SHAPE):
    grid = Grid.from_spacing(shape, 2.0) if affine is None else Grid(shape, affine)
    write_image(Image.from_array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), grid), folder / name)
    return read_image(folder / name)


def stack(scores):
    return np.concatenate([scores.channel(c) for c in range(len(scores.names))], axis=1)[0]


def nnunet(folder, image, probabilities, segmentation=True, **plans):
    """What nnUNetv2_predict --save_probabilities leaves, for probabilities (C, x, y, z) in the image's order."""
    stored = probabilities.transpose(0, *range(probabilities.ndim - 1, 0, -1))
    stored = stored[:, None] if stored.ndim == 3 else stored
    np.savez_compressed(folder / "case.npz", probabilities=stored.astype(np.float16))
    if segmentation:
        labels = Image.from_array(probabilities.argmax(0).astype(np.uint8), image.grid, labels=True)
        write_image(labels, folder / "case.nii.gz")
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "spleen": 2}}))
    if plans:
        (folder / "plans.json").write_text(json.dumps(plans))
    return folder / "case.npz"


@pytest.fixture
def folders(tmp_path):
    """Where scans are and where scores are."""
    for name in ("scans", "scores"):
        (tmp_path / name).mkdir()
    return tmp_path / "scans", tmp_path / "scores"


@pytest.mark.parametrize("affine", [None, LPI, OBLIQUE], ids=["ras", "lpi", "oblique"])
def test_nnunet_lies_where_sitk_says(folders, rng, affine):
    """Through SimpleITK, as nnU-Net reads: its array is GetArrayFromImage's, channels first."""
    scans, scores = folders
    image, values = scan(scans, affine=affine), softmax(rng)
    nnunet(scores, image, values)
    seen = sitk.GetArrayFromImage(sitk.ReadImage(str(scans / "case_0000.nii.gz")))
    with np.load(scores / "case.npz") as archive:
        assert archive["probabilities"].shape[1:] == seen.shape
    found = read_scores(find_scores(scores, image), image.grid)
    assert found.names == ("liver", "spleen")
    np.testing.assert_allclose(stack(found), values[1:], atol=1e-3)


def test_nnunet_that_reorients(folders, rng):
    scans, scores = folders
    image, values = scan(scans, affine=OBLIQUE), softmax(rng)
    loaded = nibabel.load(scans / "case_0000.nii.gz")
    to_ras = nibabel.orientations.io_orientation(loaded.affine)
    in_ras = np.stack([nibabel.orientations.apply_orientation(v, to_ras) for v in values])
    np.savez(scores / "case.npz", probabilities=in_ras.transpose(0, 3, 2, 1))
    (scores / "plans.json").write_text(json.dumps({"image_reader_writer": "NibabelIOWithReorient"}))
    np.testing.assert_allclose(stack(read_scores(scores / "case.npz", image.grid)), values[1:], atol=1e-6)


def test_nnunet_in_2d(folders, rng):
    scans, scores = folders
    image, values = scan(scans, shape=(7, 6)), softmax(rng, (7, 6))
    found = read_scores(nnunet(scores, image, values), image.grid)
    np.testing.assert_allclose(stack(found), values[1:], atol=1e-3)


def test_regions_have_no_background(folders, rng):
    """Sigmoids of overlapping regions do not sum to one: every channel counts."""
    scans, scores = folders
    image, values = scan(scans), rng.uniform(size=(2, *SHAPE))
    assert len(read_scores(nnunet(scores, image, values), image.grid).names) == 2


def test_what_nnunet_has_not_looked_at_is_background(folders, rng):
    scans, scores = folders
    image, values = scan(scans), softmax(rng)
    values[:, :2] = 0
    found = read_scores(nnunet(scores, image, values), image.grid)
    assert found.names == ("liver", "spleen")


def test_turned_probabilities_are_noticed(folders, rng):
    scans, scores = folders
    image = scan(scans, shape=(6, 6, 6))
    labels = np.zeros((6, 6, 6), dtype=int)
    labels[:2, :, :3] = 1
    values = np.stack([labels == 0, labels == 1, labels == 2]).astype(float)
    path = nnunet(scores, image, values)
    np.savez(path, probabilities=values[:, ::-1].transpose(0, 3, 2, 1))
    with pytest.raises(FeatureError, match=r"agree with the segmentation beside them in 0%.*turned"):
        read_scores(path, image.grid)


def wrong_shape(values):
    return {"probabilities": np.zeros((3, 4, 4, 4))}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda v: {"softmax": v}, r"the arrays softmax.*--save_probabilities"),
        (lambda v: {"probabilities": v[0]}, r"shape \(5, 6, 7\)"),
        (lambda v: {"probabilities": v[:, 1:]}, r"shape \(7, 6, 4\), expected \(7, 6, 5\)"),
        (lambda v: {"probabilities": np.log(v)}, r"values from -.*apply softmax"),
        (lambda v: {"probabilities": np.where(v > 0.5, np.nan, v)}, "values from nan"),
    ],
)
def test_bad_archives(folders, rng, arrays, message):
    scans, scores = folders
    image = scan(scans)
    np.savez(scores / "case.npz", **arrays(softmax(rng).transpose(0, 3, 2, 1)))
    with pytest.raises(FeatureError, match=message):
        read_scores(scores / "case.npz", image.grid)


def test_archives_that_cannot_be_read(folders):
    scans, scores = folders
    image = scan(scans)
    (scores / "case.npz").write_bytes(b"no archive")
    with pytest.raises(ImageError, match=r"case\.npz"):
        read_scores(scores / "case.npz", image.grid)
    with zipfile.ZipFile(scores / "case.npz", "w") as archive:
        archive.writestr("probabilities.npy", b"\x93NUMPY")
    with pytest.raises(LearnGNError, match=r"case\.npz"):
        read_scores(scores / "case.npz", image.grid)


def test_pickles_are_not_opened(folders, rng):
    """An archive of objects would run code when it is read."""
    scans, scores = folders
    image = scan(scans)
    np.savez(scores / "case.npz", probabilities=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ImageError, match="allow_pickle"):
        read_scores(scores / "case.npz", image.grid)


def test_label_maps_have_a_channel_a_label(folders, rng):
    scans, scores = folders
    image = scan(scans, affine=LPI)
    labels = rng.choice([0, 3, 7], size=SHAPE)
    write_image(Image.from_array(labels.astype(np.uint8), image.grid, labels=True), scores / "case.nii.gz")
    found = read_scores(find_scores(scores, image), image.grid)
    assert found.names == ("3", "7")
    np.testing.assert_array_equal(stack(found), [labels == 3, labels == 7])


@pytest.mark.parametrize("place", ["{}/segmentations", "scores", "nested"])
def test_folders_of_structures(folders, rng, place):
    """TotalSegmentator: one mask a structure, beside the scan or in a folder of its name."""
    scans, scores = folders
    image = scan(scans)
    masks = {"place": {"{}/segmentations": scans / "segmentations", "scores": scores / "case_0000"}.get(
        place, scores / "case" / "segmentations")}["place"]  # fmt: skip
    masks.mkdir(parents=True)
    expected = {}
    for name in ("spleen", "liver"):
        expected[name] = rng.integers(0, 2, size=SHAPE).astype(np.uint8)
        write_image(Image.from_array(expected[name], image.grid, labels=True), masks / f"{name}.nii.gz")
    found = read_scores(find_scores(place if "{}" in place else scores, image), image.grid)
    assert found.names == ("liver", "spleen")
    np.testing.assert_array_equal(stack(found), [expected["liver"], expected["spleen"]])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("layout", ["vectors", "axis"])
def test_stacks_of_channels(folders, rng, suffix, layout):
    scans, scores = folders
    image = scan(scans, affine=LPI)
    values = rng.normal(size=(4, *SHAPE)).astype(np.float32)
    reference = sitk.ReadImage(str(image.path))
    if layout == "vectors":
        out = sitk.GetImageFromArray(values.transpose(3, 2, 1, 0), isVector=True)
        out.CopyInformation(reference)
    else:
        parts = [sitk.GetImageFromArray(v.T) for v in values]
        for part in parts:
            part.CopyInformation(reference)
        out = sitk.JoinSeries(parts)
    sitk.WriteImage(out, str(scores / f"case_0000{suffix}"))
    found = read_channels(find_scores(scores, image), image.grid)
    np.testing.assert_array_equal(stack(found), values)
    with pytest.raises(FeatureError, match=r"values from -.*channels=DIR"):
        read_scores(scores / f"case_0000{suffix}", image.grid)


def test_nibabel_writes_channels_last(folders, rng):
    scans, scores = folders
    image, values = scan(scans, affine=OBLIQUE), softmax(rng).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(values, 0, -1), OBLIQUE), scores / "case.nii.gz")
    found = read_scores(find_scores(scores, image), image.grid)
    np.testing.assert_allclose(stack(found), values[1:], atol=1e-6)
    assert found.names == ("1", "2")


def test_channels_of_a_picture(folders, rng):
    scans, scores = folders
    image, values = scan(scans, shape=(7, 6)), rng.normal(size=(3, 7, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(values, 0, -1)[:, :, None], np.eye(4)), scores / "case.nii.gz")
    found = read_channels(scores / "case.nii.gz", Grid((7, 6), np.eye(3)))
    np.testing.assert_array_equal(stack(found), values)
    assert image.grid.ndim == 2


def test_channels_must_be_finite(folders):
    scans, scores = folders
    image, values = scan(scans), np.zeros((*SHAPE, 2), dtype=np.float32)
    values[1, 1, 1, 1] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, image.grid.affine), scores / "case.nii.gz")
    with pytest.raises(FeatureError, match="NaN or infinity"):
        read_channels(scores / "case.nii.gz", image.grid)


@pytest.mark.parametrize("shape", [(7, 6, 4), (6, 7, 5)])
def test_another_grid(folders, shape):
    scans, scores = folders
    image = scan(scans)
    labels = Image.from_array(np.ones(shape, dtype=np.uint8), Grid.from_spacing(shape, 2.0), labels=True)
    write_image(labels, scores / "case.nii.gz")
    with pytest.raises(FeatureError, match=r"case\.nii\.gz.*grid of the image"):
        read_scores(scores / "case.nii.gz", image.grid)


def test_which_file_is_found(folders, rng):
    scans, scores = folders
    image = scan(scans)
    for name in ("case.nii.gz", "case.npz", "case_0000.nii.gz", "other.npz"):
        (scores / name).touch()
    assert find_scores(scores, image).name == "case_0000.nii.gz"
    (scores / "case_0000.nii.gz").unlink()
    assert find_scores(scores, image).name == "case.npz"  # probabilities say more than labels
    (scores / "case.npz").unlink()
    assert find_scores(scores, image).name == "case.nii.gz"


def test_nothing_is_found(folders):
    scans, scores = folders
    image = scan(scans)
    with pytest.raises(FeatureError, match=r"case_0000\.nii\.gz.*case_0000 or case with \.npz"):
        find_scores(scores, image)
    with pytest.raises(FeatureError, match="no such file"):
        find_scores(scans, image)  # a scan is not its own scores
    with pytest.raises(FeatureError, match=r"made in memory.*Given"):
        find_scores(scores, Image(image.data, image.grid))


def test_empty_label_map(folders):
    scans, scores = folders
    image = scan(scans)
    write_image(Image.from_array(np.zeros(SHAPE, dtype=np.uint8), image.grid, labels=True), scores / "case.nii.gz")
    with pytest.raises(FeatureError, match="no label"):
        read_scores(scores / "case.nii.gz", image.grid)
