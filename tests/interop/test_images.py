"""Images of other libraries: what goes there and back is the same, and they agree where its voxels lie."""

import os
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import learngn
from learngn import Affine, Image
from learngn.arrays import as_numpy, is_tensor, namespace
from learngn.errors import ImageError, LabelError, ShapeError
from learngn.interop import (
    as_grid,
    as_image,
    from_ants,
    from_array,
    from_monai,
    from_nibabel,
    from_simpleitk,
    from_torchio,
    is_label_map,
    subject_images,
    to_ants,
    to_monai,
    to_nibabel,
    to_simpleitk,
    to_torchio,
)

LIBRARIES = {
    "ants": (to_ants, from_ants),
    "SimpleITK": (to_simpleitk, from_simpleitk),
    "nibabel": (to_nibabel, from_nibabel),
    "torchio": (to_torchio, from_torchio),
    "monai": (to_monai, from_monai),
}


@pytest.fixture(params=LIBRARIES)
def library(request):
    pytest.importorskip(request.param)
    return LIBRARIES[request.param]


def same(got: Image, expected: Image) -> None:
    assert got.labels == expected.labels
    np.testing.assert_array_equal(got.data, expected.data)
    assert got.grid.shape == expected.grid.shape
    np.testing.assert_allclose(got.grid.affine, expected.grid.affine, atol=1e-5)


@pytest.mark.parametrize("kind", ["fixed", "moving", "plane"])
def test_there_and_back(kind, library, request):
    image = request.getfixturevalue(kind)
    there, back = library
    made = there(image)
    same(back(made), image)
    same(as_image(made), image)
    assert is_tensor(as_image(made).data) == (there in (to_torchio, to_monai)), "what came in"


def test_labels_there_and_back(library, labels):
    there, back = library
    foreign = there(labels)
    knows = is_label_map(foreign)
    assert knows == (there is to_torchio)
    got = back(foreign) if knows else back(foreign, labels=True)
    assert not namespace(got.data).isdtype(got.data.dtype, "real floating")
    same(got, labels)
    same(as_image(foreign, labels=True), labels)


@pytest.mark.parametrize("kind", ["fixed", "moving"])
def test_nibabel_and_itk_agree_where_the_voxels_lie(kind, request, tmp_path):
    """ITK reads the file that nibabel writes of our image: the borders RAS and LPS meet in it."""
    nibabel = pytest.importorskip("nibabel")
    image = request.getfixturevalue(kind)
    nibabel.save(to_nibabel(image), tmp_path / "a.nii")
    theirs, ours = sitk.ReadImage(str(tmp_path / "a.nii")), to_simpleitk(image)
    np.testing.assert_allclose(theirs.GetOrigin(), ours.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(theirs.GetDirection(), ours.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(theirs.GetSpacing(), ours.GetSpacing(), rtol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(theirs), sitk.GetArrayViewFromImage(ours))


def test_nibabel_resamples_as_we_do(fixed, moving):
    processing = pytest.importorskip("nibabel.processing")
    theirs = processing.resample_from_to(to_nibabel(moving), to_nibabel(fixed), order=1, mode="nearest")
    ours = Affine.identity(3).warp(moving, fixed.grid, background="border")
    np.testing.assert_allclose(theirs.get_fdata(), ours.data[0, 0], atol=2e-3)


def test_torchio_and_itk_agree(moving):
    torchio = pytest.importorskip("torchio")
    theirs, ours = to_torchio(moving).as_sitk(), to_simpleitk(moving)
    np.testing.assert_allclose(theirs.GetOrigin(), ours.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(theirs.GetDirection(), ours.GetDirection(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs), sitk.GetArrayFromImage(ours))
    subject = torchio.Subject(scan=to_torchio(moving), age=71)
    assert list(subject_images(subject)) == ["scan"]
    same(subject_images(subject)["scan"], moving)


def test_monai_reads_our_file_to_the_same_place(moving, tmp_path):
    transforms = pytest.importorskip("monai.transforms")
    moving.save(tmp_path / "a.nii.gz")
    loaded = transforms.LoadImage(image_only=True, ensure_channel_first=True)(tmp_path / "a.nii.gz")
    same(from_monai(loaded), moving)
    itk_like = to_monai(moving)
    itk_like.affine = torch.diag(torch.tensor([-1.0, -1, 1, 1], dtype=torch.float64)) @ itk_like.affine
    itk_like.meta["space"] = "LPS"
    same(from_monai(itk_like), moving)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_array_and_affine(kind, moving):
    values = kind(moving.data[0, 0].copy())
    made = as_image((values, moving.grid.affine))
    same(made, moving)
    assert type(made.data) is type(values)
    values[0, 0, 0] += 5
    assert not (made.data[0, 0] == values).all(), "it has a copy"


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_label_maps_of_either_library(kind, dtype, labels):
    values = kind(labels.data[0, 0].astype(dtype).T)
    made = from_array(values, np.eye(4), labels=True)
    assert type(made.data) is type(values)
    assert as_numpy(made.data).dtype == (np.int16 if dtype == np.int64 else dtype)
    assert as_numpy(made.data).flags.c_contiguous
    np.testing.assert_array_equal(made.data[0, 0], values)
    values[0, 0, 0] += 5
    assert not (made.data[0, 0] == values).all(), "it has a copy"


@pytest.mark.parametrize("dtype", ["u2", ">i2", ">f8", "u1", "?"])
def test_arrays_of_any_type(dtype, moving):
    values = moving.data[0, 0].astype(dtype)[::-1]
    np.testing.assert_array_equal(from_array(values, np.eye(4)).data[0, 0], values.astype(np.float32))


@pytest.mark.parametrize("source", [np.zeros((3, 4, 5)), 3, object(), None, [1, 2]])
def test_what_is_no_image(source):
    with pytest.raises(ImageError, match=r"got a .*expected a path, an Image"):
        as_image(source)


def test_several_channels_are_refused(fixed):
    many = Image(fixed.data.repeat(2, axis=1), fixed.grid)
    with pytest.raises(ShapeError, match="2 channels"):
        to_nibabel(many)
    monai_data = pytest.importorskip("monai.data")
    with pytest.raises(ImageError, match="EnsureChannelFirst"):
        from_monai(monai_data.MetaTensor(torch.zeros(2, 4, 4, 4)))


def test_label_maps_hold_whole_numbers(fixed):
    with pytest.raises(LabelError, match="whole numbers"):
        from_array(fixed.data[0, 0], fixed.grid.affine, labels=True)


def test_a_2d_slice_that_is_not_axial(plane):
    affine = np.eye(4)[[0, 2, 1, 3]]
    with pytest.raises(ImageError, match="not axial"):
        from_array(plane.data[0, 0], affine)


def test_register_takes_them(fixed, moving, transform):
    """Whatever the two are given as, the registration is the same one."""
    settings = learngn.Settings("intensity", False, (4,), (2,))
    warped = transform.warp(moving, fixed.grid, background="border")
    expected = learngn.register(fixed, warped, settings=settings, affine=False).displacement.data
    assert np.abs(expected).max() > 0.1
    for there, _ in LIBRARIES.values():
        try:
            pair = there(fixed), there(warped)
        except ImageError:  # not installed
            continue
        found = learngn.register(*pair, settings=settings, affine=False)
        np.testing.assert_allclose(found.displacement.data, expected, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_nothing_foreign_is_imported_before_it_is_used():
    code = "import sys, learngn.interop; print([n for n in ('nibabel', 'torchio', 'monai') if n in sys.modules])"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class ANTsImage:
    """What antspyx has of an image, of one of SimpleITK: the same place and the same values, axes i, j, k."""

    __module__ = "ants.core.ants_image"

    def __init__(self, image, components=1):
        self.spacing, self.origin, self.components = image.GetSpacing(), image.GetOrigin(), components
        self.direction = np.array(image.GetDirection()).reshape(len(self.spacing), -1)
        self._values = sitk.GetArrayFromImage(image).T

    def numpy(self):
        return self._values


@pytest.mark.parametrize("kind", ["fixed", "moving", "plane"])
def test_ants_lies_where_itk_does(kind, request):
    image = request.getfixturevalue(kind)
    same(as_image(ANTsImage(to_simpleitk(image))), image)


def test_labels_of_ants(labels):
    same(as_image(ANTsImage(to_simpleitk(labels)), labels=True), labels)


def test_ants_of_several_components(fixed):
    with pytest.raises(ImageError, match="2 components, expected one value a voxel"):
        as_image(ANTsImage(to_simpleitk(fixed), components=2))


def test_ants_is_named_by_its_distribution(fixed, monkeypatch):
    monkeypatch.setattr("learngn.interop.arrays.find_spec", lambda name: None)
    with pytest.raises(ImageError, match="pip install antspyx"):
        to_ants(fixed)


def test_ants_and_itk_read_a_file_alike(moving, tmp_path):
    ants = pytest.importorskip("ants")
    moving.save(tmp_path / "a.nii.gz")
    same(as_image(ants.image_read(str(tmp_path / "a.nii.gz"))), moving)


def test_a_grid_of_anything(fixed, tmp_path):
    fixed.save(tmp_path / "a.nii.gz")
    for source in (fixed.grid, fixed, tmp_path / "a.nii.gz", str(tmp_path / "a.nii.gz"), to_simpleitk(fixed)):
        assert as_grid(source).same_space(fixed.grid)
    with pytest.raises(ImageError, match=r"b\.nii\.gz"):
        as_grid(tmp_path / "b.nii.gz")


def test_warp_takes_what_register_takes(fixed, moving, labels, transform, tmp_path):
    for name, image in (("fixed", fixed), ("moving", moving), ("labels", labels)):
        image.save(tmp_path / f"{name}.nii.gz")
    expected = transform.warp(moving, fixed.grid)
    for source in (str(tmp_path / "moving.nii.gz"), to_simpleitk(moving), (moving.data[0, 0], moving.grid.affine)):
        for reference in (fixed, tmp_path / "fixed.nii.gz"):
            got = transform.warp(source, reference)
            np.testing.assert_allclose(got.data, expected.data, atol=2e-2)
    got = transform.warp(tmp_path / "labels.nii.gz", fixed, labels=True)
    assert got.labels
    assert (got.data != transform.warp(labels, fixed.grid).data).mean() < 1e-3
    transform.save(tmp_path / "field.nii.gz", tmp_path / "fixed.nii.gz")
    again = learngn.read_transform(tmp_path / "field.nii.gz")
    np.testing.assert_allclose(again.warp(moving, fixed).data, expected.data, atol=2e-2)
    with pytest.raises(ImageError, match="array needs its affine"):
        transform.warp(moving.data, fixed)


@pytest.mark.slow
def test_image_like_is_typed(tmp_path):
    """A type checker takes what the function takes, and refuses a bare array."""
    pytest.importorskip("mypy")
    code = tmp_path / "user.py"
    code.write_text(
        "import nibabel, numpy as np\n"
        "from learngn import Image, register\n"
        "from learngn.interop.types import ANTsImage, MetaTensor, SimpleITKImage, TorchIOImage\n"
        "def use(image: Image, field: np.ndarray, nii: nibabel.nifti1.Nifti1Image, a: ANTsImage, m: MetaTensor,\n"
        "        s: SimpleITKImage, t: TorchIOImage) -> None:\n"
        "    register('a.nii.gz', image)\n"
        "    register((field, np.eye(4)), nii)\n"
        "    register(a, m)\n"
        "    register(s, t)\n"
        "    register(field, 3)\n"
    )
    source = Path(learngn.__file__).parents[1]
    beside = {} if source.name == "site-packages" else {"MYPYPATH": str(source)}  # mypy finds what is installed
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", str(code)]
    found = run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **beside})
    errors = [line for line in found.stdout.splitlines() if "error" in line]
    assert len(errors) == 3, found.stdout + found.stderr
    assert all("user.py:10" in line for line in errors[:2]), found.stdout
