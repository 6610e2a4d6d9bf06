"""Whatever a file holds, a reader returns something or raises one clear error, in little time and memory."""

import gzip
import io
import json
import os
import struct
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learngn import Affine, Grid, Image
from learngn.errors import (
    DatasetError,
    HeaderWarning,
    ImageError,
    LandmarkError,
    LearnGNError,
    SettingsError,
    TransformError,
)
from learngn.io import (
    limits,
    read_dataset,
    read_grid,
    read_image,
    read_landmarks,
    read_learn2reg,
    read_module,
    read_transform,
    write_image,
    write_transform,
)
from learngn.learning.config_file import read_config
from learngn.settings import read_settings

# Many of these headers can be read, with a warning.
pytestmark = pytest.mark.filterwarnings("ignore::learngn.errors.HeaderWarning")

GRID = Grid.from_spacing((6, 5, 4), (2.0, 1.0, 3.0))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small scan and affine map in every format."""
    folder = tmp_path_factory.mktemp("good")
    image = Image.from_array(np.arange(120, dtype=np.float32).reshape(GRID.shape), GRID)
    for suffix in (".nii", ".nii.gz", ".mha", ".nrrd"):
        write_image(image, folder / f"scan{suffix}")
    for suffix in (".h5", ".tfm", ".mat"):
        write_transform(Affine(np.diag([1.1, 1, 1, 1])), folder / f"affine{suffix}")
    return folder


def read_or_refuse(read, path):
    """Whether a file was read; an error of another kind than ours fails the test."""
    refusal = None
    try:
        read(path)
    except LearnGNError as error:
        refusal = str(error)
    assert refusal is None or path.name in refusal
    assert refusal is None or "\n" not in refusal
    return refusal is None


@FEW
@given(cut=st.integers(0, 831), name=st.sampled_from(["scan.nii", "scan.nii.gz", "scan.mha", "scan.nrrd"]))
def test_cut_short_at_any_byte(cut, name, good, tmp_path):
    content = (good / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: cut % len(content)])
    assert not read_or_refuse(read_image, path)


@FEW
@given(
    data=st.data(), name=st.sampled_from(["scan.nii", "scan.mha", "scan.nrrd", "affine.h5", "affine.tfm", "affine.mat"])
)
def test_bytes_exchanged(data, name, good, tmp_path):
    content = bytearray((good / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 352) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(content)
    read_or_refuse(read_transform if name.startswith("affine") else read_image, path)


@FEW
@given(
    content=st.binary(max_size=400),
    suffix=st.sampled_from([".nii", ".nii.gz", ".mha", ".nrrd", ".png", ".tif", ".dcm"]),
)
def test_noise(content, suffix, tmp_path):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(content)
    assert not read_or_refuse(read_image, path)


@FEW
@given(place=st.integers(10, 10_000), bit=st.integers(0, 7))
def test_a_bit_of_a_compressed_file_is_never_read_as_another_voxel(place, bit, good, tmp_path):
    content = bytearray((good / "scan.nii.gz").read_bytes())
    content[10 + place % (len(content) - 10)] ^= 1 << bit
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    # The last byte of the compressed values has bits that mean nothing.
    assert not read_or_refuse(read_image, path) or np.array_equal(
        read_image(path).data, read_image(good / "scan.nii.gz").data
    )


@pytest.fixture
def another_thread():
    """A thread beside this one; while there are any, nothing can keep ITK's library from writing to the terminal."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        yield


FIELDS = [
    ("huge sizes", 42, "<3h", (32767, 32767, 32767), "of"),
    ("no sizes", 40, "<h", (0,), "scan.nii"),
    ("eight axes", 40, "<h", (8,), "scan.nii"),
    ("NaN axes", 280, "<f", (float("nan"),), "sform"),
    ("endless axes", 312, "<2f", (1e38, float("inf")), "sform"),
    ("wider values", 70, "<h", (64,), "bytes"),
    ("unknown values", 70, "<h", (9999,), "cannot read"),
    ("vectors of colours", 68, "<2h", (1007, 128), "vectors"),
    ("vectors of complex numbers", 68, "<2h", (1006, 32), "vectors"),
    ("voxels before the file", 108, "<f", (-352.0,), "byte -352"),
    ("voxels nowhere", 108, "<f", (float("nan"),), "byte"),
    ("voxels behind the file", 108, "<f", (1e6,), "bytes"),
    ("another magic", 344, "4s", (b"abc\0",), "scan.nii"),
]


QFORMS = [(80, float("nan")), (80, float("inf")), (80, -1.0), (268, 1e30), (256, 1e30), (260, float("nan"))]


@pytest.mark.parametrize(("offset", "value"), QFORMS)
@pytest.mark.parametrize("sform", [True, False])
def test_a_qform_of_no_sense_counts_where_there_is_no_sform(sform, offset, value, good, tmp_path):
    content = bytearray((good / "scan.nii").read_bytes())
    struct.pack_into("<f", content, offset, value)
    struct.pack_into("<h", content, 254, int(sform))
    (tmp_path / "a.nii").write_bytes(content)
    if sform:
        with pytest.warns(HeaderWarning, match=r"a\.nii.*qform"):
            assert read_image(tmp_path / "a.nii").grid == GRID
    else:
        with pytest.raises(ImageError, match=r"a\.nii.*qform"):
            read_image(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("offset", "form", "values", "told"), [f[1:] for f in FIELDS], ids=[f[0] for f in FIELDS])
def test_nifti_header(offset, form, values, told, suffix, good, tmp_path, capfd, another_thread):
    content = bytearray((good / "scan.nii").read_bytes())
    struct.pack_into(form, content, offset, *values)
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(LearnGNError, match=told):
        read_image(path)
    assert capfd.readouterr() == ("", "")


def test_sizes_of_axes_that_are_not_there_do_not_matter(good, tmp_path):
    content = bytearray((good / "scan.nii").read_bytes())
    struct.pack_into("<4h", content, 48, 0, 7, 0, 0)
    (tmp_path / "a.nii").write_bytes(content)
    assert read_image(tmp_path / "a.nii").grid == GRID


@pytest.mark.parametrize("spacing", ["1e30 1 1", "1e-30 1 1", "1 0 1"])
def test_voxels_of_no_size(spacing, good, tmp_path):
    path = tmp_path / "a.mha"
    path.write_bytes(
        (good / "scan.mha").read_bytes().replace(b"ElementSpacing = 2 1 3", f"ElementSpacing = {spacing}".encode())
    )
    with pytest.raises(LearnGNError, match=r"a\.mha"):
        read_image(path)


# Headers on which ITK ends the process, found by benchmarks/fuzz.py.
ENDING = {
    "kinds.nrrd": b"NRRD0004\ntype: float\ndimension: 3\nsizes: 2 2 2\nkinds: domain "
    + b"9" * 5000
    + b"\nencoding: raw\n\n",
    "dimension.nrrd": b"NRRD0004\ntype: float\ndimension: 99999999999\nsizes: 2 2 2\nencoding: raw\n\n",
    "axes.mha": b"NDims = 99999999999\nDimSize = 2 2 2\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n",
    "axes.mhd": b"NDims = 11 = True\nDimSize = 2 2\nElementType = MET_FLOAT\nElementDataFile = a.raw\n",
}


@pytest.mark.parametrize("name", ENDING)
def test_headers_that_would_end_the_process(name, tmp_path):
    (tmp_path / name).write_bytes(ENDING[name])
    with pytest.raises(ImageError, match=f"{name}.*header's line"):
        read_image(tmp_path / name)


def test_a_gzip_bomb_takes_neither_time_nor_memory(good, tmp_path):
    head = bytearray((good / "scan.nii").read_bytes()[:352])
    (tmp_path / "small.nii.gz").write_bytes(gzip.compress(head) + gzip.compress(bytes(1 << 24)) * 128)
    struct.pack_into("<3h", head, 42, 1290, 1290, 1290)
    (tmp_path / "huge.nii.gz").write_bytes(gzip.compress(head) + gzip.compress(bytes(1 << 22)))
    tracemalloc.start()
    assert read_image(tmp_path / "small.nii.gz").data.any() == np.False_
    with pytest.raises(ImageError, match=r"1290x1290x1290 voxels.* holds"):
        read_image(tmp_path / "huge.nii.gz")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_more_than_the_memory(suffix, good, monkeypatch):
    monkeypatch.setattr(limits, "memory", lambda: 900)
    with pytest.raises(ImageError, match="GiB of memory"):
        read_image(good / f"scan{suffix}")
    with pytest.raises(ImageError, match="GiB of memory"):
        read_grid(good / f"scan{suffix}")


def test_an_archive_that_asks_for_too_much(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "disp.npz", "w") as archive:
        archive.writestr("field.npy", header.getvalue())
    with pytest.raises(TransformError, match="GiB"):
        read_learn2reg(tmp_path / "disp.npz", GRID, GRID)


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "disp.npz", np.array([{"a": 1}], dtype=object))
    with pytest.raises(TransformError, match="allow_pickle"):
        read_learn2reg(tmp_path / "disp.npz", GRID, GRID)


@pytest.mark.parametrize(
    ("name", "read", "error"),
    [
        ("Toy_dataset.json", read_dataset, DatasetError),
        ("settings.json", read_settings, SettingsError),
        ("config.json", read_config, SettingsError),
        ("config.toml", read_config, SettingsError),
    ],
)
@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff\xfe", b"a = " + b"[" * 100_000, b"9" * 5000, b"null", b"[]"]
)
def test_text_of_no_sense(name, read, error, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        read(tmp_path / name)


@FEW
@given(text=st.text(max_size=200))
def test_landmarks_of_any_text(text, tmp_path):
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read_or_refuse(lambda p: read_landmarks(p, GRID), path)


@FEW
@given(
    labels=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
    pairs=st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=3), max_size=2),
)
def test_dataset_of_any_content(labels, pairs, tmp_path):
    path = tmp_path / "Toy_dataset.json"
    path.write_text(json.dumps({"name": "Toy", "labels": labels, "registration_val": pairs}))
    assert not read_or_refuse(read_dataset, path)


@FEW
@given(content=st.binary(max_size=300))
def test_network_of_any_bytes(content, tmp_path):
    path = tmp_path / "network.pt"
    path.write_bytes(content)
    assert not read_or_refuse(read_module, path)


@pytest.mark.parametrize(
    "name", ["a b.nii.gz", "ä日.nii.gz", "q\"'`$.nii.gz", "new\nline.nii.gz", "%s{}.mha", "-o.nrrd"]
)
def test_odd_names(name, good, tmp_path):
    image = read_image(good / "scan.nii")
    write_image(image, tmp_path / name)
    assert read_image(tmp_path / name).grid == GRID
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", [os.fsdecode(b"latin\xe4.nii"), "nul\0.nii", "x" * 300 + ".nii"])
def test_names_that_cannot_be(name, good, tmp_path):
    with pytest.raises(ImageError, match=r"\.nii: got"):
        read_image(tmp_path / name)
    with pytest.raises(LearnGNError, match=r"\.nii: got"):
        write_image(read_image(good / "scan.nii"), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "read", [read_image, read_grid, read_transform, read_module, lambda p: read_landmarks(p, GRID)]
)
@pytest.mark.parametrize("target", ["loop.nii", "nowhere", ".", "/dev/zero"])
def test_links(read, target, tmp_path):
    path = tmp_path / "loop.nii"
    path.symlink_to(target if target.startswith("/") else tmp_path / target)
    with pytest.raises(LearnGNError, match=r"loop\.nii"):
        read(path)


def test_a_header_cannot_speak_to_the_terminal(tmp_path):
    (tmp_path / "points.csv").write_text("\x1b]0;owned\x07,b\n1,2\n")
    with pytest.raises(LandmarkError) as raised:
        read_landmarks(tmp_path / "points.csv", GRID)
    assert "\x1b" not in str(raised.value)
    assert r"\x1b" in str(raised.value)


def test_a_slice_that_asks_for_too_much(good, tmp_path, monkeypatch):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((8, 8), np.int16)), str(tmp_path / "slice.dcm"))
    monkeypatch.setattr(limits, "memory", lambda: 100)
    with pytest.raises(ImageError, match=r"DICOM folder.* GiB"):
        read_image(tmp_path)
